"""Files from the network: from the first mirror that has them, resumed, verified, fetched once by parallel processes.

A file appears under its name only when it is complete and has the published hash. What cannot be fetched is reported
with the way to put it there by hand.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import logging
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from mlgym.errors import DataError

logger = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 1 << 18
_TIMEOUT_S: Final = 30.0
_MAX_BREAKS: Final = 5
_SCHEMES: Final = ("http", "https", "file")

Progress = Callable[[int], None]
"""Told how many bytes of the file are there now."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Args:
        name: what it is called on every mirror and here.
        sha256: its published hash, 64 hexadecimal digits.
        num_bytes: its published size; more is not read.
    """

    name: str
    sha256: str
    num_bytes: int


@dataclass(frozen=True)
class RemoteSet:
    """Files that belong together.

    Args:
        name: what the set is called, and the folder that it lies in.
        files: all of them.
        mirrors: addresses of folders that hold the files, tried in this order; `http`, `https` or `file`.
    """

    name: str
    files: tuple[RemoteFile, ...]
    mirrors: tuple[str, ...]


class _MirrorError(Exception):
    """A mirror does not give the file; the text says why."""


@dataclass
class _Attempts:
    """Which mirrors failed for which reason."""

    reasons: list[str] = field(default_factory=list)

    def add(self, url: str, reason: object) -> None:
        self.reasons.append(f"{url}: {reason}")
        logger.warning("%s: %s", url, reason)


def fetch(
    remote: RemoteSet, folder: Path, *, mirrors: Sequence[str] | None = None, download: bool = True
) -> list[Path]:
    """Gives the paths of the files of a set, downloading those that are not there or are broken.

    Args:
        remote: the set.
        folder: where its files lie or will lie.
        mirrors: tried instead of the published ones.
        download: use the network; false only verifies what is there.

    Raises:
        DataError: a file is missing or broken and cannot be fetched; the text says which files belong where, and what
            each mirror answered.
    """
    paths = [folder / file.name for file in remote.files]
    if not _broken(remote, folder):
        return paths
    attempts = _Attempts()
    if download:
        try:
            _fetch_missing(remote, folder, mirrors or remote.mirrors, attempts)
        except OSError as error:
            raise DataError(f"`{remote.name}` cannot be downloaded into {folder}: {error}") from error
    broken = _broken(remote, folder)
    if broken:
        raise DataError(_how_to_help(remote, folder, broken, attempts, download=download))
    return paths


def _fetch_missing(remote: RemoteSet, folder: Path, mirrors: Sequence[str], attempts: _Attempts) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / ".download.lock"):
        # What another process fetched meanwhile is there by now.
        for file in _broken(remote, folder):
            if not _fetch_one(file, folder, mirrors, attempts):
                return


def sha256_of(path: Path) -> str:
    """Gives the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _broken(remote: RemoteSet, folder: Path) -> list[RemoteFile]:
    return [file for file in remote.files if not _is_whole(file, folder / file.name)]


def _is_whole(file: RemoteFile, path: Path) -> bool:
    return path.is_file() and path.stat().st_size == file.num_bytes and sha256_of(path) == file.sha256


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process downloads into %s; waiting for it", path.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_one(file: RemoteFile, folder: Path, mirrors: Sequence[str], attempts: _Attempts) -> bool:
    part = folder / f"{file.name}.part"
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.name}"
        try:
            with _progress(file) as progress:
                _fetch_verified(url, file, part, progress)
        except _MirrorError as error:
            attempts.add(url, error)
            continue
        part.replace(folder / file.name)  # one atomic step, also over a broken file
        return True
    return False


def _fetch_verified(url: str, file: RemoteFile, part: Path, progress: Progress) -> None:
    resumed = part.exists()
    _fetch_with_breaks(url, file, part, progress)
    if _is_whole(file, part):
        return
    part.unlink()
    if resumed:
        # What was there before may have been of another file: once more from the beginning.
        _fetch_verified(url, file, part, progress)
        return
    raise _MirrorError(f"gives a file with another hash than the published sha256 {file.sha256}")


def _fetch_with_breaks(url: str, file: RemoteFile, part: Path, progress: Progress) -> None:
    breaks = 0
    while (have := _size(part)) < file.num_bytes:
        try:
            _fetch_rest(url, file, part, progress)
        except (OSError, http.client.HTTPException) as error:
            raise _MirrorError(_reason(error)) from error
        if _size(part) >= file.num_bytes:
            return
        breaks += 1
        if breaks > _MAX_BREAKS or _size(part) <= have:
            raise _MirrorError(f"the connection broke off after {_size(part):,} of {file.num_bytes:,} bytes")
        logger.info("%s: the connection broke off after %s bytes; going on from there", url, f"{_size(part):,}")
        time.sleep(0.2 * breaks)


def _fetch_rest(url: str, file: RemoteFile, part: Path, progress: Progress) -> None:
    """Appends what a mirror gives to `part`, until the file is complete or the connection breaks."""
    have = _size(part)
    with _open(url, have) as (answer, resumes), part.open("ab" if resumes else "wb") as target:
        have = have if resumes else 0
        progress(have)
        while have < file.num_bytes:
            try:
                chunk = answer.read(min(_CHUNK_BYTES, file.num_bytes - have))
            except (OSError, http.client.HTTPException) as error:
                logger.info("%s: %s", url, _reason(error))
                return
            if not chunk:
                return
            target.write(chunk)
            have += len(chunk)
            progress(have)


@contextmanager
def _open(url: str, start: int) -> Iterator[tuple[IO[bytes], bool]]:
    """Opens an address at a byte; also gives whether the answer does begin there rather than at 0."""
    if urllib.parse.urlsplit(url).scheme not in _SCHEMES:
        raise _MirrorError(f"a mirror is an address that begins with {', '.join(_SCHEMES)}")
    request = urllib.request.Request(url, headers={"User-Agent": "mlgym"})  # noqa: S310 (checked above)
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 (as above)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            error.close()
            with _open(url, 0) as opened:
                yield opened
            return
        raise
    with answer:
        begins = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        yield answer, start > 0 and answer.status == http.HTTPStatus.PARTIAL_CONTENT and begins


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


@contextmanager
def _progress(file: RemoteFile) -> Iterator[Progress]:
    """Gives what shows the progress: a bar on a terminal, else two lines of log."""
    if not sys.stderr.isatty():
        logger.info("downloading %s (%s bytes)", file.name, f"{file.num_bytes:,}")
        yield lambda _: None
        logger.info("downloaded %s", file.name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(file.name, total=file.num_bytes)
        yield lambda have: bar.update(task, completed=have)


def _how_to_help(
    remote: RemoteSet, folder: Path, broken: list[RemoteFile], attempts: _Attempts, *, download: bool
) -> str:
    lines = [f"`{remote.name}` cannot be loaded: {len(broken)} of its {len(remote.files)} files are missing or broken"]
    for file in broken:
        state = "broken" if (folder / file.name).exists() else "missing"
        lines.append(f"  {folder / file.name} ({state}; {file.num_bytes:,} bytes, sha256 {file.sha256})")
    if attempts.reasons:
        lines += ["what the mirrors answered:", *(f"  {reason}" for reason in attempts.reasons)]
    elif not download:
        lines.append("nothing was downloaded, since `download` is false")
    lines.append(
        f"put the files into {folder.absolute()} by hand, or name a mirror that can be reached with "
        "`mirrors: [https://..., file:///...]`"
    )
    return "\n".join(lines)
