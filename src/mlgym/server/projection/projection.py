"""One run in memory: its state, folded from the log as far as it was read, and read on when it has grown."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from mlgym.errors import EventLogError
from mlgym.events import RunState, has_writer
from mlgym.events.damage import damage_after
from mlgym.events.scan import whole_lines
from mlgym.events.writer_mark import is_written_from_here
from mlgym.server.projection.index import LogIndex
from mlgym.server.projection.past import Past, full_copy, state_as_of
from mlgym.server.refusal import RefusedError
from mlgym.server.senders import has_sender
from mlgym.tracking.portable import line_crc

TAIL_BYTES: Final = 256
_BUFFER_BYTES: Final = 2**20
_MAX_MOMENTS: Final = 8
_MAX_POINTS_OF_MOMENTS: Final = 5_000_000
_SILENCE_S: Final = 60.0
_STARTS: Final = ("run_started", "run_resumed")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the file system says of a log: equal ones mean that nothing was added."""

    inode: int
    num_bytes: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class View:
    """A run as of some number of events.

    Args:
        state: the state; to be looked at only, and only while the projection is held.
        at: how many events it takes into account.
        is_now: whether these are all.
        is_live: whether the run goes on: somebody writes the log, or did so a moment ago. Past moments go on.
        memory: what was derived from the state, for those who look at it again; they say themselves what is stale.
    """

    state: RunState
    at: int
    is_now: bool
    is_live: bool
    memory: dict[Any, Any]

    @property
    def is_crashed(self) -> bool:
        """Whether nobody goes on with the run although it has not ended; a log cannot say that itself."""
        return self.is_now and not self.is_live and self.state.status == "running"


