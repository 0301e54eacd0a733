"""Whose driver is there: it has said that it sends the events of a run as long as the run goes on.

Silence tells nothing of a run: it may be busy, or dead. A connection does, as it ends with the process that holds it. A
lock on the folder of the run tells it to every process over the storage, and ends with the service. A driver without a
connection says from time to time that it will come again; until when stands beside the log.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from mlgym.tracking import RunFolder

MAX_ANNOUNCED_S: Final = 300.0
"""How long a driver may say nothing after it has said that it goes on."""
_ANNOUNCED: Final = ".sender"

_MAX_RUNS: Final = 1000
"""Each takes a file descriptor; of more it is not known."""
_MAX_RUNS_OF_CLIENT: Final = 64
# Whoever asks holds the lock for a moment.
_ATTEMPTS: Final = 20
_PAUSE_S: Final = 0.005


class Senders:
    """The drivers that are connected to a service, in one event loop."""

    def __init__(self) -> None:
        self._runs_of: dict[str, dict[str, RunFolder]] = {}
        self._locks: dict[str, int] = {}
        self._locking: set[str] = set()

    def add(self, client: str, folder: RunFolder) -> None:
        """Notes that a client sends a run until it is gone; `show` shows it.

        Args:
            client: its session.
            folder: the run, which need not be there yet.
        """
        runs = self._runs_of.setdefault(client, {})
        if len(runs) < _MAX_RUNS_OF_CLIENT:
            runs[folder.run_id] = folder

    async def show(self, client: str) -> None:
        """Locks the folders of the runs that a client sends, as far as they are there and not locked already."""
        for run_id, folder in list(self._runs_of.get(client, {}).items()):
            if run_id in self._locks or run_id in self._locking or len(self._locks) >= _MAX_RUNS:
                continue
            self._locking.add(run_id)
            try:
                lock = await asyncio.to_thread(_lock, folder.path)
            finally:
                self._locking.discard(run_id)
            if lock is not None:
                self._locks[run_id] = lock
                self._release_unsent([run_id])  # it may be gone by now

    def remove(self, client: str) -> None:
        """Notes that a client is gone."""
        self._release_unsent(self._runs_of.pop(client, {}))

    def close(self) -> None:
        """Ends with the service."""
        for client in list(self._runs_of):
            self.remove(client)

    def _release_unsent(self, runs: list[str] | dict[str, RunFolder]) -> None:
        for run_id in runs:
            is_sent = any(run_id in others for others in self._runs_of.values())
            if not is_sent and run_id in self._locks:
                os.close(self._locks.pop(run_id))


def announce(run_path: Path, for_s: float) -> None:
    """Notes that the driver of a run goes on for some time at least, whatever it says meanwhile.

    Args:
        run_path: the folder of the run.
        for_s: how long, in s, at most `MAX_ANNOUNCED_S`; 0 takes it back.

    Raises:
        OSError: the disk refuses.
    """
    path = run_path / _ANNOUNCED
    if for_s <= 0:
        path.unlink(missing_ok=True)
        return
    until = time.time() + min(for_s, MAX_ANNOUNCED_S)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.utime(descriptor, (until, until))  # its time is what it says
    finally:
        os.close(descriptor)


def has_sender(run_path: Path) -> bool:
    """Tells whether the driver of a run is connected to a service over this storage, or has announced itself.

    Args:
        run_path: the folder of the run.
    """
    return _is_announced(run_path) or _is_connected(run_path)


def _is_announced(run_path: Path) -> bool:
    with suppress(OSError):
        # A clock that was put back makes nobody go on for longer than that.
        return 0 < (run_path / _ANNOUNCED).lstat().st_mtime - time.time() <= MAX_ANNOUNCED_S
    return False


def _is_connected(run_path: Path) -> bool:
    try:
        descriptor = _opened(run_path)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _lock(run_path: Path) -> int | None:
    """Locks a folder for as long as what is given is open; None where that is not possible."""
    try:
        descriptor = _opened(run_path)
    except OSError:
        return None
    for _ in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        except OSError:
            break
    os.close(descriptor)
    return None


def _opened(run_path: Path) -> int:
    return os.open(run_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
