"""Programs that tests start."""

from __future__ import annotations

import os
import sys


def environment() -> dict[str, str]:
    """Gives the environment of a program that finds what this process can import: the tests' modules among it."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
