"""The event log: the one file that says what happened in a run, written so that it is never wrong.

A line is whole or it is not there, and what `append` returned for is on the disk. The writer uses bare descriptors: a
buffered Python file reports a failure for lines that it writes later all the same, and the retry doubles them.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mlgym.errors import EventLogError, LogInUseError
from mlgym.events.codec import Origin, check_body, encode, make_origin, seal
from mlgym.events.durable import fsync_folder, write_all
from mlgym.events.scan import Scan, scan
from mlgym.events.torn import keep_torn, torn_path
from mlgym.events.types import Event

_READ_BUFFER_BYTES: Final = 2**20
# A writer that is ending may take a moment to let go.
_WRITER_PATIENCE_S: Final = 0.25
# `has_writer` holds a shared lock for a moment, on a busy machine a long one, which must not turn a writer away.
_LOOK_PATIENCE_S: Final = 10.0

CheckedBody = tuple[bytes, Origin | None]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening a log had to repair.

    Args:
        path: the log.
        kept_events: events from the start that stand.
        torn_bytes: bytes after them that were no whole events; they were moved to `torn_path`.
        torn_path: where the moved bytes are.
        lost_events: events that had been confirmed and are gone: the disk did not keep what it had confirmed itself.
    """

    path: Path
    kept_events: int
    torn_bytes: int
    torn_path: Path
    lost_events: int = 0

    def __str__(self) -> str:
        text = f"`{self.path}`: kept {self.kept_events:,} events"
        if self.torn_bytes:
            text += f"; {self.torn_bytes:,} bytes after them were no whole events and are now in `{self.torn_path}`"
        if self.lost_events:
            text += f"; {self.lost_events:,} events that the disk had confirmed are gone"
        return text


