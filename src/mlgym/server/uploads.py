"""Checkpoints and artifacts on their way in: hidden folders that become what they are once every hash is right.

The folder `.epoch_3-step_120.upload` collects files, in any order and number of requests. Nothing sees it but uploads:
its name begins with a dot. Whoever writes a file of it holds a lock on that file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from mlgym.errors import InvalidNameError
from mlgym.events.durable import fsync_folder, write_all
from mlgym.names import safe_name
from mlgym.server.refusal import RefusedError
from mlgym.server.store import HubStore
from mlgym.tracking.artifacts import ARTIFACTS
from mlgym.tracking.manifest import (
    MANIFEST_FILE,
    FileEntry,
    make_checkpoints_folder,
    manifest_bytes,
    publish,
    read_manifest,
)

OFFSET: Final = "Upload-Offset"
_UNFINISHED: Final = re.compile(r"\..+\.(upload|part)")


class Uploads:
    """The unfinished checkpoints of a store.

    Attributes:
        max_bytes: size of the largest file.
    """

    def __init__(self, store: HubStore, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._store = store

    def offset(self, run_id: str, experiment: str, name: str, file: str) -> int:
        """Gives how many bytes of a file are there; 0 where nothing was sent yet."""
        path = self._partial(self._store.upload_dir(self._store.folder(run_id), experiment, name), file)
        return path.stat().st_size if path.is_file() else 0

    @contextmanager
    def writing(self, run_id: str, experiment: str, name: str, file: str, offset: int) -> Iterator[int]:
        """Gives a descriptor at the end of an unfinished file, which nobody else writes meanwhile.

        Args:
            run_id: the run; made where it is missing.
            experiment: the number of the experiment.
            name: of the checkpoint.
            file: of the file.
            offset: how many bytes are there, as the sender believes.

        Raises:
            InvalidNameError: a name is not allowed.
            RefusedError: another number of bytes is there, or somebody else writes.
        """
        checkpoint = self._store.upload_dir(self._store.make_run(run_id), experiment, name)
        path = self._partial(checkpoint, file)
        make_checkpoints_folder(checkpoint.parent)
        path.parent.mkdir(exist_ok=True)
        with _locked(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
            there = os.fstat(descriptor).st_size
            if there != offset:
                raise RefusedError(
                    409,
                    "offset_mismatch",
                    f"{there:,} bytes of `{file}` are there, not {offset:,}: go on from there",
                    path=OFFSET,
                    headers={OFFSET: str(there)},
                )
            yield descriptor

    def finish(self, run_id: str, experiment: str, name: str, files: Mapping[str, FileEntry]) -> None:
        """Makes a checkpoint of what was sent, after comparing every file with its size and hash.

        Where the same checkpoint stands already, nothing else happens; another one of the name is replaced.

        Raises:
            InvalidNameError: a name is not allowed.
            RefusedError: a file does not match, and what was sent of it is gone; or somebody still writes one.
            OSError: the disk refused; nothing is visible.
        """
        checkpoint = self._store.upload_dir(self._store.make_run(run_id), experiment, name)
        paths = {file: self._partial(checkpoint, file) for file in files}
        folder = _unfinished_of(checkpoint)
        if read_manifest(checkpoint / MANIFEST_FILE) == dict(files):
            shutil.rmtree(folder, ignore_errors=True)
            return
        with ExitStack() as held:
            # All of them are looked at, so that what is wrong with several has to be sent again once.
            refusals = [_mismatch_of(held, file, path, files[file]) for file, path in paths.items()]
            for refusal in refusals:
                if refusal is not None:
                    raise refusal
            for other in folder.iterdir():
                if other.name not in files:
                    other.unlink()
            _write_manifest(folder / MANIFEST_FILE, manifest_bytes(files))
            fsync_folder(folder)
            publish(folder, checkpoint)

    def discard(self, run_id: str, experiment: str, name: str) -> bool:
        """Removes what was sent of a checkpoint, and tells whether there was anything."""
        folder = _unfinished_of(self._store.upload_dir(self._store.run(run_id), experiment, name))
        was_there = folder.is_dir()
        shutil.rmtree(folder, ignore_errors=True)
        return was_there

    def _partial(self, checkpoint: Path, file: str) -> Path:
        if safe_name(file, "file name") == MANIFEST_FILE:
            raise InvalidNameError(f"file name `{MANIFEST_FILE}` is reserved: the hub writes it at the end")
        return _unfinished_of(checkpoint) / file


def remove_stale(storage: Path, max_age_s: float) -> None:
    """Removes uploads that nobody has gone on with for so long (s)."""
    before = time.time() - max_age_s
    for parent in (*storage.glob("*/*/checkpoints"), *storage.glob(f"*/*/{ARTIFACTS}")):
        for path in (*parent.glob(".*"), *parent.glob("epoch_*/.*")):
            newest = max((each.stat().st_mtime for each in (path, *path.glob("*"))), default=0.0)
            if _UNFINISHED.fullmatch(path.name) and newest < before:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _unfinished_of(checkpoint: Path) -> Path:
    return checkpoint.with_name(f".{checkpoint.name}.upload")


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(path.name) from None
        # Between opening and locking it may have become a part of a checkpoint, which is not written any more.
        if not path.exists() or path.stat().st_ino != os.fstat(descriptor).st_ino:
            raise _busy(path.name)
        yield descriptor
    finally:
        os.close(descriptor)


def _busy(file: str) -> RefusedError:
    return RefusedError(
        409, "busy", f"another upload of `{file}` is under way; try again", headers={"Retry-After": "1"}
    )


def _mismatch_of(held: ExitStack, file: str, path: Path, expected: FileEntry) -> RefusedError | None:
    """Compares a file with what it should be, syncs it, and keeps its lock; removes it where it is something else."""
    try:
        descriptor = held.enter_context(_locked(path, os.O_RDWR))
    except FileNotFoundError:
        return _mismatch(file, "nothing of it was sent")
    size = os.fstat(descriptor).st_size
    if size != expected.bytes:
        path.unlink()
        return _mismatch(file, f"{size:,} bytes were sent, the manifest says {expected.bytes:,}")
    with os.fdopen(os.dup(descriptor), "rb") as content:
        content.seek(0)
        actual = hashlib.file_digest(content, "sha256").hexdigest()
    if actual != expected.sha256:
        path.unlink()
        return _mismatch(file, f"its sha256 is {actual}, the manifest says {expected.sha256}")
    os.fsync(descriptor)
    return None


def _mismatch(file: str, how: str) -> RefusedError:
    return RefusedError(
        422, "mismatch", f"`{file}` is not what the manifest says: {how}; send it again", path=f"files.{file}"
    )


def _write_manifest(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
