"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], timeout_s: float = 120.0) -> None:
    """Waits until the condition holds; fails after `timeout_s`, which only bounds what goes wrong."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {timeout_s:.0f} s"
        time.sleep(0.02)
