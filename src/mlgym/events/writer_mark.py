"""Which machine writes a log. A lock tells whether somebody still does, but only on the machine that holds it."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

MARK: Final = ".writer"
"""File beside a log: names the start of the machine whose process wrote it last."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MAX_BYTES: Final = 64


def mark_writer(log_path: Path) -> None:
    """Notes that a process of this machine, since it was started, writes a log; where that is not possible, nothing."""
    own = _boot_id()
    if own:
        with suppress(OSError):
            (log_path.parent / MARK).write_text(own, encoding="ascii")


def unmark_writer(log_path: Path) -> None:
    """Notes that others may write the log, too: a service does, for a process that may be anywhere."""
    with suppress(OSError):
        (log_path.parent / MARK).unlink(missing_ok=True)


def is_written_from_here(log_path: Path) -> bool:
    """Tells whether the last one who wrote a log was a process of this machine, since the machine was started."""
    own = _boot_id()
    try:
        with (log_path.parent / MARK).open("rb") as file:
            return bool(own) and file.read(_MAX_BYTES) == own.encode()
    except OSError:
        return False


@cache
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
