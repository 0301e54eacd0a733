"""`runs`, `show` and `log` on real runs: stopped early, failed, still running, damaged; in pipes and on full disks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlgym
from mlgym.api import Run
from mlgym.events import EventLog, JobStatus, Log, Producer, RunFinished, RunStarted
from tests.cli.calling import call
from tests.events.samples import lines

MODULE = """\
from sklearn.datasets import load_iris
import torch
from torch.utils.data import TensorDataset
from mlgym import register


@register("iris_or_failure")
def iris_or_failure(fails: bool) -> TensorDataset:
    if fails:
        raise ValueError("the scanner was off\\nsecond line \\x1b[2J")
    points, labels = load_iris(return_X_y=True)
    return TensorDataset(torch.tensor(points, dtype=torch.float32), torch.tensor(labels))
"""
CONFIG = """\
version: 1
extends: preset/classification
name: "stops \u2603 and fails"
imports: [views_module]
components:
  data: {use: iris_or_failure, fails: {sweep: [false, true]}}
  model: {use: mlp, hidden: [2], num_inputs: 4, num_outputs: 3}
  optimizer: {use: sgd, model: $model, lr: 1e-9}
experiment: {epochs: 9, early_stopping: {epochs: 2}}
"""


def command(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlgym", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two experiments: one that stops early, one that fails."""
    folder = tmp_path_factory.mktemp("views")
    (folder / "views_module.py").write_text(MODULE)
    (folder / "configuraci\u00f3n \u2603.yml").write_text(CONFIG)
    config = folder / "configuraci\u00f3n \u2603.yml"
    return mlgym.run(config, storage=folder / "storage", run_id="ended", executor="inline", progress=False)


@pytest.fixture
def view(run: Run, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Gives what a view prints of that run."""

    def printed(*arguments: str) -> str:
        assert call(*arguments, "--storage", str(run.path.parent)) == 0
        return capsys.readouterr().out

    return printed


def test_early_stopping_is_shown_everywhere(view: Callable[..., str]) -> None:
    """In the table, the JSON, the page of the experiment and the log: that it was stopped, and why."""
    assert "3/9 stopped" in view("show", "ended")
    reason = json.loads(view("show", "ended", "--json"))["experiments"][0]["stop_reason"]
    assert "did not improve for 2 epochs" in reason
    assert json.loads(view("show", "ended", "-e", "0", "--json"))["stop_reason"] == reason
    assert f"stopped early: {reason}" in view("show", "ended", "-e", "0")
    assert f"stopped early: {reason}" in view("log", "ended", "-e", "0")


def test_failures_are_shown_everywhere(view: Callable[..., str]) -> None:
    """The error on one line in the table, whole in the JSON, with its trace on the page; escapes are made visible."""
    assert "experiment 1: ValueError: the scanner was off\n" in view("show", "ended")
    error = json.loads(view("show", "ended", "--json"))["experiments"][1]["error"]
    assert error.startswith("ValueError: the scanner was off\nsecond line \x1b[2J")
    page = view("show", "ended", "-e", "1")
    assert "  ValueError: the scanner was off\n  second line \\x1b[2J\n" in page
    assert "Traceback (most recent call last)" in page
    assert "views_module.py" in page
    assert "failed: ValueError: the scanner was off" in view("log", "ended")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"], ["check", "optimizer.lrr=1"], ["expand"], ["expand", "-e", "1"], ["schema", "-o"], ["components"],
        ["components", "adam"], ["runs"], ["show"], ["show", "-e", "0"], ["show", "-e", "1"], ["log"],
    ],
)  # fmt: skip
def test_json_is_json(arguments: list[str], run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command's JSON is read by a parser that takes no NaN, and nothing else is on stdout."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    name, *more = arguments
    if name == "schema":
        assert call(name, *more, str(tmp_path / "schema.json")) == 0
        json.loads((tmp_path / "schema.json").read_text(), parse_constant=refuse)
        assert capsys.readouterr().out == ""
        return
    config = [str(next(run.path.parent.parent.glob("*.yml")))] if name in ("check", "expand") else []
    storage = ["--storage", str(run.path.parent)] if name in ("runs", "show", "log") else []
    assert call(name, *config, *more, *storage, "--json") == (2 if "optimizer.lrr=1" in more else 0)
    printed = capsys.readouterr().out
    for text in printed.splitlines() if name == "log" else [printed]:
        json.loads(text, parse_constant=refuse)


def test_follow_shows_a_run_as_it_goes_and_ends_with_it(tmp_path: Path) -> None:
    """Events are printed while the writer holds the log; an experiment that has not begun may be waited for."""
    producer = Producer()
    who: dict[str, Any] = {"grid_search_id": "live", "experiment_id": 1}
    (tmp_path / "live").mkdir()
    started = RunStarted(
        grid_search_id="live", name="live", command=[], versions={}, num_experiments=2, validation_mode="grid_search"
    )
    with EventLog.open(tmp_path / "live" / "event_storage.log") as log:
        log.append([producer.encode(started)])
        everything = command("log", "live", "--follow", "--storage", str(tmp_path))
        second = command("log", "live", "--follow", "-e", "1", "--storage", str(tmp_path))
        assert everything.stdout is not None
        assert "run live started: live, 2 experiments" in everything.stdout.readline()
        log.append([producer.encode(JobStatus(job_id="live-0", status="RUNNING", device="cpu", **who))])
        assert "1  running on cpu" in everything.stdout.readline()
        assert everything.poll() is None
        line = Log(level="info", logger="stdout", message="last", **who)
        ended = RunFinished(grid_search_id="live", num_succeeded=2, num_failed=0, num_interrupted=0, num_not_started=0)
        log.append([producer.encode(line), producer.encode(ended)])
    rest, errors = everything.communicate(timeout=240)
    assert [one[15:].strip() for one in rest.splitlines()] == ["1  info stdout: last", "run finished: 2 succeeded"]
    assert (everything.returncode, errors) == (0, "")
    of_second, errors = second.communicate(timeout=240)
    assert [one[15:].strip() for one in of_second.splitlines()] == ["1  running on cpu", "1  info stdout: last"]
    assert (second.returncode, errors) == (0, "")


def test_follow_refuses_an_experiment_that_cannot_come(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Waiting for an experiment that the run does not have would be silent for ever."""
    assert call("log", "ended", "--follow", "-e", "99", "--storage", str(run.path.parent)) == 2
    assert "the run has no experiment 99 (known: 0 to 1)" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["log"], ["log", "--json"], ["show"], ["runs"]])