class EventLog:
    """The writer of one log; there is at most one per file, in any process.

    Attributes:
        path: the log file.
        recovery: what the last opening had to repair, or None.
    """

    def __init__(self, path: Path, *, fsync: bool) -> None:
        """Use `EventLog.open`."""
        self.path = path
        self.recovery: Recovery | None = None
        self._fsync = fsync
        self._descriptor: int | None = None
        self._standing = Scan()
        # True from the first byte of an append until its result is noted. Where an exception, such as the
        # KeyboardInterrupt of a signal handler, falls in between, the next append cuts back and scans first.
        self._unconfirmed = False
        self._unsynced = False
        self._closed = False
        self._mutex = threading.Lock()

    @property
    def num_events(self) -> int:
        """Events that stand in the log; the id of an event is the number of its line, from 0."""
        return self._standing.num_events

    @property
    def num_bytes(self) -> int:
        """How many bytes these take; what the file has beyond them is not confirmed."""
        return self._standing.num_bytes

    @classmethod
    def open(cls, path: Path | str, *, fsync: bool = True, known: Scan | None = None) -> Self:
        """Opens a log to write, creating it where it is missing, and repairs it where its end is torn.

        Args:
            path: the log file; its folder must exist.
            fsync: whether `append` waits for the disk; without it a power cut can cost events, a crash cannot.
            known: what `close` of this log gave earlier in this process, so that only what was added is read.

        Raises:
            EventLogError: another writer has it open, or it cannot be opened, read or repaired; it is unchanged then.
        """
        log = cls(Path(path), fsync=fsync)
        log._open(confirmed_bytes=None, known=known)
        _open_logs.add(log)
        return log

    def append(self, lines: Sequence[bytes | Event]) -> list[int | None]:
        """Appends events as one group; once this returns they are durable.

        Args:
            lines: events, or their encoded form as `codec.encode` gives it.

        Returns:
            For each one the id it got, or None where its (producer, seq) is stored already, in this group or before.

        Raises:
            EventLogError: nothing of the group is stored, and the log is as it was before.
        """
        return self.append_checked([_checked(line) for line in lines])

    def append_checked(self, group: Sequence[CheckedBody]) -> list[int | None]:
        """Appends events that `codec.check_body` has seen or `codec.encode` made; else as `append`.

        Args:
            group: for each event its encoded form and its origin, if it has one.
        """
        with self._mutex:
            self._make_ready()
            ids, data, origins = self._arrange(group)
            if data:
                self._unconfirmed = True
                self._write(data)
                # The order matters where an exception falls in between: `_unconfirmed` is cleared last.
                self._standing.add(data, sum(event_id is not None for event_id in ids), origins)
                self._unconfirmed = False
            return ids

    def append_unsynced(self, body: bytes, origin: Origin) -> None:
        """Appends one new event for a later `sync`: it outlasts this process at once, a power cut only from then on.

        Args:
            body: an event as `codec.encode` made it.
            origin: where it is from; nothing of that origin was given to this log before.

        Raises:
            EventLogError: it is not stored, and the log is as it was before.
        """
        with self._mutex:
            if self._descriptor is None or self._unconfirmed:
                self._make_ready()
            line = seal(body)
            self._unsynced = self._unconfirmed = True
            self._put(line)
            self._standing.add_line(line, origin)
            self._unconfirmed = False

    def sync(self) -> None:
        """Waits for the disk to have all that was appended; others may append meanwhile.

        Raises:
            EventLogError: the disk refuses, or the log was taken away.
        """
        with self._mutex:
            if not self._unsynced or not self._fsync or self._closed:
                return
            self._make_ready()
            assert self._descriptor is not None
            self._unsynced = False
            descriptor = os.dup(self._descriptor)
        try:
            os.fsync(descriptor)
        except OSError as error:
            self._unsynced = True
            raise self._failure("did not reach the disk", error) from error
        finally:
            os.close(descriptor)

    def close(self) -> Scan:
        """Closes the log, lets another writer have it, and gives what stood in it; closing it again does nothing."""
        with self._mutex:
            if self._descriptor is not None:
                if self._unconfirmed:
                    os.ftruncate(self._descriptor, self._standing.num_bytes)
                if self._unsynced and self._fsync:
                    # Whoever has to know whether it worked calls `sync` first.
                    with suppress(OSError):
                        os.fsync(self._descriptor)
                self._drop_descriptor()
            self._closed = True
            return self._standing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _arrange(self, group: Sequence[CheckedBody]) -> tuple[list[int | None], bytes, dict[Origin, None]]:
        ids: list[int | None] = []
        sealed: list[bytes] = []
        # In order, so that runs of numbers stay runs.
        origins: dict[Origin, None] = {}
        for body, origin in group:
            if origin is not None:
                if origin in self._standing.seen or origin in origins:
                    ids.append(None)
                    continue
                origins[origin] = None
            ids.append(self.num_events + len(sealed))
            sealed.append(seal(body))
        return ids, b"".join(sealed), origins

    def _make_ready(self) -> None:
        """Sees to it that the file ends where the last confirmed event does."""
        if self._closed:
            raise EventLogError(f"`{self.path}` is closed")
        if self._descriptor is not None:
            if not self._unconfirmed and self._is_undisturbed():
                return
            self._drop_descriptor()
        self._open(confirmed_bytes=self._standing.num_bytes if self._unconfirmed else None)

    def _is_undisturbed(self) -> bool:
        """Tells whether the file is still the one at `path` and as long as it was left."""
        assert self._descriptor is not None
        try:
            status = os.fstat(self._descriptor)
        except OSError as error:
            raise self._failure("cannot be written", error) from error
        return status.st_size == self._standing.num_bytes and status.st_nlink > 0

    def _write(self, data: bytes) -> None:
        self._put(data)
        if self._fsync:
            self._sync()
            self._unsynced = False

    def _put(self, data: bytes) -> None:
        assert self._descriptor is not None
        try:
            write_all(self._descriptor, data)
        except OSError as error:
            self._cut_back()
            raise self._failure("cannot be written", error) from error

    def _sync(self) -> None:
        assert self._descriptor is not None
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            # The kernel may have dropped the pages and marked them clean, so that a second fsync would succeed without
            # having written anything. The group is cut off and the file looked at anew.
            self._cut_back()
            self._drop_descriptor()
            try:
                self._open(confirmed_bytes=self._standing.num_bytes)
            except EventLogError as still_failing:
                # The next append tries again.
                error.add_note(str(still_failing))
            raise self._failure("did not reach the disk", error) from error

    def _cut_back(self) -> None:
        assert self._descriptor is not None
        try:
            os.ftruncate(self._descriptor, self._standing.num_bytes)
        except OSError:
            # `_unconfirmed` stays set: the next append re-opens and cuts before it writes.
            return
        self._unconfirmed = False

    def _open(self, *, confirmed_bytes: int | None, known: Scan | None = None) -> None:
        """Locks, scans and repairs the file; `confirmed_bytes` says where to cut off what an append left behind."""
        descriptor = _open_locked(self.path)
        try:
            if confirmed_bytes is not None and os.fstat(descriptor).st_size > confirmed_bytes:
                os.ftruncate(descriptor, confirmed_bytes)
            self._take(descriptor, known)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                raise self._failure("cannot be opened", error) from error
            raise
        self._descriptor = descriptor
        self._unconfirmed = False

    def _take(self, descriptor: int, known: Scan | None) -> None:
        with os.fdopen(os.dup(descriptor), "rb", buffering=_READ_BUFFER_BYTES) as file:
            found = scan(file, known)
        torn_bytes = os.fstat(descriptor).st_size - found.num_bytes
        if torn_bytes:
            keep_torn(descriptor, self.path, found.num_bytes, found.num_bytes + torn_bytes)
            os.ftruncate(descriptor, found.num_bytes)
        if self._fsync:
            # Events found here count as stored, though the process that wrote them may have died before its fsync.
            os.fsync(descriptor)
            fsync_folder(self.path.parent)
        lost_events = max(0, self.num_events - found.num_events)
        if torn_bytes or lost_events:
            self.recovery = Recovery(self.path, found.num_events, torn_bytes, torn_path(self.path), lost_events)
        self._standing = found

    def _drop_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _failure(self, what: str, error: OSError) -> EventLogError:
        return EventLogError(f"`{self.path}` {what}: {os.strerror(error.errno or 0)}")

    def _abandon(self) -> None:
        """Gives the log up in a forked child, without releasing the parent's lock."""
        self._mutex = threading.Lock()  # another thread of the parent may have held the old one
        self._closed = True
        self._drop_descriptor()


