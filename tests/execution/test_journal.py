"""The driver's journal: events to log and state, output to log events and text files, floods held back."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlgym.events import EventLog, JobStatus, Log, Producer, RunState, read_log
from mlgym.execution.job import Job
from mlgym.execution.journal import Journal
from mlgym.execution.output.text_logs import TextLogs
from mlgym.execution.scheduler import LostEnd


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Watching:
    """Counts how often it is shown the state."""

    def __init__(self) -> None:
        self.shown: list[dict[str, int]] = []

    def update(self, state: RunState) -> None:
        self.shown.append({str(name): count for name, count in state.counts.items()})


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    """An open log of a run named `run`."""
    (tmp_path / "run").mkdir()
    with EventLog.open(tmp_path / "run" / "event_storage.log") as log:
        yield log


JOB = Job(run_id="run", experiment_id=3, job_id="run-0", run_dir="/", config={}, device="cuda:1", attempt=2)


def status(kind: Any, **more: Any) -> JobStatus:
    return JobStatus(job_id="run-0", status=kind, grid_search_id="run", experiment_id=3, **more)


def stored(log: EventLog) -> list[dict[str, Any]]:
    return [entry.event for entry in read_log(log.path)]


def test_events_are_written_in_order_within_20_ms(log: EventLog) -> None:
    """Nothing is written before the group is due, everything after; `tick` says when that is."""
    clock = Clock()
    journal = Journal(log, "run", clock=clock)
    producer = Producer()
    clock.now += 1
    assert journal.tick() > 0.1
    journal.note("info", "first")
    assert journal.take_events(JOB, [producer.encode(status("RUNNING"))])[0]["status"] == "RUNNING"
    assert journal.tick() <= 0.02
    assert stored(log) == []
    clock.now += 0.021
    assert journal.tick() > 0.1
    assert [event["event_type"] for event in stored(log)] == ["log", "job_status"]
    assert journal.state.experiments[3].status == "running"
    assert journal.state.num_events == 2


def test_an_eager_journal_writes_at_once(log: EventLog) -> None:
    """A driver that runs experiments itself has no loop meanwhile: each delivery is written."""
    journal = Journal(log, "run", eager=True, clock=Clock())
    journal.take_events(JOB, [Producer().encode(status("RUNNING"))])
    assert len(stored(log)) == 1


def test_what_is_no_event_is_noted(log: EventLog) -> None:
    """Garbage from a worker is not stored, and does not end the run."""
    journal = Journal(log, "run")
    assert journal.take_events(JOB, [b"garbage", b'{"event_type": 3}']) == []
    assert journal.close(1) is None
    assert all("sent what is no event" in event["payload"]["message"] for event in stored(log))
    assert len(stored(log)) == 2


def test_output_becomes_log_events_and_text(log: EventLog, tmp_path: Path) -> None:
    """stdout is info, stderr a warning; the text file has them too, with what was logged."""
    journal = Journal(log, "run", text_logs=TextLogs(tmp_path / "text" / "run"))
    journal.take_output(JOB, "stdout", ["one", "two"])
    journal.take_output(JOB, "stderr", ["three"])
    journal.take_output(None, "stdout", ["from the server"])
    logged = Log(grid_search_id="run", experiment_id=3, level="error", logger="user", message="four")
    journal.take_events(JOB, [Producer().encode(logged)])
    journal.end(JOB, status={}, missing=None)
    journal.close(1)
    payloads = [event["payload"] for event in stored(log)]
    assert [(p["experiment_id"], p["level"], p["logger"], p["message"]) for p in payloads] == [
        (3, "info", "stdout", "one"),
        (3, "info", "stdout", "two"),
        (3, "warning", "stderr", "three"),
        (None, "info", "stdout", "from the server"),
        (3, "error", "user", "four"),
    ]
    lines = (tmp_path / "text" / "run" / "3.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "INFO stdout: one",
        "INFO stdout: two",
        "WARNING stderr: three",
        "ERROR user: four",
    ]


def test_a_flood_reaches_the_text_file_but_not_the_log(log: EventLog, tmp_path: Path) -> None:
    """Of a million lines the log has a burst and a line that counts the rest; the text file has all of them."""
    journal = Journal(log, "run", text_logs=TextLogs(tmp_path / "text"), clock=Clock())
    for _ in range(100):
        journal.take_output(JOB, "stdout", ["x" * 20] * 1000)
    journal.take_output(JOB, "stdout", ["the end"])
    end = LostEnd(error="worker was killed by SIGKILL", exit_signal="SIGKILL", interrupted=False, started_at=5.0)
    journal.end(JOB, status=None, missing=end)
    journal.close(1)
    payloads = [event["payload"] for event in stored(log)]
    messages = [payload.get("message", "") for payload in payloads[:-1]]
    (notice,) = [message for message in messages if "were left out" in message]
    assert notice == "97,961 lines of output were left out here: more than 50 a second"
    assert messages == ["x" * 20] * 2000 + [notice] + ["x" * 20] * 39 + ["the end"]
    assert payloads[-1]["log_tail"] == ["x" * 20] * 39 + ["the end"]
    assert len((tmp_path / "text" / "3.log").read_text().splitlines()) == 100_002


def test_a_lost_end_is_told_for_the_worker(log: EventLog) -> None:
    """DONE has the error, the signal, device, attempt and the last 40 lines; the state says failed."""
    journal = Journal(log, "run")
    journal.take_output(JOB, "stdout", [f"line {number}" for number in range(100)])
    end = LostEnd(error="worker was killed by SIGKILL", exit_signal="SIGKILL", interrupted=False, started_at=5.0)
    journal.end(JOB, status=None, missing=end)
    journal.close(1)
    done = stored(log)[-1]["payload"]
    assert done["log_tail"] == [f"line {number}" for number in range(60, 100)]
    assert (done["status"], done["error"], done["exit_signal"]) == ("DONE", end.error, "SIGKILL")
    assert (done["starting_time"], done["device"], done["attempt"]) == (5.0, "cuda:1", 2)
    assert journal.state.experiments[3].status == "failed"


def test_the_observer_is_not_overrun(log: EventLog) -> None:
    """However often the loop turns, the state is shown five times a second, and once at the end."""
    clock, observer = Clock(), Watching()
    journal = Journal(log, "run", observer=observer, clock=clock)
    for _ in range(1000):
        clock.now += 0.001
        journal.tick()
    assert 4 <= len(observer.shown) <= 6
    journal.close(1)
    assert len(observer.shown) <= 7


def test_events_that_cannot_be_written_are_told(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a disk that stays full, `close` gives up after its patience and says what is missing; else it catches up."""
    journal = Journal(log, "run")
    journal.note("info", "lost?")

    def refuse(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        unwritten = journal.close(0.2)
    assert unwritten is not None
    assert "1 events were not written" in unwritten
    assert "No space left on device" in unwritten
    assert journal.close(0.2) is None
    assert len(stored(log)) == 1


def test_memory_does_not_grow_with_what_is_behind(log: EventLog) -> None:
    """After the end of an experiment its config and log lines are let go of; its results stay."""
    from mlgym.events import ExperimentConfig

    journal = Journal(log, "run")
    journal.emit(
        ExperimentConfig(grid_search_id="run", experiment_id=3, job_id="run-0", config={"a": 1}, swept={"b": 2})
    )
    journal.take_output(JOB, "stdout", ["line"])
    assert journal.state.experiments[3].config == {"a": 1}
    journal.end(JOB, status={}, missing=None)
    experiment = journal.state.experiments[3]
    assert (experiment.config, list(experiment.recent_logs), experiment.swept) == ({}, [], {"b": 2})
