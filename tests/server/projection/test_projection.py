"""A run in memory: it agrees with the fold at every moment, follows its log, and survives what happens to the file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from mlgym.errors import EventLogError
from mlgym.events import Event, EventLog, encode
from mlgym.events.codec import check_body
from mlgym.events.log_sink import LogSink
from mlgym.events.scan import whole_lines
from mlgym.events.writer_mark import MARK, is_written_from_here
from mlgym.server.open_logs import OpenLogs
from mlgym.server.projection import past
from mlgym.server.projection.projection import Projection
from mlgym.server.refusal import RefusedError
from tests.server.projection.logs import RUN_ID, Recorder, shown, state_after, write_random_run, write_run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run" / "event_storage.log"


def projected(path: Path) -> Projection:
    projection = Projection(path)
    projection.refresh()
    return projection


@pytest.mark.parametrize("every", [1, 7, 4096])
def test_every_moment_is_what_the_fold_says(log: Path, every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state after any number of events is that of folding so many, however far the kept copies lie apart."""
    monkeypatch.setattr(past, "_EVERY_N_EVENTS", every)
    monkeypatch.setattr(past, "_EVENTS_PER_EXPERIMENT", 0)
    num_events = write_random_run(log, 160).num_events
    projection = projected(log)
    assert len(projection.past._copies) <= 33
    for count in [*range(num_events + 1), 3, num_events]:
        assert shown(projection.view(count).state) == shown(state_after(log, count))
    with pytest.raises(RefusedError, match="160 events"):
        projection.view(num_events + 1)


def test_without_void_values_the_past_is_wrong(log: Path) -> None:
    """Control: what a resumed experiment replaced must be kept, or earlier moments are not what they were."""
    num_events = write_run(log).num_events
    projection = projected(log)
    for experiment in projection.state.experiments.values():
        for history in experiment.metrics.values():
            history.void.clear()
    assert any(shown(projection.view(count).state) != shown(state_after(log, count)) for count in range(num_events))


def test_damage_is_told_until_somebody_mends_it(log: Path) -> None:
    """A complete line that is no event is damage of the run as it is now, at whatever pieces the log was read."""
    recorder = write_run(log)
    whole = log.read_bytes()
    log.write_bytes(whole + b"no event\n")
    projection = Projection(log)
    while projection.refresh(4096):
        pass
    found = [projection.state.damage]
    assert projection.view(3).state.damage is None
    EventLog.open(log).close()
    projection.refresh()
    found.append(projection.state.damage)
    log.write_bytes(whole + b"the beginning of an event")
    projection.refresh()
    found.append(projection.state.damage)
    assert found == [(recorder.num_events, len(whole), 9), None, None]


def test_it_reads_only_what_was_added(log: Path) -> None:
    """Each refresh takes the new events in, in whatever pieces they come, and tells how many."""
    recorder = write_run(log)
    projection = projected(log)
    assert projection.refresh() == 0
    before = recorder.num_events
    recorder.evaluate(0, 5, f1=0.99)
    recorder.log(0, "info", "more")
    assert projection.refresh() == 2
    assert projection.state.num_events == before + 2
    assert shown(projection.view().state) == shown(state_after(log, before + 2))
    whole = log.read_bytes()
    with log.open("ab") as file:  # a line that is not whole yet
        file.write(whole.splitlines()[-1][:20])
    assert projection.refresh() == 0
    log.write_bytes(whole)
    recorder.evaluate(0, 6, f1=1.0)
    assert projection.refresh() == 1
    in_pieces = Projection(log)
    while not in_pieces.is_read:
        assert in_pieces.refresh(600) < 10
    assert shown(in_pieces.view().state) == shown(projection.view().state)
    assert (in_pieces.num_bytes, in_pieces.last_crc) == (projection.num_bytes, projection.last_crc)


def test_a_log_that_was_cut_back_or_replaced_is_read_anew(log: Path) -> None:
    """What the disk refused is taken back, and another run may get the name: the state is that of the file."""
    recorder = write_run(log)
    projection = projected(log)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-3]))
    assert projection.refresh() == len(lines) - 3
    assert shown(projection.view().state) == shown(state_after(log, len(lines) - 3))
    log.unlink()
    other = Recorder(log, "other")
    other.start(1)
    projection.refresh()
    assert (projection.state.run_id, projection.state.num_events) == ("other", 2)
    assert recorder.num_events > 2
    log.unlink()
    with pytest.raises(EventLogError, match="No such file"):
        projection.refresh()


