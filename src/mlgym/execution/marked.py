"""Processes that were started with a mark in their environment, wherever in the tree they are by now, and their end.

Forked children have what their parent was started with. As a program, it waits for the end of whoever started it: Ray
lets some processes of a driver's own cluster live on for minutes when the driver is killed, and its folder for ever. It
imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

_SWEEP_S = 0.02
_PATIENCE_S = 10.0


def members(mark: bytes) -> list[int]:
    """Gives the processes of this user that were started with an environment variable, such as `NAME=value`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def end_all(mark: bytes, *, patience_s: float = _PATIENCE_S) -> None:
    """Kills those processes, and what they start meanwhile.

    Returns when none is left, or after some time, in s: what is stuck in the kernel ends when that lets go of it.
    """
    give_up_at = time.monotonic() + patience_s
    while (left := members(mark)) and time.monotonic() < give_up_at:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_SWEEP_S)


def main() -> None:
    """Waits for the end of its standard input; arguments: the variable, and a folder to remove."""
    mark, folder = sys.argv[1:3]
    sys.stdin.buffer.read()
    end_all(mark.encode())
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
