"""Reading a log, also while somebody writes it; readers take no lock and change nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mlgym.errors import EventLogError
from mlgym.events.codec import MAX_LINE_BYTES, decode
from mlgym.events.scan import whole_lines


class LoggedEvent(NamedTuple):
    """An event of a log with its id, the number of its line from 0."""

    event_id: int
    event: dict[str, Any]


def read_log(path: Path | str, start: int = 0) -> Iterator[LoggedEvent]:
    """Yields the events that stand in a log at this moment, up to the first line that is not whole.

    Args:
        path: the log file.
        start: the first event id wanted.

    Raises:
        EventLogError: there is no such file or it cannot be read. A damaged or unfinished end raises nothing.
    """
    try:
        with Path(path).open("rb") as file:
            for event_id, line in enumerate(whole_lines(file)):
                if event_id >= start:
                    yield LoggedEvent(event_id, decode(line))
    except OSError as error:
        raise EventLogError(f"`{path}` cannot be read: {error.strerror}") from error


def follow_log(
    path: Path | str, start: int = 0, until: Callable[[], bool] | None = None, *, poll_s: float = 0.1
) -> Iterator[LoggedEvent]:
    """Yields the events of a log, those that come later too, each once.

    Args:
        path: the log file; it may come to be later.
        start: the first event id wanted.
        until: asked before each look at the file; once it says True, what is there by then is the last.
        poll_s: time between two looks in s.

    Raises:
        EventLogError: the log cannot be read.
    """
    follower = _Follower(Path(path), start)
    while True:
        is_last = until is not None and until()
        yield from follower.new_events()
        if is_last:
            return
        time.sleep(poll_s)


class _Follower:
    """Remembers how far a log was read."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._wanted_id = start
        self._event_id = 0
        self._position = 0
        self._size_when_stuck = -1

    def new_events(self) -> Iterator[LoggedEvent]:
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                # A writer takes lines back when the disk refuses them; they come again, and with the same ids.
                if size < self._position:
                    self._start_over()
                yield from self._read(file)
                if size != self._size_when_stuck and self._is_stuck(file):
                    self._size_when_stuck = size
                    self._start_over()
        except FileNotFoundError:
            return
        except OSError as error:
            raise EventLogError(f"`{self._path}` cannot be read: {error.strerror}") from error

    def _read(self, file: Any) -> Iterator[LoggedEvent]:
        file.seek(self._position)
        for line in whole_lines(file):
            event_id = self._event_id
            self._event_id += 1
            self._position += len(line)
            if event_id >= self._wanted_id:
                self._wanted_id = event_id + 1
                yield LoggedEvent(event_id, decode(line))

    def _is_stuck(self, file: Any) -> bool:
        """Tells whether a complete line that is no event comes next: damage, or a position within rewritten lines."""
        file.seek(self._position)
        return bool(file.readline(MAX_LINE_BYTES).endswith(b"\n"))

    def _start_over(self) -> None:
        self._event_id = self._position = 0
