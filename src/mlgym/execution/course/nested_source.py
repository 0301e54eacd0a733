"""Which experiment of a nested cross validation comes next: those that compete, and the winner's fit once it is known.

Nothing waits for anything but what it depends on: while one outer fold is decided, the next one is under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator

from mlgym.validation.modes import NestedPlan


class NestedSource:
    """A source for the scheduler that gives an outer fold's fit when all its competitors have ended.

    A fit goes before further competitors, so that results come as early as they can.
    """

    def __init__(self, plan: NestedPlan, settled: Container[int], decide: Callable[[int], bool]) -> None:
        """Sets what is left to do.

        Args:
            plan: the experiments.
            settled: those that need not run.
            decide: chooses the winner of an outer fold whose competitors have ended; says whether there is one.
        """
        self._plan = plan
        self._settled = settled
        self._decide = decide
        self._ready: deque[int] = deque()
        self._num_open = [
            sum(number not in settled for number in plan.competitors(fold)) for fold in range(plan.num_outer_folds)
        ]
        self._competitors = self._in_order()
        self._undecided = [fold for fold, num_open in enumerate(self._num_open) if not num_open]

    def __call__(self) -> int | None:
        """Gives the next experiment; None where all that are left wait for others."""
        while self._undecided:
            self._close(self._undecided.pop(0))
        if self._ready:
            return self._ready.popleft()
        return next(self._competitors, None)

    def ended(self, experiment_id: int) -> None:
        """Takes note that an experiment has succeeded or failed."""
        fold = self._plan.outer_fold_of(experiment_id)
        if experiment_id in self._plan.competitors(fold):
            self._num_open[fold] -= 1
            if not self._num_open[fold]:
                self._close(fold)

    def _in_order(self) -> Iterator[int]:
        for fold in range(self._plan.num_outer_folds):
            yield from (number for number in self.order(fold) if number not in self._settled)

    def order(self, outer_fold: int) -> Iterator[int]:
        """Gives the competitors of an outer fold in the order in which they start; results do not depend on it."""
        return iter(self._plan.competitors(outer_fold))

    def _close(self, fold: int) -> None:
        fits = [number for number in self._plan.fits(fold) if number not in self._settled]
        if fits and (self._plan.winner(fold) is not None or self._decide(fold)):
            self._ready += fits
