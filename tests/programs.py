"""Programs that tests start."""

from __future__ import annotations

import os
import sys

import psutil


def environment() -> dict[str, str]:
    """Gives the environment of a program that finds what this process can import: the tests' modules among it."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def is_alive(process: psutil.Process) -> bool:
    """Tells whether a process still does anything; one that nobody has waited for yet does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
