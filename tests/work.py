"""Work counted in calls of functions, which no load of the machine changes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


def num_calls(function: Callable[[], T]) -> tuple[T, int]:
    """Gives what a function returns and how many calls, of Python's and of C's functions, it took in this thread."""
    count = 0

    def note(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before, is_collecting = sys.getprofile(), gc.isenabled()
    gc.disable()  # what it calls for the garbage of other tests is none of this function's work
    sys.setprofile(note)
    try:
        return function(), count
    finally:
        sys.setprofile(before)
        if is_collecting:
            gc.enable()
