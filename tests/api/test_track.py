"""Runs of loops that are not MLgym's: what can be logged, how they end, what a kill, a fork or a full disk costs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

import mlgym
from mlgym.api import TrackedRun
from mlgym.api import tracking as module
from mlgym.errors import HubError, RunError
from mlgym.events import EvaluationResult, Event, MetricScore, encode, read_log
from mlgym.events.codec import encode_scores
from mlgym.events.experiment_fold import ExperimentStatusName
from mlgym.events.writer_mark import MARK
from tests.server.service import ALL, Service, free_port


def loaded(run: TrackedRun) -> mlgym.Run:
    return mlgym.load_run(run.run_id, run.path.parent)


def test_numbers(tmp_path: Path) -> None:
    """Whatever a loop has its numbers in comes out as it went in, under `split/metric`."""
    with mlgym.track("kinds", storage=tmp_path) as run:
        run.log({"val/f1": 0.5, "loss": 1, "done": True}, step=3)
        run.log({"val": {"f1": np.float32(0.25), "by": {"class": np.int64(7)}}, "skipped": None})
        run.log({"val/f1": torch.tensor(0.125, requires_grad=True), "one": torch.ones(1, 1, 1), "np": np.array([2.5])})
        run.log({"val/f1": math.nan, "up": math.inf, "down": np.float64("-inf"), "huge": 10**400}, step=np.int64(9))
        run.log({"val/confusion": np.array([[3, 1], [0, 4]])}, step=10.0, epoch=2)  # type: ignore[arg-type]  # as loops give it
        run.log({})
    experiment = loaded(run).experiments[0]
    assert list(experiment.history("val/f1").steps) == [3, 4, 5, 9]
    assert list(experiment.history("val/f1").values)[:3] == [0.5, 0.25, 0.125]
    assert math.isnan(experiment.latest["val/f1"])
    del experiment.latest["val/f1"]
    expected = {"run/loss": 1.0, "run/done": 1.0, "val/by/class": 7.0, "run/one": 1.0, "run/np": 2.5}
    infinite = {"run/up": math.inf, "run/down": -math.inf, "run/huge": math.inf}
    assert {key: value for key, value in experiment.latest.items() if key != "val/f1"} == expected | infinite
    table = experiment.state.tables["val/confusion"]
    assert (table.values, table.step, table.epoch) == ([[3.0, 1.0], [0.0, 4.0]], 10, 2)


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ({"val/name": "adam"}, "`val/name` must be a number, but is a str: texts go to `run.log_text`"),
        ({"val": {"grads": np.ones(3)}}, "`val/grads` must be a number, but is a ndarray: log a mean of it"),
        ({"a": torch.ones(2)}, "`a` must be a number, but is a Tensor"),
        ({"t": np.array([["a"]])}, "`t` must be a matrix of numbers, but is a ndarray: texts go to `run.log_text`"),
        ({3: 1.0}, "a key is 3"),
        ({"/": 1.0}, "a key is '/'"),
    ],
)
def test_no_numbers(metrics: dict[Any, Any], told: str, tmp_path: Path) -> None:
    """What is no number is refused by its key, and nothing of that call is logged."""
    with mlgym.track("wrong", storage=tmp_path) as run:
        with pytest.raises(RunError, match=told.replace("(", r"\(")):
            run.log({"good": 1.0, **metrics})
        for step in (-1, "3", 1.5, [1], 2**63):
            with pytest.raises(RunError, match="`step` must be"):
                run.log({"good": 1.0}, step=step)  # type: ignore[arg-type]  # no step
        run.log({"good": 2.0}, step=0)
    assert loaded(run).experiments[0].latest == {"run/good": 2.0}


def test_quick_lines_are_the_same_lines() -> None:
    """The short cut for numbers writes what the long way writes, also where it has to give up."""
    for score in (0.1, 1e-300, 12345678901.5, None):
        for metric in ("f1", 'ä"\\', "\ud800"):
            scores = [MetricScore(metric, "val", score, "nan" if score is None else None)]
            payload = EvaluationResult(
                grid_search_id="r", experiment_id=0, epoch=0, step=1, metric_scores=scores, loss_scores=[]
            )
            event = Event(event_type="evaluation_result", creation_ts=1, payload=payload, producer="p", seq=1)
            assert encode_scores(event) == encode(event)


@dataclasses.dataclass
class Settings:
    lr: float = 0.1
    place: Path = Path("data")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, {}),
        (Settings(), {"lr": 0.1, "place": "data"}),
        (argparse.Namespace(lr=0.1), {"lr": 0.1}),
        ({"a": {1: (np.float64(2), {3})}, "n": math.nan, "d": torch.float32, "f": print, "x": np.ones(2)}, None),
    ],
)
def test_configs(config: Any, expected: dict[str, Any] | None, tmp_path: Path) -> None:
    """A config is what a program has: a mapping, a dataclass, arguments; what JSON lacks becomes text."""
    with mlgym.track("config", config, storage=tmp_path) as run:
        pass
    stored = loaded(run).experiments[0].config
    written = json.loads((run.path / "0" / "experiment_config.json").read_text())
    assert {key: value for key, value in written.items() if key != "config_id"} == stored == run.config
    if expected is not None:
        assert stored == expected
    else:
        assert (stored["a"], stored["n"], stored["d"], stored["x"]) == (
            {"1": [2.0, [3]]},
            "nan",
            "torch.float32",
            [1, 1],
        )
    with pytest.raises(RunError, match="must be a mapping"):
        mlgym.track("config", ["lr"], storage=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("error", "status", "counted"),
    [
        (None, "finished", "done"),
        (ValueError("no more data"), "finished", "failed"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
        (SystemExit(0), "finished", "done"),
        (SystemExit(3), "finished", "failed"),
        (SystemExit(143), "interrupted", "interrupted"),
    ],
)
def test_ends(error: BaseException | None, status: str, counted: ExperimentStatusName, tmp_path: Path) -> None:
    """An error marks the run and goes on to whoever called; being stopped is no failure."""
    caught: BaseException | None = None
    try:
        with mlgym.track("end", storage=tmp_path) as run:
            run.log({"loss": 1.0})
            if error is not None:
                raise error
    except BaseException as raised:
        caught = raised
    assert caught is error
    state = loaded(run).state
    assert (state.status, state.counts[counted]) == (status, 1)
    experiment = state.experiments[0]
    if counted == "failed":
        assert experiment.error is not None
        assert experiment.error.startswith(type(error).__name__)
        assert "test_track.py" in (experiment.stacktrace or "")
    run.finish()
    with pytest.raises(RunError, match="has ended"):
        run.log({"loss": 1.0})
    with pytest.raises(RunError, match="has ended"):
        run.log_text("a", "b")


PROGRAM = """
import os, sys
import mlgym
run = mlgym.track("program", {{}}, storage=sys.argv[1], run_id="run")
assert "torch" not in sys.modules and "matplotlib" not in sys.modules
{body}
"""


def start(storage: Path, body: str) -> subprocess.Popen[bytes]:
    program = PROGRAM.format(body=body)
    return subprocess.Popen(
        [sys.executable, "-c", program, str(storage)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize(
    ("body", "status", "failed"),
    [
        ("run.log({'loss': 1.0})", "finished", 0),
        ("run.log({'loss': 1.0})\nraise ValueError('no more data')", "finished", 1),
        ("run.log({'loss': 1.0})\nos.fork() or os._exit(0)", "finished", 0),
    ],
    ids=["end", "error", "child"],
)
def test_end_of_a_program(body: str, status: str, failed: int, tmp_path: Path) -> None:
    """Without `with`, as in a notebook, the end of the program ends the run; PyTorch is never imported."""
    start(tmp_path, body).communicate(timeout=240)
    state = mlgym.load_run("run", tmp_path).state
    assert (state.status, state.counts["failed"], list(state.experiments[0].metrics)) == (status, failed, ["run/loss"])


KILLED = """
for step in range(1_000_000):
    run.log({{"train/loss": 1.0 / (step + 1)}}, step=step)
    os.write(1, b"%7d\\n" % step)
