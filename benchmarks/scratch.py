"""A folder for what a benchmark writes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch() -> Iterator[Path]:
    """Gives a folder on the disk that this file is on, and not in memory as `/tmp` may be; it is removed afterwards."""
    folder = tempfile.TemporaryDirectory(prefix=".scratch-", dir=Path(__file__).parent, ignore_cleanup_errors=True)
    with folder as name:
        yield Path(name)
