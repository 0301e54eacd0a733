"""As many experiments on a GPU as its memory has room for: learned from those that run there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mlgym.execution.slots import Admission

_SETTLE_S: Final = 30.0
"""From the start of an experiment until what it uses counts: by then it has loaded its data and made some steps."""
_RESERVE: Final = 0.1
"""Of what an experiment is expected to use: allocators round up, and the largest seen need not be the largest."""


@dataclass(frozen=True, kw_only=True)
class DeviceMemory:
    """The memory of a device at one moment.

    Args:
        used_bytes: in use, by whomever.
        total_bytes: what it has.
    """

    used_bytes: int
    total_bytes: int


@dataclass(slots=True)
class Seen:
    """What was seen of the experiments on one device.

    Args:
        others_bytes: in use when none of them ran.
        before_bytes: in use when the newest one started.
        newest_at: when that was, on the clock of whoever asks; None for never.
        largest_bytes: the most that one of them is thought to use; 0 where nothing is known.
    """

    others_bytes: int = 0
    before_bytes: int = 0
    newest_at: float | None = None
    largest_bytes: int = 0

    def look(self, memory: DeviceMemory, num_running: int) -> None:
        """Takes what is in use now: all growth since the newest one started counts as its own, to be on the safe side.

        Args:
            memory: of the device.
            num_running: how many of them run.
        """
        if num_running == 0:
            self.others_bytes = memory.used_bytes
            return
        ours = memory.used_bytes - self.others_bytes
        self.largest_bytes = max(self.largest_bytes, memory.used_bytes - self.before_bytes, -(-ours // num_running))


def has_room(memory: DeviceMemory, seen: Seen, *, num_running: int, settled: bool) -> bool:
    """Tells whether a further experiment fits on a device.

    It does while what the running ones may come to use, and as much again as the largest, fits in what others leave.

    Args:
        memory: of the device, now.
        seen: what was seen of experiments there.
        num_running: how many run there now.
        settled: whether the newest one has run long enough for its use to be known.
    """
    if num_running == 0:
        return True
    if not settled or seen.largest_bytes <= 0:
        return False
    each = seen.largest_bytes * (1 + _RESERVE)
    free = memory.total_bytes - memory.used_bytes
    return each <= free and each * (num_running + 1) <= memory.total_bytes - seen.others_bytes


class MemoryAdmission(Admission):
    """Admits experiments to devices by their memory."""

    def __init__(self, measure: Callable[[str], DeviceMemory], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Makes one that has seen nothing.

        Args:
            measure: gives the memory of a device.
            clock: gives the time in s.
        """
        self._measure = measure
        self._clock = clock
        self._seen: dict[str, Seen] = {}

    def admits(self, device: str, num_running: int) -> bool:
        """Tells whether one more may start; see `Admission`."""
        seen, memory = self._seen.setdefault(device, Seen()), self._measure(device)
        seen.look(memory, num_running)
        settled = seen.newest_at is not None and self._clock() - seen.newest_at >= _SETTLE_S
        return has_room(memory, seen, num_running=num_running, settled=settled)

    def started(self, device: str) -> None:
        """Takes note that one starts; see `Admission`."""
        seen = self._seen.setdefault(device, Seen())
        seen.newest_at, seen.before_bytes = self._clock(), self._measure(device).used_bytes