def test_a_disk_that_fails_half_way_costs_nothing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before the error stands, and nothing is taken in twice afterwards."""
    num_events = write_run(log).num_events

    def failing(file: BinaryIO) -> Iterator[bytes]:
        yield from islice(whole_lines(file), 12)
        raise OSError(5, "Input/output error")

    projection = Projection(log)
    with monkeypatch.context() as patched:
        patched.setattr("mlgym.server.projection.projection.whole_lines", failing)
        with pytest.raises(EventLogError, match="Input/output error"):
            projection.refresh()
    assert projection.refresh() == num_events - 12
    assert shown(projection.view().state) == shown(state_after(log, num_events))


def test_a_run_that_nobody_writes_has_crashed(log: Path) -> None:
    """A driver that holds the log is alive; one that sends from elsewhere is, as long as it was not silent for long."""
    write_run(log)
    projection = projected(log)
    assert projection.view().is_live  # written a moment ago
    silent_since = time.time() - 61
    os.utime(log, (silent_since, silent_since))
    projection.refresh()
    view = projection.view()
    assert view.is_crashed
    assert projection.marked(view).status == "crashed"
    assert projection.marked(view).experiments[2].status == "interrupted"
    assert view.state.experiments[2].status == "running"  # what the log says stays as it is
    assert shown(projection.marked(view))["experiments"][0] == shown(view.state)["experiments"][0]
    assert not projection.view(5).is_crashed
    with EventLog.open(log):
        os.utime(log, (silent_since, silent_since))
        assert not projection.view().is_crashed
    projection.longest_silence_s = 100.0  # its epochs take long
    assert not projection.view().is_crashed


def test_a_driver_of_this_machine_that_died_is_known_at_once(log: Path, tmp_path: Path) -> None:
    """Its log lost its lock; where a service writes it for somebody, or it was written elsewhere, nobody knows yet."""
    write_run(log)
    with EventLog.open(log) as held:
        LogSink(held)
        assert projected(log).view().is_live
    assert projected(log).view().is_crashed
    mark = log.parent / MARK
    boot_id = mark.read_text()
    mark.write_text("another machine, or the same before it was started again")
    assert projected(log).view().is_live
    mark.write_text(boot_id)
    logs = OpenLogs(fsync=False)
    body = encode(Event(event_type="log", creation_ts=1, payload={"grid_search_id": RUN_ID}))
    logs.append(log, [(body, check_body(body))])
    logs.close_idle(0)
    assert projected(log).view().is_live


def test_a_mark_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    """A folder where its name is taken: the log is written all the same, and judged by its silence."""
    (tmp_path / MARK).mkdir()
    with EventLog.open(tmp_path / "event_storage.log") as held:
        LogSink(held)
    assert not is_written_from_here(tmp_path / "event_storage.log")


def test_silence_between_a_crash_and_a_resume_does_not_count(log: Path) -> None:
    """Only what passed between two events of a run that went on says how long it may be silent."""
    recorder = Recorder(log)
    recorder.start(1)
    recorder.num_events += 1000
    recorder.start(1, "run_resumed")
    recorder.num_events += 40
    recorder.evaluate(0, 1, f1=0.5)
    recorder.add("run_finished", num_succeeded=1)
    recorder.num_events += 5000
    recorder.add("reproduction_verdict", experiment_id=0, verdict="identical")
    assert projected(log).longest_silence_s == 41.0


def test_readers_while_it_grows(log: Path) -> None:
    """Views taken while a thread appends are always the fold of as many events as they say."""
    recorder = Recorder(log)
    recorder.start(3)
    stop = threading.Event()

    def write() -> None:
        for epoch in range(1, 200):
            recorder.evaluate(epoch % 3, epoch, f1=epoch / 200)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    projection = Projection(log)
    seen: list[tuple[int, dict[str, Any]]] = []
    while not stop.is_set() or not seen:
        projection.refresh()
        with projection.lock:
            view = projection.view()
            seen.append((view.at, shown(view.state)))
    writer.join()
    for at, facts in seen[:: max(1, len(seen) // 20)]:
        assert facts == shown(state_after(log, at))
