"""Writing a file so that it is whole or not there, also after a power cut."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from mlgym.events.durable import fsync_folder, write_all


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name in its folder, syncs, and gives it its name; replaces what is there.

    Raises:
        OSError: it cannot be written; what was there before is untouched and no temporary file is left.
    """
    # Begins with a dot, so that it is no name that anybody may ask for.
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)