class Projection:
    """The state of one run. Whoever reads it holds `lock`, which `hold` does.

    Args:
        path: the log.

    Attributes:
        state: after the events that were read.
        index: where they stand.
        num_bytes: how much of the log that is.
        last_crc: checksum of the last event in the form that travels; None for none.
        longest_silence_s: the longest time between two events of the run while it went on.
        stamp: of the log, before it was read last; None for one of which more is to be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._reset()

    def _reset(self) -> None:
        self.state = RunState()
        self.index = LogIndex()
        self.num_bytes = 0
        self.last_crc: str | None = None
        self.longest_silence_s = 0.0
        self.tail = b""
        self._past = Past()
        self._memory: dict[Any, Any] = {}
        self._moments: OrderedDict[int, View] = OrderedDict()
        self.stamp: Stamp | None = None

    @property
    def past(self) -> Past:
        """Copies of earlier states."""
        return self._past

    @property
    def num_points(self) -> int:
        """How many values of metrics it holds, for keeping memory in bounds."""
        return sum(len(one.rows) for each in self.state.experiments.values() for one in each.metrics.values())

    @property
    def is_read(self) -> bool:
        """Whether all of the log was read when it was looked into last."""
        return self.stamp is not None

    def refresh(self, max_bytes: int | None = None) -> int:
        """Reads what was added to the log, and gives how many events that is.

        Args:
            max_bytes: about how much to read at most; None for all of it. Where more is left, the next call goes on.

        Raises:
            EventLogError: there is no such log, or it cannot be read.
        """
        try:
            with self.lock:
                stamp = stamp_of(self.path)
                if stamp == self.stamp:
                    return 0
                with self.path.open("rb", buffering=_BUFFER_BYTES) as file:
                    added, is_all = self._read_on(file, max_bytes)
                self.stamp = stamp if is_all else None
                return added
        except OSError as error:
            raise EventLogError(f"the log cannot be read: {error.strerror}") from error

    def view(self, at: int | None = None) -> View:
        """Gives the run as it is, or as it was after the first `at` events.

        Raises:
            RefusedError: it has fewer.
            EventLogError: the log cannot be read.
        """
        num_events = self.state.num_events
        if at is None or at == num_events:
            return View(self.state, num_events, is_now=True, is_live=self._is_live(), memory=self._memory)
        if at > num_events:
            message = f"the run has {num_events:,} events, so there is no state after {at:,}"
            raise RefusedError(422, "at_out_of_range", message, path="at")
        moment = self._moments.pop(at, None) or View(self._past_state(at), at, is_now=False, is_live=True, memory={})
        self._moments[at] = moment
        most = _MAX_MOMENTS if self.num_points * _MAX_MOMENTS <= _MAX_POINTS_OF_MOMENTS else 1
        while len(self._moments) > most:
            self._moments.popitem(last=False)
        return moment

    def _past_state(self, num_events: int) -> RunState:
        copy = self._past.before(num_events)
        return state_as_of(num_events, self.state, copy, self.lines_from(copy.num_bytes))

    def marked(self, view: View) -> RunState:
        """Gives the state with what a log cannot say: that the run died."""
        if not view.is_crashed:
            return view.state
        state = full_copy(view.state)
        for number, one in state.experiments.items():
            one.measured = view.state.experiments[number].measured
            one.metrics = view.state.experiments[number].metrics
        state.mark_crashed()
        return state

    def lines_from(self, num_bytes: int) -> Iterator[bytes]:
        """Yields the lines that were read, from a place of the log on.

        Raises:
            EventLogError: it cannot be read.
        """
        try:
            with self.path.open("rb", buffering=_BUFFER_BYTES) as file:
                file.seek(num_bytes)
                for line in whole_lines(file):
                    num_bytes += len(line)
                    if num_bytes > self.num_bytes:
                        return
                    yield line
        except OSError as error:
            raise EventLogError(f"the log cannot be read: {error.strerror}") from error

    def _read_on(self, file: BinaryIO, max_bytes: int | None) -> tuple[int, bool]:
        self.state.damage = None
        file.seek(self.num_bytes - len(self.tail))
        # A writer takes back what the disk refused, and another run may have got this name.
        if file.read(len(self.tail)) != self.tail:
            self._reset()
            file.seek(0)
        start, lines = self.num_bytes, whole_lines(file)
        added = self._take(lines if max_bytes is None else _about(max_bytes, lines))
        is_all = max_bytes is None or self.num_bytes - start < max_bytes
        if is_all:
            self.state.damage = damage_after(file, self.state.num_events, self.num_bytes)
        return added, is_all

    def _take(self, lines: Iterator[bytes]) -> int:
        state, index, num_bytes = self.state, self.index, self.num_bytes
        before, next_copy, last = state.num_events, self._past.next_at, b""
        try:
            for line in lines:
                event_id, heard_at = state.num_events, state.last_event_at
                event = state.apply_line(event_id, line)
                now = state.last_event_at or 0.0
                if heard_at is not None and now - heard_at > self.longest_silence_s:
                    self._note_silence(now - heard_at, event)
                index.add(event_id, num_bytes, now, event)
                num_bytes += len(line)
                last = line
                if event_id >= next_copy:
                    self._past.keep(state, num_bytes)
                    next_copy = self._past.next_at
        finally:  # also where the disk fails half-way
            if last:
                self.num_bytes, self.tail, self.last_crc = num_bytes, last[-TAIL_BYTES:], line_crc(last)
        return state.num_events - before

    def _note_silence(self, silence_s: float, event: dict[str, Any] | None) -> None:
        # Between a crash and the resume nobody was there to speak, nor after the end.
        if self.state.finished_at is None and (event is None or event.get("event_type") not in _STARTS):
            self.longest_silence_s = silence_s

    def _is_live(self) -> bool:
        return self.state.status == "running" and is_written(self.path, self.longest_silence_s)


def _about(num_bytes: int, lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yields lines until these are so many bytes, the last of them included."""
    for line in lines:
        yield line
        num_bytes -= len(line)
        if num_bytes <= 0:
            return


def is_written(path: Path, longest_silence_s: float) -> bool:
    """Tells whether somebody goes on with a run.

    The driver of a run holds its log: on its own machine that is all there is to know. One that sends its events to a
    hub from elsewhere does not: it goes on while it is connected. One that is not may come back, or be one that uses
    the REST service only, and may be silent for as long as it was before.

    Args:
        path: the log.
        longest_silence_s: the longest time between two events so far, in s.
    """
    if has_writer(path):
        return True
    if is_written_from_here(path):
        return False
    if has_sender(path.parent):
        return True
    try:
        silence_s = time.time() - path.stat().st_mtime
    except OSError:
        return False
    return silence_s < max(_SILENCE_S, 2 * longest_silence_s)


def stamp_of(path: Path) -> Stamp:
    """Gives the stamp of a log.

    Raises:
        OSError: there is none.
    """
    found = path.stat()
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
