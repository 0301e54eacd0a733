"""A process that ends what a driver has started for its own cluster, however the driver ends; imports nothing of ours.

Ray lets some of its processes live on for minutes when a driver is killed, and its folder for ever.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

_SWEEP_S = 0.2
_MOST_SWEEPS = 50


def members(mark: bytes) -> list[int]:
    """Gives the processes of this user that were started with an environment variable, such as `NAME=value`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def end_all(mark: bytes) -> None:
    """Kills those processes, and what they start meanwhile."""
    for _ in range(_MOST_SWEEPS):
        left = members(mark)
        if not left:
            return
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
