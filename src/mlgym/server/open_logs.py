"""The logs of a service: opened when events come, closed soon after, and followed by whoever shows them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlgym.events import EventLog
from mlgym.events.log import CheckedBody
from mlgym.events.scan import Scan
from mlgym.events.writer_mark import unmark_writer
from mlgym.server.follow import LogFollower
from mlgym.server.refusal import RefusedError
from mlgym.tracking.portable import line_crc

_MAX_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True)
class LogHead:
    """What stands in a log.

    Args:
        num_events: whole lines.
        num_bytes: how long they are.
        last_crc: checksum of the last one in the form that travels (8 hex digits); None where there is none.
    """

    num_events: int = 0
    num_bytes: int = 0
    last_crc: str | None = None


@dataclass(slots=True)
class _Slot:
    """What is known of one log; `mutex` is held while it is opened or closed, which may read all of it."""

    follower: LogFollower
    mutex: threading.Lock = field(default_factory=threading.Lock)
    writing: threading.Lock = field(default_factory=threading.Lock)
    log: EventLog | None = None
    inode: int = 0
    known: Scan | None = None
    used_at: float = 0.0
    num_users: int = 0
    num_watchers: int = 0


class OpenLogs:
    """Logs by path, opened when events come and closed when none have come for a while.

    An open log keeps every other writer away, so none is held for longer than it is used. What was found in a log is
    remembered when it is closed, so that opening it again costs only what was added since.

    Attributes:
        on_append: are told the path of each log that got events, in the thread that appended them.
    """

    def __init__(self, *, fsync: bool = True) -> None:
        """Makes an empty collection.

        Args:
            fsync: whether events are on the disk before anybody is told that they are stored; off only in controls.
        """
        self.on_append: list[Callable[[Path], None]] = []
        self._fsync = fsync
        self._slots: OrderedDict[Path, _Slot] = OrderedDict()
        self._mutex = threading.Lock()

    def append(self, path: Path, group: Sequence[CheckedBody], *, at: int | None = None) -> list[int | None]:
        """Appends events durably; gives for each its id, or None where it was stored before.

        Args:
            path: the log.
            group: the events.
            at: how many events the log must have; None for any number.

        Raises:
            RefusedError: it has another number of events.
            EventLogError: nothing of the group was stored.
        """
        with self._using(path) as slot:
            with slot.mutex:
                log = self._opened(path, slot)
            with slot.writing:
                if at not in (None, log.num_events):
                    raise _elsewhere(log.num_events, at)
                ids = log.append_checked(group)
        for listener in self.on_append:
            listener(path)
        return ids

    def close_idle(self, max_idle_s: float) -> None:
        """Closes the logs that were not used for so long (s)."""
        with self._mutex:
            before = time.monotonic() - max_idle_s
            idle = [one for one in self._slots.values() if one.log and not one.num_users and one.used_at <= before]
        for slot in idle:
            with slot.mutex:
                if slot.log is not None and not slot.num_users:
                    slot.known, slot.log = slot.log.close(), None

    def watch(self, path: Path) -> LogFollower:
        """Gives a log as far as it was looked at, and keeps its last lines in memory until `unwatch`."""
        slot = self._slot(path)
        with self._mutex:
            slot.num_watchers += 1
        slot.follower.keep_recent(wanted=True)
        return slot.follower

    def unwatch(self, path: Path) -> None:
        """Ends one `watch`."""
        slot = self._slot(path)
        with self._mutex:
            slot.num_watchers -= 1
            is_last = slot.num_watchers == 0
        if is_last:
            slot.follower.keep_recent(wanted=False)

    def look(self, path: Path, *, doubts: bool = False) -> LogFollower:
        """Looks at a log, as far as it is confirmed where this process writes it, and gives how far it stands.

        Args:
            path: the log.
            doubts: see `LogFollower.look`.

        Raises:
            EventLogError: it cannot be read.
        """
        slot = self._slot(path)

        def confirmed() -> int | None:
            log = slot.log
            return None if log is None else log.num_bytes

        slot.follower.look(confirmed, doubts=doubts)
        return slot.follower

    def head(self, path: Path) -> LogHead:
        """Gives what stands in a log; reads only what was added since it was asked last.

        Raises:
            EventLogError: it cannot be read.
        """
        num_events, num_bytes, last = self.look(path).head()
        return LogHead(num_events, num_bytes, None if last is None else line_crc(last))

    @contextmanager
    def _using(self, path: Path) -> Iterator[_Slot]:
        slot = self._slot(path, num_users=1)
        try:
            yield slot
        finally:
            with self._mutex:
                slot.num_users -= 1
                slot.used_at = time.monotonic()

    def _slot(self, path: Path, *, num_users: int = 0) -> _Slot:
        with self._mutex:
            slot = self._slots.get(path)
            if slot is None:
                self._forget_some()
                slot = self._slots[path] = _Slot(LogFollower(path))
            self._slots.move_to_end(path)
            slot.num_users += num_users
            return slot

    def _forget_some(self) -> None:
        excess = len(self._slots) + 1 - _MAX_REMEMBERED
        if excess <= 0:
            return
        unused = [
            path
            for path, slot in self._slots.items()
            if slot.log is None and not slot.num_users and not slot.num_watchers
        ]
        for path in unused[:excess]:
            del self._slots[path]

    def _opened(self, path: Path, slot: _Slot) -> EventLog:
        try:
            inode = path.stat().st_ino
        except OSError:
            inode = 0
        if slot.log is not None and slot.inode != inode:  # the run was taken away
            slot.log.close()
            slot.log = None
        if slot.log is None:
            known = slot.known if slot.inode == inode else None
            slot.log = EventLog.open(path, fsync=self._fsync, known=known)
            unmark_writer(path)
            slot.known, slot.inode = None, path.stat().st_ino
        return slot.log


def _elsewhere(num_events: int, expected: int | None) -> RefusedError:
    message = f"the log has {num_events:,} events, not {expected:,}"
    return RefusedError(409, "offset_mismatch", message, path="from")
