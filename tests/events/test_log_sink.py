"""The buffer before the log: order, bounds, failures, threads."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgym.errors import EventLogError
from mlgym.events import Digest, EventLog, EventSink, LogSink, Producer
from tests.events.samples import RUN_ID, log_event, messages


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    (tmp_path / "a-run").mkdir()
    with EventLog.open(tmp_path / "a-run" / "event_storage.log") as log:
        yield log


def break_disk(monkeypatch: pytest.MonkeyPatch, log: EventLog) -> None:
    inode, real = log.path.stat().st_ino, os.write

    def write(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_ino == inode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)


def digest(step: int) -> Digest:
    return Digest(grid_search_id=RUN_ID, experiment_id=0, epoch=0, step=step, parameters="a", optimizer="b")


def test_it_is_an_event_sink(log: EventLog) -> None:
    """What is emitted is pending until a flush, then in the log, in order."""
    sink: EventSink = LogSink(log)
    assert isinstance(sink, LogSink)
    sink.emit(log_event("a"))
    sink.emit_encoded(Producer().encode(log_event("b")))
    sink.emit(log_event("c"))
    assert (sink.pending, log.num_events) == (3, 0)
    assert sink.flush() == 3
    assert (sink.pending, sink.flush()) == (0, 0)
    assert messages(log.path) == ["a", "b", "c"]


def test_what_is_no_event_is_refused_at_once(log: EventLog) -> None:
    """A line that can never be written does not wait in front of the others."""
    sink = LogSink(log)
    sink.emit(log_event("a"))
    with pytest.raises(EventLogError, match="not an event"):
        sink.emit_encoded(b"nonsense")
    with pytest.raises(EventLogError, match="at most"):
        sink.emit(log_event("x" * 2**24))
    sink.emit(log_event("b"))
    assert sink.flush() == 2


def test_failures_pause(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure the next flushes return at once, for a while; then it is tried again."""
    clock = [100.0]
    monkeypatch.setattr("mlgym.events.log_sink.time.monotonic", lambda: clock[0])
    sink = LogSink(log)
    sink.emit(log_event("a"))
    with monkeypatch.context() as patched:
        break_disk(patched, log)
        assert sink.flush() == 0
        assert "No space left" in str(sink.error)
    assert sink.flush() == 0
    assert sink.pending == 1
    clock[0] += 0.06
    assert sink.flush() == 1
    assert sink.error is None
    assert messages(log.path) == ["a"]


def test_pauses_grow_and_end(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause doubles up to two seconds, and is short again after a success."""
    sink = LogSink(log)
    with monkeypatch.context() as patched:
        break_disk(patched, log)
        sink.emit(log_event("a"))
        for _ in range(10):
            sink.flush(ignore_pause=True)
        assert sink._pause_s == 2.0
    assert sink.flush(ignore_pause=True) == 1
    assert sink._pause_s == 0.05


def test_a_full_buffer_drops_progress_first(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """With half of the buffer taken log lines are dropped, with all of it everything; the log tells afterwards."""
    sink = LogSink(log, max_pending_bytes=20_000)
    with monkeypatch.context() as patched:
        break_disk(patched, log)
        for number in range(200):
            sink.emit(log_event(str(number)))
        num_logs = sink.pending
        assert 0 < num_logs < 100
        for number in range(10):
            sink.emit(digest(number))
        assert sink.pending == num_logs + 10
        for number in range(10, 100):
            sink.emit(digest(number))
        assert num_logs + 10 < sink.pending < num_logs + 100
        assert sink.dropped == 300 - sink.pending
        sink.flush()
    kept = sink.pending
    assert sink.flush(ignore_pause=True) == kept
    assert sink.flush() == 1
    events = [json.loads(line) for line in log.path.read_bytes().splitlines()]
    assert [e["payload"]["message"] for e in events[:num_logs]] == [str(number) for number in range(num_logs)]
    assert events[-1]["payload"]["message"] == f"{300 - kept} events were dropped while the log could not be written"
    assert events[-1]["payload"]["grid_search_id"] == "a-run"
    sink.emit(log_event("again"))
    assert sink.flush() == 1


def test_large_backlogs_are_written_in_groups(log: EventLog) -> None:
    """A backlog of many MB is written in several groups, and nothing is left."""
    sink = LogSink(log)
    for number in range(12):
        sink.emit(log_event(str(number) + "x" * 2**20))
    assert sink.flush() == 12
    assert [message[:2].strip("x") for message in messages(log.path)] == [str(number) for number in range(12)]


def test_threads(log: EventLog) -> None:
    """Threads emit while one flushes: everything arrives once, in the order of each thread."""
    sink = LogSink(log)

    def work(n: int) -> None:
        for i in range(2000):
            sink.emit(log_event(f"{n} {i}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or sink.pending:
        sink.flush()
    found = messages(log.path)
    assert len(found) == 8000
    for n in range(4):
        assert [text for text in found if text.startswith(f"{n} ")] == [f"{n} {i}" for i in range(2000)]


def test_a_forked_producer_takes_a_new_name() -> None:
    """A child that goes on with its parent's producer is another producer: its events are no repeats."""
    producer = Producer()
    producer.encode(log_event())
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.write(write_end, producer.encode(log_event()))
        os._exit(0)
    os.wait()
    child = json.loads(os.read(read_end, 10_000))
    os.close(read_end)
    os.close(write_end)
    here = json.loads(producer.encode(log_event()))
    assert (child["seq"], here["seq"]) == (0, 1)
    assert child["producer"] != here["producer"]