def has_writer(path: Path | str) -> bool:
    """Tells whether somebody has the log open to write, without disturbing them; False where there is no log.

    Raises:
        EventLogError: it cannot be opened to read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise EventLogError(f"`{path}` cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _checked(line: bytes | Event) -> CheckedBody:
    if isinstance(line, Event):
        return encode(line), make_origin(line.producer, line.seq)
    return line, check_body(line)


def _open_locked(path: Path) -> int:
    """Gives a descriptor of the log that holds its lock.

    Raises:
        EventLogError: it is no regular file, cannot be opened or locked, or another writer holds it.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        raise EventLogError(f"`{path}` cannot be opened: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EventLogError(f"`{path}` is no regular file")
        _lock(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, path: Path) -> None:
    began = time.monotonic()
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            patience_s = _LOOK_PATIENCE_S if _is_only_looked_at(descriptor) else _WRITER_PATIENCE_S
            if time.monotonic() - began > patience_s:
                raise LogInUseError(path, _holder(descriptor)) from error
        except OSError as error:
            raise EventLogError(
                f"`{path}` cannot be locked ({error.strerror}); use a storage folder on a file system with file locks"
            ) from error
        time.sleep(0.01)


def _is_only_looked_at(descriptor: int) -> bool:
    """Tells whether those who hold the lock of an open log share it, as no writer does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _holder(descriptor: int) -> str:
    """Names the process that holds the lock, as far as `/proc/locks` tells."""
    inode = os.fstat(descriptor).st_ino
    try:
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        locks = []
    # "1: FLOCK  ADVISORY  WRITE 4967 fe:00:2146352 0 EOF"
    pids = [lock[4] for lock in locks if "FLOCK" in lock and lock[-3].endswith(f":{inode}")]
    return f"process {pids[0]}" if pids else "another process"


_open_logs: Final[weakref.WeakSet[EventLog]] = weakref.WeakSet()


def _abandon_all() -> None:
    # A fork shares the open file and with it the lock: a child that lives on would keep the next writer out.
    for log in list(_open_logs):
        log._abandon()


os.register_at_fork(after_in_child=_abandon_all)