"""
UNPROTECTED = """
run._log.append_unsynced = lambda body, origin: run._sink._put(body, origin)
run._sink.flush = lambda **_: 0
"""


@pytest.mark.parametrize("is_protected", [True, False], ids=["protected", "control"])
def test_kill(is_protected: bool, tmp_path: Path) -> None:
    """Killed at any moment, a program loses no number for which `log` returned; held in memory, they would be lost."""
    program = start(tmp_path, ("" if is_protected else UNPROTECTED) + KILLED.replace("{{", "{").replace("}}", "}"))
    assert program.stdout is not None
    told = [program.stdout.read(8) for _ in range(2000)]
    program.send_signal(signal.SIGKILL)
    rest, _ = program.communicate(timeout=240)
    num_told = len(told) + len(rest) // 8
    run = mlgym.load_run("run", tmp_path)
    logged = list(run.experiments[0].history("train/loss").steps) if run.experiments[0].state.metrics else []
    assert run.status == "crashed"
    assert (logged[:num_told] == list(range(num_told))) == is_protected
    shown = subprocess.run(
        [sys.executable, "-m", "mlgym", "show", "run", "--storage", str(tmp_path)], capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert "crashed" in shown.stdout
    assert "resume" not in shown.stderr


def test_a_child_cannot_log(tmp_path: Path) -> None:
    """A forked child, such as a worker of a loader, is told; the run of its parent goes on as if nothing had been."""
    with mlgym.track("fork", storage=tmp_path) as run:
        run.log({"loss": 1.0})
        if (child := os.fork()) == 0:
            try:
                run.log({"loss": 5.0})
            except RunError as error:
                run.finish()
                os._exit(7 if "from the process that tracks it" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        run.log({"loss": 2.0})
    assert list(loaded(run).experiments[0].history("run/loss").values) == [1.0, 2.0]


def test_threads(tmp_path: Path) -> None:
    """Several threads log at once; each number stands there once."""
    with mlgym.track("threads", storage=tmp_path) as run:

        def work(number: int) -> None:
            for step in range(200):
                run.log({f"t/{number}": float(step)}, step=step)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    experiment = loaded(run).experiments[0]
    assert [list(experiment.history(f"t/{number}").values) for number in range(4)] == [[*map(float, range(200))]] * 4


def test_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While nothing can be written, numbers wait in memory, and the loop goes on; then all of them are written."""
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=800k none {small} 2>/dev/null") != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        with caplog.at_level(logging.WARNING), mlgym.track("full", storage=small) as run:
            run.log({"loss": 0.0})
            free = os.statvfs(small).f_bavail * os.statvfs(small).f_frsize
            (small / "ballast").write_bytes(bytes(free - 40_000))
            for step in range(1, 1000):
                run.log({"loss": float(step)})
            with pytest.raises(RunError, match="cannot be written: No space left"):
                run.log_text("long", "x" * 100_000)
            (small / "ballast").unlink()
            run.log({"loss": 1000.0})
        assert list(loaded(run).experiments[0].history("run/loss").values) == [*map(float, range(1001))]
        assert not list((run.path / "0" / "artifacts").iterdir())
    finally:
        os.system(f"umount -l {small}")


