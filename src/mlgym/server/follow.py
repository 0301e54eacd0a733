"""A log as far as it stands, known by reading it: what this process wrote and what others write, in one way.

Whoever shows events shows them from here: only lines that are whole and durable, each under its number.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from mlgym.errors import EventLogError
from mlgym.events.codec import MAX_LINE_BYTES, read_origin
from mlgym.events.scan import TAIL_BYTES, Scan, SeenOrigins, whole_lines

_EVENTS_PER_MARK: Final = 256
_RECENT_BYTES: Final = 2**20
_READ_BUFFER_BYTES: Final = 2**18


class View(NamedTuple):
    """A log as a look found it; never changed, so that it is read without a lock.

    Args:
        num_events: events that stood.
        num_rewinds: how often the log had turned out to be shorter, or another one: what was read before is void then.
        recent: the last lines, as far as they are kept.
    """

    num_events: int = 0
    num_rewinds: int = 0
    recent: Sequence[bytes] = ()

    def lines(self, start: int, max_bytes: int) -> list[bytes]:
        """Gives lines from event `start` on where they are kept in memory, else none.

        Args:
            start: the first event.
            max_bytes: where to stop, after one line at least.
        """
        first = self.num_events - len(self.recent)
        found: list[bytes] = []
        num_bytes = 0
        for index in range(start - first if start >= first else len(self.recent), len(self.recent)):
            if num_bytes >= max_bytes:
                break
            found.append(self.recent[index])
            num_bytes += len(self.recent[index])
        return found


class LogFollower:
    """One log, for any number of threads; its methods may wait for the disk, its attributes never do.

    Attributes:
        path: the log file; it may come to be later.
        view: what the last look found.
        bytes_read: all that was read of the file, for those who want to know what following costs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.view = View()
        self.bytes_read = 0
        self._keeps_recent = False
        self._recent_bytes = 0
        self._known = Scan()
        self._last_line: bytes | None = None
        self._inode: int | None = None
        self._written_at = 0
        # Where every 256th event begins.
        self._marks = array("Q")
        self._origins: SeenOrigins | None = None
        self._mutex = threading.Lock()

    def look(self, confirmed: Callable[[], int | None] = lambda: None, *, doubts: bool = False) -> bool:
        """Reads what was added and tells whether anything has changed.

        Args:
            confirmed: gives where the confirmed part ends, in bytes, while this process writes the log; else None, and
                what is there is made durable before it is believed: its writer may not have come to that.
            doubts: whether all of a log is read again that was written to and did not grow: somebody has damaged it.

        Raises:
            EventLogError: the log cannot be read.
        """
        with self._mutex:
            before = self.view
            try:
                with self._opened() as file:
                    self._look_into(file, confirmed, doubts=doubts)
            except FileNotFoundError:
                self._start_over(None)
            except OSError as error:
                raise self._unreadable(error) from error
            return before is not self.view

    def keep_recent(self, *, wanted: bool) -> None:
        """Says whether the last lines are to be kept in memory, for those who follow live."""
        with self._mutex:
            self._keeps_recent = wanted
            if not wanted:
                self.view, self._recent_bytes = self.view._replace(recent=()), 0

    def head(self) -> tuple[int, int, bytes | None]:
        """Gives how many events stand, how many bytes they take, and the last line."""
        with self._mutex:
            return self._known.num_events, self._known.num_bytes, self._last_line

    def lines(self, start: int, max_bytes: int) -> list[bytes]:
        """Gives lines from event `start` on; none where the log ends before it.

        Args:
            start: the first event.
            max_bytes: where to stop, after one line at least.

        Raises:
            EventLogError: the log cannot be read.
        """
        found: list[bytes] = []
        with self._reading(start) as (file, end):
            num_bytes, left = 0, end - file.tell()
            while num_bytes < min(left, max_bytes) and (line := file.readline(MAX_LINE_BYTES + 1)):
                found.append(line)
                num_bytes += len(line)
            self.bytes_read += num_bytes
        return found

    def offset(self, event_id: int) -> int:
        """Gives the byte at which an event begins; the end of the log where it has no such event.

        Raises:
            EventLogError: the log cannot be read.
        """
        with self._reading(event_id) as (file, _):
            return file.tell()

    def origins(self) -> SeenOrigins:
        """Gives who made the events that stand; every look keeps it up from now on.

        Raises:
            EventLogError: the log cannot be read.
        """
        with self._mutex:
            if self._origins is None:
                seen = SeenOrigins()
                try:
                    with self._opened() as file:
                        for _ in range(self._known.num_events):
                            _note(seen, file.readline(MAX_LINE_BYTES + 1))
                except FileNotFoundError:
                    return seen
                except OSError as error:
                    raise self._unreadable(error) from error
                self.bytes_read += self._known.num_bytes
                self._origins = seen
            return self._origins

    def _look_into(self, file: BinaryIO, confirmed: Callable[[], int | None], *, doubts: bool) -> None:
        known, status = self._known, os.fstat(file.fileno())
        is_doubtful = doubts and status.st_size == known.num_bytes and status.st_mtime_ns != self._written_at
        is_shorter = status.st_size < known.num_bytes
        if self._inode != status.st_ino or is_shorter or is_doubtful or not known.is_beginning_of(file):
            self._start_over(status.st_ino)
        if doubts or status.st_size != known.num_bytes:
            self._written_at = status.st_mtime_ns
        end = status.st_size
        if end == self._known.num_bytes:
            return
        if confirmed() is None:
            with suppress(OSError):  # a file system that takes no writes has nothing to sync
                os.fsync(file.fileno())
            # A writer takes lines back when the disk refuses the rest of them.
            end = min(end, os.fstat(file.fileno()).st_size)
        # Asked again, since this process may have begun to write meanwhile.
        limit = confirmed()
        self._read(file, end if limit is None else min(end, limit))

    def _read(self, file: BinaryIO, end: int) -> None:
        known, added, added_bytes = self._known, [], 0
        position, num_events = known.num_bytes, known.num_events
        file.seek(position)
        for line in whole_lines(file):
            if position + len(line) > end:
                break
            if num_events % _EVENTS_PER_MARK == 0:
                self._marks.append(position)
            position, num_events = position + len(line), num_events + 1
            if self._origins is not None:
                _note(self._origins, line)
            added.append(line)
            added_bytes += len(line)
            if added_bytes > _RECENT_BYTES:
                added, added_bytes = _last_half(added)
        if added:
            self.bytes_read += position - known.num_bytes
            self._last_line = added[-1]
            known.num_events, known.num_bytes, known.tail = num_events, position, added[-1][-TAIL_BYTES:]
            self.view = View(num_events, self.view.num_rewinds, self._recent_with(added))

    def _recent_with(self, added: list[bytes]) -> Sequence[bytes]:
        if not self._keeps_recent:
            return ()
        lines = [*self.view.recent, *added]
        self._recent_bytes += sum(map(len, added))
        if self._recent_bytes > _RECENT_BYTES:
            lines, self._recent_bytes = _last_half(lines)
        return lines

    def _start_over(self, inode: int | None) -> None:
        if self._known.num_events:
            self.view, self._recent_bytes = View(num_rewinds=self.view.num_rewinds + 1), 0
        self._inode = inode
        self._known = Scan()
        self._last_line = None
        self._marks = array("Q")
        self._origins = None

    @contextmanager
    def _reading(self, event_id: int) -> Iterator[tuple[BinaryIO, int]]:
        """Gives the file where an event begins, or where the log ends if it has no such event, and where that is."""
        mark, num_further = divmod(event_id, _EVENTS_PER_MARK)
        with self._mutex:
            end, is_there = self._known.num_bytes, event_id < self._known.num_events
            start = self._marks[mark] if is_there else end
        try:
            with self._opened() as file:
                file.seek(start)
                for _ in range(num_further if is_there else 0):
                    file.readline(MAX_LINE_BYTES + 1)
                yield file, end
        except OSError as error:
            raise self._unreadable(error) from error

    def _opened(self) -> BinaryIO:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        return os.fdopen(descriptor, "rb", buffering=_READ_BUFFER_BYTES)

    def _unreadable(self, error: OSError) -> EventLogError:
        return EventLogError(f"the log cannot be read: {error.strerror}")


def _note(seen: SeenOrigins, line: bytes) -> None:
    origin = read_origin(line)
    if origin is not None:
        seen.add(origin)


def _last_half(lines: list[bytes]) -> tuple[list[bytes], int]:
    kept = lines[(len(lines) + 1) // 2 :] or lines[-1:]
    return kept, sum(map(len, kept))
