"""What a worker does around its job."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from mlgym.errors import Interrupted
from mlgym.events import EventSink, JobStatus, Log, MemorySink
from mlgym.execution.job import Exit, Job, decode_job, encode_job
from mlgym.execution.perform import perform
from mlgym.execution.stop_request import StopRequest
from mlgym.execution.worker import warm_up
from mlgym.execution.worker_logging import captured_logging


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


def test_a_job_survives_the_way_as_json() -> None:
    """Encoded and decoded it is the same, awkward config included."""
    sent = job("x", seed=2**62, time_limit_s=1.5, imports=["a.b"], folder="/ä ö")
    assert decode_job(encode_job(sent)) == sent


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


def test_ends_are_described() -> None:
    """Code, signal and reason each make half a sentence."""
    assert Exit(code=3).describe() == "exited with code 3 without finishing"
    assert Exit(signal=signal.SIGKILL).describe() == "was killed by SIGKILL"
    assert Exit(signal=63).describe().startswith("was killed by ")
    assert Exit(reason="was lost").describe() == "was lost"


def test_logging_is_captured_and_put_back() -> None:
    """INFO and above become events, long messages are cut, terminal handlers are put aside and come back."""
    root, sink = logging.getLogger(), MemorySink()
    terminal = logging.StreamHandler()
    root.addHandler(terminal)
    before = root.handlers[:], root.level
    try:
        with captured_logging(sink, "run", 1):
            assert terminal not in root.handlers
            logging.getLogger("a").debug("too much")
            logging.getLogger("a").info("x" * 10_000)
            logging.getLogger("b").exception("failed \udcff", exc_info=ValueError("why"))
        assert (root.handlers, root.level) == before
    finally:
        root.removeHandler(terminal)
    logs = [payload for payload in sink.payloads if isinstance(payload, Log)]
    assert [(log.level, log.logger) for log in logs] == [("info", "a"), ("error", "b")]
    assert logs[0].message.endswith("... (1,808 more characters)")
    assert logs[1].message.startswith("failed \\udcff\n")
    assert "ValueError: why" in logs[1].message


def test_a_flood_of_log_records_is_held_back() -> None:
    """A loop that logs cannot fill the event log; what is missing is counted."""
    sink = MemorySink()
    with captured_logging(sink, "run", 1):
        for _ in range(10_000):
            logging.getLogger("loop").info("again")
    logs = [payload for payload in sink.payloads if isinstance(payload, Log)]
    assert len(logs) < 3000
    assert "were left out here" in logs[-1].message


def test_a_forked_child_tells_no_events(capfd: pytest.CaptureFixture[str]) -> None:
    """A loader's worker that logs would repeat its parent's event numbers; it writes to stderr instead."""
    from mlgym.execution.pipe_sink import PipeSink

    read_end, write_end = os.pipe()
    sink = PipeSink(write_end)
    with captured_logging(sink, "run", 1):
        logging.getLogger("parent").info("from the parent")
        if os.fork() == 0:
            os.close(read_end)
            logging.getLogger("child").info("from the child")
            os._exit(0)
        os.wait()
    os.close(write_end)
    told = os.read(read_end, 10_000)
    os.close(read_end)
    assert b"from the parent" in told
    assert b"from the child" not in told
    assert "INFO child: from the child" in capfd.readouterr().err


@pytest.mark.slow
def test_after_a_warm_up_building_makes_no_new_validators(tmp_path: Path) -> None:
    """What the fork server works out once, no child works out again."""
    from mlgym.config import RunFacts, build, check, load, resolve
    from mlgym.config.adapters import _cached_adapter

    config = {
        "version": 1,
        "extends": "preset/classification",
        "components": {
            "data": {"use": "digits"},
            "model": {"use": "mlp", "hidden": [8]},
            "optimizer": {"use": "adam", "model": "$model", "lr": 0.1},
        },
    }
    resolved = resolve(check(load(config))[0].config)
    _cached_adapter.cache_clear()
    warm_up(resolved)
    before = _cached_adapter.cache_info().misses
    assert before > 20
    build(resolved, RunFacts(dir=str(tmp_path)))
    assert _cached_adapter.cache_info().misses == before