def test_steps_that_go_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A metric whose steps begin again is told once, since curves show the last round only; others may differ."""
    with caplog.at_level(logging.WARNING), mlgym.track("steps", storage=tmp_path) as run:
        for _ in range(2):
            for step in range(3):
                run.log({"train/loss": torch.tensor(1.0), "train/same": 1.0}, step=step)
            run.log({"val/loss": 1.0}, step=_)
    assert caplog.text.count("`train/loss` was logged for step 0 after step 2") == 1
    assert [line.level for line in loaded(run).experiments[0].state.recent_logs] == ["warning"]


def test_resume(tmp_path: Path) -> None:
    """A program that is started again goes on with its run: the same curves, artifacts and id."""
    for attempt in range(2):
        with mlgym.track("again", {"lr": attempt}, storage=tmp_path, run_id="run", resume=True) as run:
            run.log({"loss": float(attempt)}, epoch=None if attempt else 3)
            run.log_text("sample", str(attempt))
            if not attempt:
                with pytest.raises(RunError, match="goes on already"):
                    mlgym.track("again", storage=tmp_path, run_id="run", resume=True)
    found = loaded(run)
    experiment = found.experiments[0]
    assert list(experiment.history("run/loss").epochs) == [3, 3]
    assert (list(experiment.history("run/loss").steps), experiment.config, experiment.state.attempt) == (
        [0, 1],
        {"lr": 1},
        1,
    )
    assert [experiment.artifact("sample", version).read_text() for version in (0, 1, None)] == ["0", "1", "1"]
    with pytest.raises(RunError, match="exists already"):
        mlgym.track("again", storage=tmp_path, run_id="run")
    with pytest.raises(RunError, match=r"mlgym\.track"):
        mlgym.resume("run", storage=tmp_path)


@pytest.mark.slow
def test_hub(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A hub gets events as they happen and everything in the end, artifacts too; one that is away costs a warning."""
    with Service(tmp_path / "hub", program=ALL) as hub:
        with mlgym.track("hub", {"lr": 1}, storage=tmp_path / "here", run_id="run", hub=hub.url) as run:
            run.log({"val/f1": 0.5})
            path = run.log_text("a text", "ä" * 100)
        there = {each.relative_to(tmp_path / "hub"): each.read_bytes() for each in files(tmp_path / "hub" / "run")}
        here = {each.relative_to(tmp_path / "here"): each.read_bytes() for each in files(run.path) if each.name != MARK}
        assert there.items() >= here.items()
        url = f"{hub.url}/api/v1/runs/run/artifacts/0/{path.parent.name}/{path.name}"
        answer = httpx.get(url, trust_env=False, timeout=60)
        assert (answer.content, answer.headers["content-type"]) == (path.read_bytes(), "application/octet-stream")
        (listed,) = httpx.get(f"{hub.url}/api/v1/runs/run/artifacts", trust_env=False, timeout=60).json()
        assert (listed["name"], list(listed["files"])) == (path.parent.name, [path.name])
    assert caplog.text == ""
    away = f"http://127.0.0.1:{free_port()}"
    with mlgym.track("away", storage=tmp_path / "here", run_id="away", websocket_logging_servers=[away]) as run:
        run.log({"val/f1": 0.5})
    assert loaded(run).status == "finished"
    assert caplog.text.count("cannot be reached") == 1
    with pytest.raises(HubError, match="no address"):
        mlgym.track("wrong", storage=tmp_path / "none", hub="127.0.0.1")
    assert not (tmp_path / "none").exists()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_signal_handler_that_logs(tmp_path: Path) -> None:
    """A handler that logs while the loop is in the middle of logging waits for nothing, and both numbers are there."""
    num_signals = 0
    with mlgym.track("signals", storage=tmp_path) as run:

        def on_signal(*_: object) -> None:
            nonlocal num_signals
            num_signals += 1
            run.log({"of/handler": 1.0})

        before = signal.signal(signal.SIGALRM, on_signal)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            for step in range(20_000):
                run.log({"of/loop": float(step)}, step=step)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    # Handlers interrupt each other, too, so that their order is nobody's.
    logged = [
        event["payload"]["metric_scores"]
        for _, event in read_log(run.path / "event_storage.log")
        if "metric_scores" in event["payload"]
    ]
    assert num_signals > 10
    assert [scores[0]["metric"] for scores in logged].count("handler") == num_signals
    assert [scores[0]["score"] for scores in logged if scores[0]["metric"] == "loop"] == [*map(float, range(20_000))]


