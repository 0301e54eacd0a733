"""What a forked child must do before it is a process of its own, and how it ends."""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing.util
import os
import sys
from contextlib import suppress
from typing import NoReturn


def forget_parent() -> None:
    """Drops what the parent wanted done at its exit, as `multiprocessing` does in its children."""
    atexit._clear()
    multiprocessing.util._finalizer_registry.clear()  # type: ignore[attr-defined]  # private
    multiprocessing.util._run_after_forkers()  # type: ignore[attr-defined]  # private
    atexit.register(multiprocessing.util._exit_function)  # type: ignore[attr-defined]  # private


def take_over_streams(stdout: int, stderr: int) -> None:
    """Makes two descriptors the standard streams of this process, and closes them under their own numbers."""
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)


def exit_now(code: int) -> NoReturn:
    """Ends the process without the interpreter's shutdown, but with everything printed, by C libraries too."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    with suppress(Exception):
        ctypes.CDLL(None).fflush(None)
    os._exit(code)
