"""Long logs are read in the background: one at a time, a piece at a time, so that nobody else has to wait for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from mlgym.server.projection.projections import Projections
from mlgym.server.refusal import ending
from mlgym.tracking import RunFolder

_PIECE_BYTES: Final = 2**19
_logger: Final = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How far a log was read.

    Args:
        bytes_read: of it.
        num_bytes: of all of it, when it was asked for.
        num_events: that were read.
    """

    bytes_read: int
    num_bytes: int
    num_events: int


@dataclass(eq=False, slots=True)
class _Wanted:
    """A log that is to be read.

    Args:
        folder: the run.
        num_bytes: how long the log was.
        changed_ns: when it was written last.
        is_awaited: whether somebody waits for this run and no other.
        read: is done once the log was read, or cannot be.
    """

    folder: RunFolder
    num_bytes: int
    changed_ns: int
    is_awaited: bool = False
    read: Future[None] = field(default_factory=Future)

    @property
    def turn(self) -> tuple[bool, int, int]:
        """What it is sorted by: those that somebody waits for, then small ones, of about the same size the newest."""
        return not self.is_awaited, self.num_bytes.bit_length(), -self.changed_ns


class Reader:
    """A thread that reads logs as long as any are wanted; any thread may ask.

    Attributes:
        on_read: are told each run that was read, or cannot be, in the thread that reads.
    """

    def __init__(self, projections: Projections) -> None:
        """Makes it; nothing runs until a log is wanted.

        Args:
            projections: the runs in memory.
        """
        self.on_read: list[Callable[[RunFolder], None]] = []
        self._projections = projections
        self._wanted: dict[Path, _Wanted] = {}
        self._unreadable: set[Path] = set()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def want(self, folder: RunFolder, *, is_awaited: bool = False) -> Future[None]:
        """Has a log read, and gives what is done once it was, or cannot be: whoever looks into it then is told why.

        Args:
            folder: the run.
            is_awaited: whether it is read before those of which only the list is asked for.

        Raises:
            OSError: there is no such log.
        """
        status = folder.log_path.stat()
        with self._mutex:
            wanted = self._wanted.get(folder.log_path)
            if wanted is None:
                wanted = self._wanted[folder.log_path] = _Wanted(folder, status.st_size, status.st_mtime_ns)
                # Nobody who gives up waiting may end it for the others.
                wanted.read.set_running_or_notify_cancel()
            wanted.is_awaited |= is_awaited
            if self._is_closed:
                self._end(wanted)
            elif self._thread is None:
                self._thread = threading.Thread(target=self._run, name="reader of logs", daemon=True)
                self._thread.start()
            return wanted.read

    def progress(self, folder: RunFolder) -> Progress:
        """Gives how far a log was read, without waiting for it.

        Raises:
            OSError: there is no such log.
        """
        held = self._projections.held(folder.log_path)
        num_bytes = folder.log_path.stat().st_size
        bytes_read, num_events = (0, 0) if held is None else (held.num_bytes, held.state.num_events)
        return Progress(min(bytes_read, num_bytes), num_bytes, num_events)

    def cannot_read(self, folder: RunFolder) -> bool:
        """Tells whether a log could not be read when that was tried last."""
        return folder.log_path in self._unreadable

    def close(self) -> None:
        """Ends after the piece that is being read; whoever waits is refused."""
        with self._mutex:
            self._is_closed = True
            for wanted in list(self._wanted.values()):
                self._end(wanted)
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (wanted := self._next()) is not None:
            if self._is_done(wanted):
                self._finish(wanted)
            time.sleep(0)  # whoever answers requests comes first

    def _next(self) -> _Wanted | None:
        with self._mutex:
            if self._wanted:
                return min(self._wanted.values(), key=lambda one: one.turn)
            self._thread = None
            return None

    def _is_done(self, wanted: _Wanted) -> bool:
        """Reads a piece, and tells whether there is nothing more to be read."""
        path = wanted.folder.log_path
        try:
            is_last = self._projections.read_on(wanted.folder, _PIECE_BYTES)
        except Exception:  # whatever it is, whoever looks into the log comes upon it, too, and nobody may wait for ever
            self._unreadable.add(path)
            return True
        if is_last:
            self._unreadable.discard(path)
        return is_last

    def _finish(self, wanted: _Wanted) -> None:
        try:
            for listener in self.on_read:
                listener(wanted.folder)
        except Exception:
            _logger.exception("what is said of run %s failed", wanted.folder.run_id)
        with self._mutex:
            if self._wanted.pop(wanted.folder.log_path, None) is not None:
                wanted.read.set_result(None)

    def _end(self, wanted: _Wanted) -> None:
        del self._wanted[wanted.folder.log_path]
        wanted.read.set_exception(ending())