def test_a_tracked_run_is_nothing_to_reproduce(tmp_path: Path) -> None:
    """MLgym cannot start somebody's own program, and says so instead of naming a file that is not there."""
    with mlgym.track("loop", storage=tmp_path, run_id="one") as run:
        run.log({"val/f1": 0.5})
    with pytest.raises(RunError, match=r"own \(`mlgym.track`\), which MLgym cannot start: start it yourself"):
        mlgym.reproduce("one", storage=tmp_path)


def test_resume_with_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A run that went on elsewhere is brought first, all of it or what lacks; control: else it has two histories."""

    def log(folder: str, run_id: str, value: float) -> list[float]:
        with mlgym.track("far", storage=tmp_path / folder, run_id=run_id, resume=True, hub=hub.url) as run:
            run.log({"loss": value})
        return list(loaded(run).experiments[0].history("run/loss").values)

    with Service(tmp_path / "hub", program=ALL) as hub:
        machines = ("here", "elsewhere", "here")
        assert [log(machine, "run", number) for number, machine in enumerate(machines)][-1] == [0, 1, 2]
        with monkeypatch.context() as patched:
            patched.setattr(module, "keep_one_history", lambda *_: None)
            assert [log(machine, "other", number) for number, machine in enumerate(machines)][-1] == [0, 2]
    assert (tmp_path / "hub/run/event_storage.log").read_bytes() == (
        tmp_path / "here/run/event_storage.log"
    ).read_bytes()
    assert caplog.text.count("brought run `run`") == caplog.text.count("which had more of the run") == 1
