"""Text formats: numbers as they are, names as text in each of them."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlgym.validation.report import Report, ReportFacts, report_of
from mlgym.validation.report.formats import latex, markdown
from tests.validation.report.hostile import NASTY, hostile_report
from tests.validation.report.logs import cross_validation, nested, state_of

POINTS: list[dict[str, Any]] = [{"optimizer.lr": lr} for lr in (0.1, 0.01)]
DOCUMENT = (
    "\\documentclass{{article}}\n\\usepackage[T1]{{fontenc}}\n\\usepackage{{booktabs}}\n"
    "\\begin{{document}}\n{}\n\\end{{document}}\n"
)


def score(trial: dict[str, Any], epoch: int) -> float:
    return 0.8 + float(trial["swept"].get("optimizer.lr", 0)) + 0.01 * int(trial.get("fold") or 0) + 0.1 * epoch / 3


@pytest.fixture
def report(tmp_path: Path) -> Report:
    sizes = {"train": 80, "val": 20}
    return report_of(state_of(tmp_path, cross_validation(POINTS, folds=3), score, mode="cross_validation", sizes=sizes))


def test_json_is_the_facts_and_its_schema_describes_it(report: Report) -> None:
    """Everything that tables say, with full precision, and readable by the types that describe it."""
    data = json.loads(report.to_json())
    assert msgspec.convert(data, ReportFacts) == report.facts
    assert data["schema_version"] == 1
    schema = json.loads(Path("docs/reference/report.schema.json").read_text())
    from jsonschema import Draft202012Validator

    Draft202012Validator(schema).validate(data)
    broken = data | {"configurations": [{"rank": "first"}]}
    assert list(Draft202012Validator(schema).iter_errors(broken))


def test_json_has_no_nan(tmp_path: Path) -> None:
    """Scores that are no numbers become null, in every corner."""
    state = state_of(tmp_path, cross_validation(POINTS), lambda trial, epoch: float("inf"), mode="cross_validation")
    text = report_of(state).to_json()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))


def test_csv_has_a_row_for_each_experiment(report: Report) -> None:
    """Full precision, and numbers stay numbers."""
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert len(rows) == 6
    assert [row["fold"] for row in rows[:3]] == ["0", "1", "2"]
    best = report.facts.configurations[0]
    assert float(rows[0]["score"]) == best.scores[0].value
    assert {float(row["mean"]) for row in rows[:3]} == {best.mean}
    assert rows[0]["optimizer.lr"] == "0.1"


def test_csv_of_a_nested_run_has_its_outer_folds(tmp_path: Path) -> None:
    """The rows of inner experiments, then those of the winners' fits."""
    rows = list(csv.DictReader(io.StringIO(report_of(state_of(tmp_path, nested(POINTS), score, mode="x")).to_csv())))
    assert [row["role"] for row in rows] == ["inner"] * 12 + ["outer"] * 3
    assert [row["outer_fold"] for row in rows[-3:]] == ["0", "1", "2"]


def test_markdown_is_a_table(report: Report) -> None:
    """With the best row emphasized, and as many cells in each row."""
    lines = [line for line in report.to_markdown().splitlines() if line.startswith("|")]
    first = lines[: next(i for i, line in enumerate(lines[1:], 1) if line.count("|") != lines[0].count("|"))]
    assert first[0].startswith("| \\# | config | lr | val/f1 ↑ |")
    assert first[2].startswith("| **1** | **0** | **0.1** |")
    assert "## What may be claimed" in report.to_markdown()


def test_tables_say_how_many_rows_they_leave_out(report: Report) -> None:
    """A cut table never looks whole."""
    assert "The best 1 of 2; CSV and JSON have all." in report.to_text(1)
    assert "The best" not in report.to_text(2).split("What may be claimed")[0]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """No control character anywhere, no formula for a spreadsheet, no further cell or link in Markdown."""
    report = hostile_report(tmp_path)
    for text in (report.to_text(), report.to_markdown(), report.to_latex(), report.to_csv()):
        assert not set(text) & {"\x1b", "\u202e", "\u2028"}
    cells = [cell for row in csv.reader(io.StringIO(report.to_csv())) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@")) or re.match(r"[+-](?![\d.])", cell)]
    assert any(cell.startswith("'=cmd") for cell in cells)
    tables = [line for line in report.to_markdown().splitlines() if line.startswith("|")]
    counts = {len(re.findall(r"(?<!\\)\|", line)) for line in tables}
    assert len(counts) <= 4
    assert not re.search(r"(?<!\\)<script|(?<!\\)!\[|(?<!\\)\]\(|https?://|www\.", report.to_markdown())


@pytest.mark.parametrize("text", NASTY)
def test_markdown_and_latex_escape_all_that_means_something(text: str) -> None:
    """What is left without its escapes is the text."""
    assert re.sub(r"\\(.)", r"\1", markdown(text)).startswith(text[:2].replace("\x1b", "\\x1b")[:1].replace("\\", ""))
    escaped = latex(text)
    assert escaped.isascii()
    for command in ("\\input", "\\write", "\\def"):
        assert command not in escaped


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not there")
def test_latex_compiles(report: Report, tmp_path: Path) -> None:
    """With booktabs, and whatever names a config has; a broken table is the control."""
    assert _compiles(report.to_latex(), tmp_path / "fine")
    assert _compiles(hostile_report(tmp_path / "storage").to_latex(), tmp_path / "hostile")
    assert not _compiles(report.to_latex().replace(r"\toprule", r"\toprule & \undefined"), tmp_path / "control")


def test_latex_is_a_table_as_journals_want_it(report: Report) -> None:
    """Rules of booktabs, one row break for each row, braces that balance."""
    text = report.to_latex()
    tabular = text[text.index(r"\begin{tabular}") : text.index(r"\end{tabular}")]
    assert [tabular.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    rows = [line for line in tabular.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {tabular.splitlines()[0].count("r") - 3 + 1}
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")


def _compiles(tables: str, folder: Path) -> bool:
    folder.mkdir()
    (folder / "paper.tex").write_text(DOCUMENT.format(tables), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=60).returncode == 0
