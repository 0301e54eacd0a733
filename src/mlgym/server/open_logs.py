"""The logs that a service has open to write, and what is known of the ends of logs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlgym.errors import EventLogError
from mlgym.events import EventLog
from mlgym.events.log import CheckedBody
from mlgym.events.scan import whole_lines
from mlgym.tracking.portable import line_crc


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
class _Open:
    log: EventLog
    used_at: float = 0.0
    num_users: int = 0


class OpenLogs:
    """Logs by path, opened when events come and closed when none have come for a while.

    An open log keeps every other writer away, so none is held for longer than it is used; opening reads all of it, so
    that is not done for each request.
    """

    def __init__(self) -> None:
        self._open: dict[Path, _Open] = {}
        self._mutex = threading.Lock()
        self._heads: dict[Path, tuple[int, LogHead]] = {}

    @contextmanager
    def appending(self, path: Path) -> Iterator[EventLog]:
        """Gives a log to append to; it stays open meanwhile.

        Raises:
            EventLogError: somebody else writes it, or it cannot be opened.
        """
        with self._mutex:
            if path not in self._open:
                self._open[path] = _Open(EventLog.open(path))
            one = self._open[path]
            one.num_users += 1
        try:
            yield one.log
        finally:
            with self._mutex:
                one.num_users -= 1
                one.used_at = time.monotonic()

    def append(self, path: Path, group: Sequence[CheckedBody]) -> int:
        """Appends events durably and gives how many of them are new.

        Raises:
            EventLogError: nothing of the group was stored.
        """
        with self.appending(path) as log:
            return sum(event_id is not None for event_id in log.append_checked(group))

    def close_idle(self, max_idle_s: float) -> None:
        """Closes the logs that were not used for so long (s)."""
        with self._mutex:
            before = time.monotonic() - max_idle_s
            for path, one in list(self._open.items()):
                if one.num_users == 0 and one.used_at <= before:
                    one.log.close()
                    del self._open[path]

    def head(self, path: Path) -> LogHead:
        """Gives what stands in a log; reads only what was added since it was asked last.

        Raises:
            EventLogError: there is no such log, or it cannot be read.
        """
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                inode, head = self._heads.get(path, (0, LogHead()))
                if inode != status.st_ino or head.num_bytes > status.st_size:
                    head = LogHead()
                file.seek(head.num_bytes)
                num_events, num_bytes, last = head.num_events, head.num_bytes, None
                for line in whole_lines(file):
                    num_events, num_bytes, last = num_events + 1, num_bytes + len(line), line
        except OSError as error:
            raise EventLogError(f"the log cannot be read: {error.strerror}") from error
        head = LogHead(num_events, num_bytes, line_crc(last) if last else head.last_crc)
        self._heads[path] = (status.st_ino, head)
        return head
