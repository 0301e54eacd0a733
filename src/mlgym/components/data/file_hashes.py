"""The files that samples come from, and their SHA-256, remembered so that a set is read once and not in each run.

A hash counts as long as size, time and inode of its file stay the same. What is remembered lies in the user's cache
folder and may be lost, damaged or out of reach at any time: then the files are read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from mlgym.components.data.download import sha256_of
from mlgym.errors import DataError

Stamp: TypeAlias = tuple[int, int, int]
"""Size in bytes, time of the last change in ns, inode."""

_SETTLED_NS: Final = 2_000_000_000


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """The files that the samples of a dataset come from.

    Args:
        paths: one for each sample in their order, or all that the dataset reads.
        one_each: which of the two.
        read_as: what else decides the samples, such as the size that images are scaled to.
    """

    paths: Sequence[Path]
    one_each: bool
    read_as: str


@runtime_checkable
class ReadsFiles(Protocol):
    """A dataset whose samples are told by the content of files, so that none has to be decoded."""

    def sample_files(self) -> SampleFiles | None:
        """Gives the files; None where there are none that stand for the samples."""


def hashes_of_files(paths: Sequence[Path]) -> list[str]:
    """Gives the SHA-256 of each file as 64 hexadecimal digits.

    Args:
        paths: the files; the set of them is what is remembered together.

    Raises:
        DataError: a file cannot be read.
    """
    cache = _cache_file(paths)
    known = _load(cache)
    found: dict[str, tuple[Stamp, str]] = {}
    now = time.time_ns()
    for path in paths:
        name = str(path)
        if name in found:
            continue
        try:
            stamp = _stamp(path)
            entry = known.get(name)
            found[name] = entry if entry is not None and entry[0] == stamp else (stamp, sha256_of(path))
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    # A file that changes twice within the clock's grain keeps its stamp: what is that fresh is not remembered.
    kept = {name: entry for name, entry in found.items() if entry[0][1] < now - _SETTLED_NS}
    if cache is not None and kept != known:
        _store(cache, kept)
    return [found[str(path)][1] for path in paths]


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _cache_file(paths: Sequence[Path]) -> Path | None:
    """Gives where the hashes of these files are remembered; None where there is no place."""
    try:
        given = os.environ.get("XDG_CACHE_HOME")
        base = Path(given) if given and Path(given).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # no home folder
        return None
    name = hashlib.sha256("\0".join(str(path.absolute()) for path in paths).encode("utf-8", "surrogateescape"))
    return base / "mlgym" / "file_hashes" / f"{name.hexdigest()}.json"


def _load(cache: Path | None) -> dict[str, tuple[Stamp, str]]:
    """Gives what is remembered; nothing where the file is missing, damaged, or of another kind."""
    if cache is None:
        return {}
    try:
        checksum, _, text = cache.read_text(encoding="utf-8").partition("\n")
        if hashlib.sha256(text.encode()).hexdigest() != checksum:
            return {}
        entries: dict[str, Any] = json.loads(text)
        return {name: ((stamp[0], stamp[1], stamp[2]), sha256) for name, (*stamp, sha256) in entries.items()}
    except (OSError, ValueError, AttributeError, TypeError, IndexError, RecursionError):
        return {}


def _store(cache: Path, entries: dict[str, tuple[Stamp, str]]) -> None:
    part: Path | None = None
    with suppress(OSError, UnicodeEncodeError):
        text = json.dumps({name: (*stamp, sha256) for name, (stamp, sha256) in entries.items()})
        cache.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own, since several experiments may do the same at the same time.
        descriptor, name = tempfile.mkstemp(dir=cache.parent, suffix=".part")
        part = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
        part.replace(cache)
        return
    if part is not None:
        with suppress(OSError):
            part.unlink()
