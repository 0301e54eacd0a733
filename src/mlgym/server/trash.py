"""Deleted runs: moved as a whole into a folder of the storage that nothing lists, and back.

`.trash/RUN_ID/0` is the first run of this id that was deleted, `.trash/RUN_ID/1` the next one. Removing the folder
`.trash` frees the disk; services do not do so.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlgym.errors import InvalidNameError, LogInUseError
from mlgym.events import RunRestored, RunTrashed
from mlgym.events.durable import fsync_folder
from mlgym.names import LOG_FILE, SAFE_NAME
from mlgym.server.notes_log import NotesLog
from mlgym.server.refusal import RefusedError, not_found
from mlgym.server.senders import has_sender
from mlgym.server.store import EXPERIMENT_ID, HubStore
from mlgym.tracking import RunFolder

TRASH_FOLDER: Final = ".trash"
# Readers ask for the lock for a moment, too.
_PATIENCE_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class TrashedRun:
    """A run in the trash.

    Args:
        run_id: as it was called.
        number: which of the deleted runs of this id it is.
        folder: where it is.
    """

    run_id: str
    number: int
    folder: RunFolder


class Trash:
    """The deleted runs of a storage folder."""

    def __init__(self, store: HubStore, notes: NotesLog) -> None:
        self._store = store
        self._notes = notes

    def runs(self) -> Iterator[TrashedRun]:
        """Yields the deleted runs by their id, those of one id in the order in which they were deleted."""
        for parent in _folders(self._folder()):
            if SAFE_NAME.fullmatch(parent.name):
                yield from self._of(parent.name)

    def put(self, run_id: str) -> TrashedRun:
        """Moves a run to the trash.

        Raises:
            InvalidNameError: it can be no run id.
            RefusedError: there is no such run.
            LogInUseError: somebody writes it, or its driver is there and may: the rest of its events would make a run
                without a beginning.
            OSError: the disk refused.
        """
        folder = self._store.run(run_id)
        if has_sender(folder.path):
            raise LogInUseError(folder.log_path, "its driver")
        parent = self._folder() / run_id
        parent.mkdir(parents=True, exist_ok=True)
        self._store.logs.close_idle(0.0)
        with _unwritten(folder.log_path):
            number = max((one.number for one in self._of(run_id)), default=-1) + 1
            folder.path.rename(parent / str(number))
        _sync(parent, self._folder(), folder.storage)
        self._notes.write(RunTrashed(grid_search_id=run_id, number=number))
        return TrashedRun(run_id, number, RunFolder(parent, str(number)))

    def restore(self, run_id: str) -> TrashedRun:
        """Takes the run of an id that was deleted last out of the trash.

        Raises:
            InvalidNameError: it can be no run id.
            RefusedError: there is none, or another run has its place.
            OSError: the disk refused.
        """
        folder = self._store.folder(run_id)
        last = max(self._of(run_id), key=lambda one: one.number, default=None)
        if last is None:
            raise not_found(f"there is no run `{run_id}` in the trash")
        if os.path.lexists(folder.path):
            raise RefusedError(409, "conflict", f"there is another run `{run_id}` by now; delete it first")
        last.folder.path.rename(folder.path)
        _sync(folder.storage, last.folder.storage)
        with suppress(OSError):
            last.folder.storage.rmdir()  # fails where more of this id are there
        self._notes.write(RunRestored(grid_search_id=run_id, number=last.number))
        return last

    def _of(self, run_id: str) -> Iterator[TrashedRun]:
        for path in _folders(self._folder() / run_id):
            if EXPERIMENT_ID.fullmatch(path.name) and (path / LOG_FILE).is_file():
                yield TrashedRun(run_id, int(path.name), RunFolder(path.parent, path.name))

    def _folder(self) -> Path:
        path = self._store.storage / TRASH_FOLDER
        if path.is_symlink():
            raise InvalidNameError("the trash is a symbolic link")
        return path


@contextmanager
def _unwritten(log_path: Path) -> Iterator[None]:
    """Keeps writers away from a log.

    Raises:
        LogInUseError: it has one.
    """
    descriptor = os.open(log_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        give_up_at = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise LogInUseError(log_path, "another process") from None
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir() or parent.is_symlink():
        return []
    return sorted(Path(each.path) for each in os.scandir(parent) if each.is_dir(follow_symlinks=False))


def _sync(*folders: Path) -> None:
    for folder in folders:
        fsync_folder(folder)
