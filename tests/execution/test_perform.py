"""A job from RUNNING to DONE, and what may ask it to end."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import msgspec
import pytest

import mlgym.execution.perform as perform_module
from mlgym.errors import Interrupted
from mlgym.events import EventSink, JobStatus, Log, MemorySink
from mlgym.execution.job import Job
from mlgym.execution.out_of_memory import is_out_of_memory
from mlgym.execution.perform import perform
from mlgym.execution.stop_request import StopRequest


def job(entry: str, **more: Any) -> Job:
    return Job(
        run_id="run", experiment_id=1, job_id="run-0", run_dir="/", config={}, entry=f"{__name__}:{entry}", **more
    )


def do_nothing(job: Job, sink: EventSink, stop: StopRequest) -> None:
    pass


def obey(job: Job, sink: EventSink, stop: StopRequest) -> None:
    if stop.requested:
        raise Interrupted


def raise_from(job: Job, sink: EventSink, stop: StopRequest) -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError from error


def statuses(entry: str, stop: StopRequest | None = None, **more: Any) -> list[JobStatus]:
    sink = MemorySink()
    perform(job(entry, **more), sink, stop or StopRequest(), nullcontext())
    return [payload for payload in sink.payloads if isinstance(payload, JobStatus)]


def test_success_failure_interruption_and_time_limit() -> None:
    """Each way to end has its DONE; times, device and attempt are on both events."""
    running, done = statuses("do_nothing", device="cuda:1", attempt=3)
    assert (running.status, done.status, done.error, done.interrupted) == ("RUNNING", "DONE", None, False)
    assert (done.device, done.attempt, done.starting_time) == ("cuda:1", 3, running.starting_time)
    assert done.finishing_time >= done.starting_time > 0

    for out_of_time, error in ((False, "interrupted"), (True, "exceeded its time limit of 2 s")):
        stop = StopRequest()
        stop.request(out_of_time=out_of_time)
        stop.request(out_of_time=not out_of_time)  # the first reason counts
        done = statuses("obey", stop, time_limit_s=2.0)[1]
        assert (done.error, done.interrupted) == (error, not out_of_time)

    done = statuses("raise_from")[1]
    assert done.error == "ValueError"
    assert done.stacktrace is not None
    assert "KeyError: 'inner'" in done.stacktrace


def lose_a_reader(job: Job, sink: EventSink, stop: StopRequest) -> None:
    raise RuntimeError(job.config["says"])


@pytest.mark.parametrize(
    ("says", "num_kills", "lacked_memory"),
    [
        ("DataLoader worker (pid 70) is killed by signal: Killed. ", 1, True),
        ("DataLoader worker (pid(s) 70, 71) exited unexpectedly", 1, True),
        ("DataLoader worker (pid 70) is killed by signal: Killed. ", 0, False),
        ("DataLoader worker (pid 70) is killed by signal: Segmentation fault. ", 1, False),
        ("labels out of range", 1, False),
    ],
)
def test_readers_that_the_kernel_killed_lacked_memory(
    says: str, num_kills: int, lacked_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The experiment itself lives, and tells of a lost process; it gets its try alone as one that was killed does."""
    kills = iter([5, 5 + num_kills])
    monkeypatch.setattr(perform_module, "oom_kills", lambda: next(kills))
    sink = MemorySink()
    perform(msgspec.structs.replace(job("lose_a_reader"), config={"says": says}), sink, StopRequest(), nullcontext())
    done = sink.payloads[-1]
    assert isinstance(done, JobStatus)
    assert is_out_of_memory(done.error) is lacked_memory
    assert ("fewer `num_workers`" in str(done.error)) is lacked_memory


def test_an_error_after_a_request_to_end_is_no_failure() -> None:
    """Batch systems signal loaders' workers too, whose loss is an error; without a request it is a failure."""
    for out_of_time, expected in (
        (None, ("ValueError", False)),
        (True, ("ValueError", False)),
        (False, ("interrupted", True)),
    ):
        stop, sink = StopRequest(), MemorySink()
        if out_of_time is not None:
            stop.request(out_of_time=out_of_time)
        perform(job("raise_from"), sink, stop, nullcontext())
        done = sink.payloads[-1]
        assert isinstance(done, JobStatus)
        assert (done.error, done.interrupted) == expected
        assert "KeyError: 'inner'" in (done.stacktrace or "")
        told = [payload.message for payload in sink.payloads if isinstance(payload, Log)]
        assert [message.endswith("newest checkpoint: ValueError") for message in told] == [True] * done.interrupted


def test_an_entry_that_is_missing_is_a_failure() -> None:
    """A wrong entry is told as any other error of the experiment."""
    done = statuses("no_such_function")[1]
    assert done.error is not None
    assert done.error.startswith("AttributeError")


def test_listeners_hear_of_a_request_made_before_they_came() -> None:
    """A signal that comes while the experiment is built is not lost."""
    stop, heard = StopRequest(), []
    stop.request(out_of_time=False)
    stop.on_request(lambda: heard.append(1))
    assert heard == [1]
