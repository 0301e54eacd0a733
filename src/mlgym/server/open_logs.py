"""The logs that a service has open to write, and what is known of the ends of logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlgym.errors import EventLogError
from mlgym.events import EventLog
from mlgym.events.log import CheckedBody
from mlgym.events.scan import whole_lines
from mlgym.tracking.portable import line_crc

_TAIL_BYTES: Final = 256


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
    inode: int
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
        self._heads: dict[Path, tuple[LogHead, bytes]] = {}

    @contextmanager
    def appending(self, path: Path) -> Iterator[EventLog]:
        """Gives a log to append to; it stays open meanwhile.

        Raises:
            EventLogError: somebody else writes it, or it cannot be opened.
        """
        with self._mutex:
            one = self._open.get(path)
            if one is None or not path.exists() or path.stat().st_ino != one.inode:  # the run was taken away
                one = self._open[path] = _opened(path, one)
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
                head, tail = self._heads.get(path, (LogHead(), b""))
                file.seek(head.num_bytes - len(tail))
                # Another log may have taken the place of the one that was read.
                if file.read(len(tail)) != tail:
                    head, tail = LogHead(), b""
                    file.seek(0)
                num_events, num_bytes, last = head.num_events, head.num_bytes, None
                for line in whole_lines(file):
                    num_events, num_bytes, last = num_events + 1, num_bytes + len(line), line
        except OSError as error:
            raise EventLogError(f"the log cannot be read: {error.strerror}") from error
        if last is not None:
            head = LogHead(num_events, num_bytes, line_crc(last))
            self._heads[path] = (head, last[-_TAIL_BYTES:])
        return head


def _opened(path: Path, before: _Open | None) -> _Open:
    if before is not None:
        before.log.close()
    return _Open(EventLog.open(path), path.stat().st_ino)
