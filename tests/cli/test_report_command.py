"""`mlgym report` and the end of a run, as a shell has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.calling import call
from tests.validation.report.logs import cross_validation, write

POINTS: list[dict[str, Any]] = [{"optimizer.lr": 0.1}, {"optimizer.lr": 0.01}]
SIZES = {"train": 80, "val": 20}


def score(trial: dict[str, Any], epoch: int) -> float:
    return 0.8 + float(trial["swept"]["optimizer.lr"]) + 0.01 * int(trial["fold"]) ** 2 / 3


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    for run_id, points in (("a", POINTS), ("b", POINTS[1:])):
        write(tmp_path, cross_validation(points), score, run_id=run_id, mode="cross_validation", sizes=SIZES)
    return tmp_path


def report(storage: Path, *arguments: str) -> int:
    return call("report", *arguments, "--storage", str(storage))


def test_a_report_on_the_terminal(
    storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables, then sentences; on a narrow page details are left out, not cut."""
    monkeypatch.setenv("COLUMNS", "100")
    assert report(storage, "a") == 0
    wide = capsys.readouterr().out
    assert "1       0   0.1" in wide
    assert "What may be claimed" in wide
    monkeypatch.setenv("COLUMNS", "40")
    assert report(storage, "a") == 0
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 40
    assert "interval" not in narrow.splitlines()[3]


def test_an_ending_that_says_no_format_is_refused(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rather than a table in a file that a program for letters would open; `--format` overrules it."""
    path = storage / "r.docx"
    assert report(storage, "a", "--to", str(path)) == 2
    assert "`.docx` says no format (known: .txt," in capsys.readouterr().err
    assert not path.exists()
    assert report(storage, "a", "--to", str(path), "--format", "markdown") == 0
    assert path.read_text().startswith("# a")


def test_a_run_is_not_compared_with_itself(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By `latest`, too, which names the run it stands for."""
    assert report(storage, "b", "--against", "b") == 2
    assert "`b` is the run itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("r.json", "{\n"),
        ("r.csv", "run_id,role"),
        ("r.md", "# a  digits"),
        ("r.tex", "% a  digits"),
        ("r.html", "<!doctype html>"),
        ("r.txt", "a  digits"),
    ],
)
def test_the_ending_of_a_file_is_its_format(
    name: str, beginning: str, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Written whole, and said on stderr."""
    path = storage / name
    assert report(storage, "a", "--to", str(path)) == 0
    assert path.read_text().lstrip().startswith(beginning)
    assert capsys.readouterr() == ("", f"wrote {path}\n")


def test_two_runs_and_two_choices(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--against` and `--compare` add comparisons, in whatever format."""
    assert report(storage, "a", "--against", "b", "--compare", "optimizer.lr", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)["comparisons"]
    assert [(one["first"], one["second"]) for one in found] == [
        ("optimizer.lr 0.1", "optimizer.lr 0.01"),
        ("the best of run a", "run b"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--format", "pdf"], "there is no `pdf`"),
        (["a", "--best", "most"], "is `min` or `max`, not `most`"),
        (["a", "--metric", "val/f2"], "did you mean `val/f1`?"),
        (["a", "--compare", "lr"], "`lr` is no swept key"),
        (["a", "--against", "z"], "z"),
        (["a", "--to", "/nowhere/r.html"], "cannot be written"),
    ],
)
def test_what_is_wrong_is_said_and_exits_with_2(
    arguments: list[str], message: str, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to write instead, and no traceback."""
    assert report(storage, *arguments) == 2
    told = capsys.readouterr().err
    assert message in " ".join(told.split())
    assert "Traceback" not in told


def test_the_end_of_a_run_shows_configurations_where_they_have_folds(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten rows of folds are no answer to which configuration is the better one."""
    from mlgym.api import load_run
    from mlgym.cli.outcome import show_results

    show_results(load_run("a", storage), as_json=False)
    told = capsys.readouterr()
    assert "≈95% interval" in told.out
    assert "The best of 2 configurations is configuration 0" in told.out
    assert "report: mlgym report a" in told.err
    assert len([line for line in told.out.splitlines() if line.startswith(("1 ", "2 "))]) == 2
