"""Which slot the next experiment gets: free ones, unless a device is kept for one alone or has no memory left."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from mlgym.execution.devices import Slot


class Admission(Protocol):
    """Says whether a device has room for a further experiment."""

    def admits(self, device: str, num_running: int) -> bool:
        """Tells whether one more may start.

        Args:
            device: where.
            num_running: how many run there.
        """

    def started(self, device: str) -> None:
        """Takes note that one starts."""


class Slots:
    """The slots of a run, by their numbers."""

    def __init__(self, slots: Sequence[Slot], admission: Admission | None = None) -> None:
        """Makes slots that are all free.

        Args:
            slots: the devices of each.
            admission: is asked before an experiment starts; None where free slots are room enough.
        """
        self._slots = slots
        self._admission = admission
        self._free = list(range(len(slots)))
        self._running: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()

    def devices(self, number: int) -> Slot:
        """Gives the devices of a slot."""
        return self._slots[number]

    def first_free(self) -> int | None:
        """Gives the first slot that an experiment may start on now; None where it has to wait."""
        passed_over: list[int] = []
        closed: set[Slot] = set()  # many slots are of the same devices, and asking how these are takes time
        found = None
        while self._free and found is None:
            devices = self._slots[self._free[0]]
            if devices not in closed and self._is_open(devices):
                found = self._free[0]
            else:
                closed.add(devices)
                passed_over.append(heapq.heappop(self._free))
        for number in passed_over:
            heapq.heappush(self._free, number)
        return found

    def take(self, number: int) -> None:
        """Gives a free slot to an experiment."""
        if self._free[0] == number:
            heapq.heappop(self._free)
        else:
            self._free.remove(number)
            heapq.heapify(self._free)
        for device in set(self._slots[number]):
            self._running[device] += 1
            if self._admission is not None:
                self._admission.started(device)

    def give_back(self, number: int) -> None:
        """Makes a slot free, whose experiment has ended."""
        heapq.heappush(self._free, number)
        self._running.subtract(set(self._slots[number]))

    def keep(self, number: int) -> None:
        """Keeps the devices of a slot for one experiment alone: no other one starts there until `release`."""
        self._kept.update(set(self._slots[number]))

    def release(self, number: int) -> None:
        """Takes a `keep` back."""
        self._kept.subtract(set(self._slots[number]))

    def is_idle(self, number: int) -> bool:
        """Tells whether nothing runs on the devices of a slot."""
        return not any(self._running[device] for device in self._slots[number])

    def _is_open(self, devices: Slot) -> bool:
        if any(self._kept[device] for device in devices):
            return False
        admission = self._admission
        return admission is None or all(admission.admits(each, self._running[each]) for each in set(devices))
