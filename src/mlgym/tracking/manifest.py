"""Checkpoints as folders of files with a manifest, whatever is in the files: names, hashes, publishing, removing.

`manifest.json` has the size and the sha256 of each other file and is written last, so that a folder that has one is
complete.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlgym.events.durable import fsync_folder

MANIFEST_FILE: Final = "manifest.json"
_PASSING: Final = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.EINTR)
CHECKPOINT_NAME: Final = re.compile(r"epoch_(\d+)-step_(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a manifest says of a file.

    Args:
        bytes: its size.
        sha256: the hash of its content (hex).
    """

    bytes: int
    sha256: str


def read_manifest(path: Path) -> dict[str, FileEntry]:
    """Gives the entries of a manifest by file name; none where it is missing or damaged.

    Raises:
        OSError: it cannot be read now, though it may be whole.
    """
    try:
        return parse_manifest(path.read_bytes())
    except OSError as error:
        _refuse_passing(error)
        return {}


def parse_manifest(content: bytes) -> dict[str, FileEntry]:
    """Gives the entries of a manifest's content by file name; none where it is damaged."""
    try:
        manifest = json.loads(content)
        return {file: FileEntry(int(entry["bytes"]), str(entry["sha256"])) for file, entry in manifest.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def manifest_bytes(files: Mapping[str, FileEntry]) -> bytes:
    """Gives the content of the manifest of some files."""
    manifest = {file: {"bytes": entry.bytes, "sha256": entry.sha256} for file, entry in files.items()}
    return json.dumps(manifest, indent=1).encode()


def sha256_of(path: Path) -> str:
    """Gives the hash of a file (hex), or `missing` where it is not there or the disk has lost it.

    Raises:
        OSError: it cannot be read now, though it may be whole.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        _refuse_passing(error)
        return "missing"


def _refuse_passing(error: OSError) -> None:
    """Raises an error that says nothing of the file: what cannot be read now must not be taken for damaged."""
    if error.errno in _PASSING:
        raise error


def make_checkpoints_folder(folder: Path) -> None:
    """Makes a folder for checkpoints, durably, where it is missing."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        fsync_folder(folder.parent)


def publish(temporary: Path, path: Path) -> None:
    """Gives a complete checkpoint its name; one that has the name already is there until the new one is."""
    replaced = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(replaced)
    temporary.rename(path)
    fsync_folder(path.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def remove_checkpoint(path: Path) -> bool:
    """Removes a checkpoint; a crash in between leaves a hidden folder, never half a checkpoint.

    Returns:
        Whether it was there.

    Raises:
        OSError: the disk refused.
    """
    doomed = path.with_name(f".{path.name}.{os.getpid()}.deleted")
    try:
        path.rename(doomed)
    except FileNotFoundError:
        return False
    # Else a power cut could bring the name back after its files are gone.
    fsync_folder(path.parent)
    shutil.rmtree(doomed)
    return True
