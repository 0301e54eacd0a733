"""Figures, texts and files that somebody logs: folders of a run with a manifest each, as checkpoints are.

`0/artifacts/confusion.3` is the fourth one that was logged as `confusion`. It is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlgym.errors import InvalidNameError, RunError
from mlgym.events.durable import fsync_folder
from mlgym.names import safe_name
from mlgym.tracking.manifest import (
    MANIFEST_FILE,
    FileEntry,
    make_checkpoints_folder,
    manifest_bytes,
    publish,
    sha256_of,
)
from mlgym.tracking.run_folder import RunFolder

ARTIFACT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,110}\.(0|[1-9][0-9]{0,8})", re.ASCII)
"""Name of the folder of an artifact: what it was logged as, in safe letters, and its version."""
ARTIFACTS: Final = "artifacts"
_MAX_STEM: Final = 80
_MAX_SUFFIX: Final = 12


@dataclass(frozen=True, slots=True)
class SavedArtifact:
    """An artifact that stands.

    Args:
        path: its folder, relative to the run folder.
        version: how many of its name came before it.
        files: size and hash by file name.
    """

    path: str
    version: int
    files: dict[str, FileEntry]


def safe_file_name(text: str, suffix: str = "") -> str:
    """Gives a name for a file that says what `text` says, in letters that any file system and any address takes.

    Different texts give different names: one that had to be changed gets 8 digits of its hash.

    Args:
        text: any text, such as `confusion matrix (val)`.
        suffix: what the name ends in, such as `.png`; added where the text does not end in it.
    """
    stem = text.removesuffix(suffix) if suffix and text != suffix else text
    ascii_only = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", ascii_only).strip("._-")[:_MAX_STEM] or "artifact"
    if cleaned != stem or not _is_free(cleaned + suffix):
        cleaned += f"-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return cleaned + suffix


def safe_suffix(path: Path) -> str:
    """Gives the endings of a file's name that say what it is, such as `.png` or `.tar.gz`; none where they are odd."""
    endings = "".join(path.suffixes[-2:])
    for suffix in (endings, path.suffix):
        if len(suffix) <= _MAX_SUFFIX and re.fullmatch(r"(\.[A-Za-z][A-Za-z0-9]*)+", suffix):
            return suffix
    return ""


def save_artifact(
    folder: RunFolder, experiment_id: int, slug: str, version: int, file: str, write: Callable[[Path], Any]
) -> SavedArtifact:
    """Writes an artifact of one file, durably; it appears once all of it is there.

    Args:
        folder: the run.
        experiment_id: whose it is.
        slug: what it is called, as `safe_file_name` gives it.
        version: how many of that name there are.
        file: name of its file, as `safe_file_name` gives it.
        write: writes the file.

    Raises:
        RunError: the disk refuses; nothing of it is left.
    """
    name = f"{slug}.{version}"
    parent = folder.experiment_dir(experiment_id) / ARTIFACTS
    temporary = parent / f".{secrets.token_hex(8)}.tmp"
    try:
        if not parent.parent.is_dir():
            parent.parent.mkdir()
            fsync_folder(folder.path)
        make_checkpoints_folder(parent)
        temporary.mkdir()
        write(temporary / file)
        files = {file: FileEntry((temporary / file).stat().st_size, sha256_of(temporary / file))}
        (temporary / MANIFEST_FILE).write_bytes(manifest_bytes(files))
        for path in temporary.iterdir():
            _sync(path)
        fsync_folder(temporary)
        publish(temporary, parent / name)
    except OSError as error:
        raise RunError(f"artifact `{name}` cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return SavedArtifact(f"{experiment_id}/{ARTIFACTS}/{name}", version, files)


def next_version(folder: RunFolder, experiment_id: int, slug: str) -> int:
    """Gives how many artifacts of a name there are, or were before some were taken away by hand."""
    parent = folder.experiment_dir(experiment_id) / ARTIFACTS
    names = [entry.name for entry in os.scandir(parent)] if parent.is_dir() else []
    versions = [
        int(match[1]) for name in names if (match := ARTIFACT_NAME.fullmatch(name)) and name == f"{slug}.{match[1]}"
    ]
    return max(versions, default=-1) + 1


def _is_free(name: str) -> bool:
    try:
        return safe_name(name) != MANIFEST_FILE
    except InvalidNameError:
        return False


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
