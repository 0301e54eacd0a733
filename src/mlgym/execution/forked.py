"""What a forked child must do before it is a process of its own."""

from __future__ import annotations

import atexit
import multiprocessing.util
import os


def forget_parent() -> None:
    """Drops what the parent wanted done at its exit, as `multiprocessing` does in its children."""
    atexit._clear()
    multiprocessing.util._finalizer_registry.clear()  # type: ignore[attr-defined]
    multiprocessing.util._run_after_forkers()  # type: ignore[attr-defined]
    atexit.register(multiprocessing.util._exit_function)  # type: ignore[attr-defined]


def take_over_streams(stdout: int, stderr: int) -> None:
    """Makes two descriptors the standard streams of this process, and closes them under their own numbers."""
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
