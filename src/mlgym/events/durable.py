"""The two calls that every durable write needs, on bare descriptors."""

from __future__ import annotations

import os
from pathlib import Path


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Writes all of `data`, however little the kernel takes at a time.

    Raises:
        OSError: some of it, or nothing, was written.
    """
    written = os.write(descriptor, data)
    if written != len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def fsync_folder(folder: Path) -> None:
    """Makes the names in a folder durable: files created, renamed or removed there.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