def test_a_reader_that_leaves_early(arguments: list[str], run: Run) -> None:
    """`mlgym log | head` ends quietly: neither a traceback nor a complaint of the interpreter."""
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-m", "mlgym", *arguments, "--storage", str(run.path.parent)],
        stdout=writing, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writing)
    assert process.communicate(timeout=240)[1] == ""
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is missing")
@pytest.mark.parametrize("arguments", [["log"], ["show"], ["runs", "--json"]])
def test_an_output_that_is_full(arguments: list[str], run: Run) -> None:
    """Results that cannot be written are an error of one line, not a traceback and not a success."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mlgym", *arguments, "--storage", str(run.path.parent)],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=240, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("name", ["show", "log"])
def test_storage_folders_without_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing folder, an empty one and a file: what to do is said."""
    (tmp_path / "file").touch()
    assert call(name, "--storage", str(tmp_path / "missing")) == 2
    assert "start one with `mlgym run CONFIG`, or name a folder by `--storage`" in capsys.readouterr().err
    assert call(name, "--storage", str(tmp_path / "file")) == 2
    assert "`--storage` takes the folder with one folder per run" in capsys.readouterr().err


def test_a_log_that_holds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that died at its start, or whose log is damaged from its start, is shown as far as it is known."""
    for name, content in (("empty", b""), ("damaged", b"garbage\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "event_storage.log").write_bytes(content)
        assert call("show", name, "--storage", str(tmp_path)) == 0
        assert capsys.readouterr().out.strip() == f"{name}  crashed: no experiments yet"
        assert call("log", name, "--follow", "--storage", str(tmp_path)) == 0
    assert call("runs", "--storage", str(tmp_path)) == 0
    assert capsys.readouterr().out.count("crashed") == 2


def test_a_damaged_log_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command that looks at it says where it is damaged and what to do; an end that is only torn is no damage."""
    path = tmp_path / "hurt" / "event_storage.log"
    path.parent.mkdir()
    path.write_bytes(b"".join(lines(5)) + b"{not an event\n" + lines(1)[0])
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / path.name).write_bytes(b"".join(lines(5))[:-7])
    for name in ("show", "log", "report"):
        assert call(name, "hurt", "--storage", str(tmp_path)) == 0
        printed = capsys.readouterr()
        assert re.search(r"run hurt: the log is damaged in line 6 \(byte [\d,]+\)", printed.err), name
        assert "`mlgym resume hurt` goes on from what stands" in printed.err
    assert call("runs", "--storage", str(tmp_path)) == 0
    printed = capsys.readouterr()
    assert (printed.out.count(", damaged"), printed.err.count("is damaged")) == (1, 1)
    assert call("runs", "--json", "--storage", str(tmp_path)) == 0
    found = {run["run_id"]: run["problem"] for run in json.loads(capsys.readouterr().out)}
    assert found["hurt"].startswith("the log is damaged in line 6")
    assert found["torn"] is None


def test_errors_do_not_drive_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A config from somewhere else can name its keys in escapes; the message about them shows these."""
    (tmp_path / "c.yml").write_text('version: 1\n"\\e[2J\\u202e": 1\n')
    assert call("check", str(tmp_path / "c.yml")) == 2
    printed = capsys.readouterr().err
    assert "\\x1b[2J\\u202e" in printed
    assert not {"\x1b", "\u202e"} & {*printed}
