"""The command line as people and scripts use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mlgym
from mlgym.api import Run
from mlgym.cli.older import translate
from mlgym.training import digest
from tests.cli.calling import call

HEAVY = ("torch", "sklearn", "torchmetrics", "polars", "pandas", "mlgym.validation.report")
CONFIG = """\
version: 1
extends: preset/classification
name: small
components:
  data: {use: iris}
  model: {use: mlp, hidden: [8]}
  optimizer: {use: adam, model: $model, lr: {sweep: [0.1, 0.01]}}
experiment: {epochs: 2}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of two experiments."""
    folder = tmp_path_factory.mktemp("cli")
    config = folder / "small.yml"
    config.write_text(CONFIG)
    return mlgym.run(config, storage=folder / "storage", run_id="done", executor="inline", progress=False)


def test_check_counts_the_experiments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good config exits with 0 and says how many experiments there are."""
    (tmp_path / "c.yml").write_text(CONFIG)
    assert call("check", str(tmp_path / "c.yml")) == 0
    assert "all right, 2 experiments" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere.yml"], "nowhere.yml"),
        (["check", "{config}", "optimizer.lrr=1"], "did you mean `lr`"),
        (["run", "{config}", "--executor", "inlin"], "did you mean `inline`"),
        (["run", "{config}", "--threads", "many"], "`auto`"),
        (["show", "2000", "--storage", "{storage}"], "2000"),
        (["show", "../x", "--storage", "{storage}"], "../x"),
        (["show", "done", "--storage", "{storage}", "-m", "val/f1_makro"], "did you mean `val/f1_macro`"),
        (["expand", "{config}", "-e", "7"], "0 to 1"),
        (["components", "adan"], "did you mean `adam`"),
    ],
)
def test_bad_input_is_a_line_and_exit_code_2(
    arguments: list[str], message: str, finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a traceback nor anything on stdout; the text has the nearest valid name or what is there."""
    (tmp_path / "c.yml").write_text(CONFIG)
    filled = [one.format(config=tmp_path / "c.yml", storage=finished.path.parent) for one in arguments]
    assert call(*filled) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_views_as_json(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """What scripts read is valid JSON and agrees with the Python API."""
    storage = str(finished.path.parent)
    assert call("runs", "--storage", storage, "--json") == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert (run["run_id"], run["status"], run["counts"]["done"]) == ("done", "finished", 2)
    assert call("show", "latest", "--storage", storage, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["selection"] == {"metric": "val/f1_macro", "best": "max"}
    assert shown["experiments"][0]["experiment_id"] == finished.best().experiment_id
    assert call("log", "done", "--storage", storage, "--json") == 0
    events: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event_id"] for event in events] == list(range(len(events)))
    assert events[-1]["data"]["event_type"] == "run_finished"


def test_views_for_people(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables and lines name what was swept and what came out."""
    storage = str(finished.path.parent)
    assert call("show", "done", "--storage", storage) == 0
    assert "optimizer.lr" in capsys.readouterr().out
    assert call("show", "done", "--storage", storage, "-e", "1") == 0
    assert "lr: 0.01" in capsys.readouterr().out
    assert call("log", "done", "--storage", storage, "-e", "0") == 0
    assert "epoch 2: " in capsys.readouterr().out


def test_the_folder_of_a_run_is_no_run_id(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """What a shell completes: the error has the words that would have been right."""
    assert call("show", f"{finished.path}/") == 2
    assert f"is the folder of a run: write `done --storage {finished.path.parent}`" in capsys.readouterr().err


def test_the_python_api_gives_frames_and_the_trained_model(finished: Run) -> None:
    """Metrics as frames of both libraries; the model of the last checkpoint has the logged digest."""
    frame = finished.metrics()
    assert set(frame.columns) >= {"experiment_id", "epoch", "split", "metric", "value", "optimizer.lr"}
    assert len(finished.metrics("pandas")) == len(frame)
    experiment = finished.experiments[0]
    model = experiment.load_model("last")
    assert experiment.state.digest is not None
    assert digest(model.state_dict()) == experiment.state.digest.parameters
    assert not model.training
    assert "optimizer.lr" in finished._repr_html_()


@pytest.mark.parametrize("arguments", [["--help"], ["runs"], ["show", "done"], ["log", "done"]])
def test_views_start_without_anything_heavy(arguments: list[str], finished: Run) -> None:
    """PyTorch and its like, and what makes reports, are not imported by commands that only read the log."""
    code = (
        "import sys\nfrom mlgym.cli.main import main\n"
        f"try: main({arguments!r} + {[] if '--help' in arguments else ['--storage', str(finished.path.parent)]!r})\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.stderr.strip().endswith("[]"), done.stderr


def test_the_older_options_are_translated_word_for_word() -> None:
    """The command of MLgym 0.0.75 becomes a `mlgym run` that does the same."""
    older = (
        "--process_count 3 --text_logging_path general_logging/ --num_epochs 10 "
        "--websocket_logging_servers http://127.0.0.1:5002 --gs_rest_api_endpoint http://127.0.0.1:5001 "
        "train --gs_config_path gs_config.yml"
    )
    assert translate(older.split()) == [
        "run", "gs_config.yml", "--processes", "3", "--epochs", "10", "--text-logging-path", "general_logging/",
        "--rest-endpoint", "http://127.0.0.1:5001", "--websocket-logging-servers", "http://127.0.0.1:5002",
    ]  # fmt: skip


def test_init_makes_a_project_that_passes_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The starter project is complete, and is not written over."""
    folder = tmp_path / "project"
    assert call("init", str(folder)) == 0
    assert {path.name for path in folder.iterdir()} == {
        "config.yml", "model.py", "test_config.py", "README.md", ".gitignore",
    }  # fmt: skip
    assert call("init", str(folder)) == 2
    done = subprocess.run(
        [sys.executable, "-m", "mlgym", "check", "config.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "4 experiments" in done.stdout, done.stderr
