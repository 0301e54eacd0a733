"""What was cut off a log: kept aside byte for byte, in `event_storage.log.torn`.

Each piece follows a line of JSON that says where it was and how long it is, so that several are told apart.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mlgym.events.durable import fsync_folder, write_all

_COPY_BYTES = 2**20


class TornPiece(NamedTuple):
    """Bytes that were cut off at `offset` of the log, at `cut_at` (s since the epoch)."""

    offset: int
    cut_at: float
    data: bytes


def torn_path(log_path: Path) -> Path:
    """Gives where the pieces cut off a log are kept."""
    return log_path.with_name(log_path.name + ".torn")


def keep_torn(log_descriptor: int, log_path: Path, start: int, end: int) -> None:
    """Adds the bytes of the log from `start` to `end` to its torn file: durably, or that file stays as it was.

    Only the writer of the log, who holds its lock, may call this.

    Raises:
        OSError: it cannot be written; the log is untouched.
    """
    # A new file takes the place of the old one, so that a crash in the middle cannot spoil earlier pieces.
    temporary = log_path.with_name(f".{log_path.name}.torn")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    torn = os.open(temporary, flags, 0o644)
    try:
        try:
            _copy_earlier(torn, torn_path(log_path))
            write_all(torn, _header(start, end))
            for offset in range(start, end, _COPY_BYTES):
                write_all(torn, os.pread(log_descriptor, min(_COPY_BYTES, end - offset), offset))
            write_all(torn, b"\n")
            os.fsync(torn)
        finally:
            os.close(torn)
        temporary.replace(torn_path(log_path))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(log_path.parent)


def read_torn(log_path: Path) -> Iterator[TornPiece]:
    """Yields the pieces that were cut off a log, oldest first; none where there is no torn file."""
    if not torn_path(log_path).exists():
        return
    with torn_path(log_path).open("rb") as file:
        for line in file:
            header = json.loads(line)
            yield TornPiece(header["torn_at_byte"], header["cut_at"], file.read(header["num_bytes"]))
            file.read(1)


def _header(start: int, end: int) -> bytes:
    facts = {"torn_at_byte": start, "num_bytes": end - start, "cut_at": round(time.time(), 3)}
    return json.dumps(facts).encode() + b"\n"


def _copy_earlier(descriptor: int, path: Path) -> None:
    if path.exists():
        with path.open("rb") as earlier:
            while chunk := earlier.read(_COPY_BYTES):
                write_all(descriptor, chunk)
