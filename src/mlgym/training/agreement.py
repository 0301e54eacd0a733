"""Steps at which the processes of a group ask each other whether something is to be done between two steps.

A stop request reaches one process before another, and clocks differ; but what is done between steps must be done by all
of them after the same step, since each waits for the others in what follows. Asking costs a message to all, so they ask
at steps that they agreed on before: about every half second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from mlgym.training.exchange import largest, told_by_main
from mlgym.training.world import World

_Decision = TypeVar("_Decision")

_ASK_EVERY_S: Final = 0.5
_MAX_STEPS: Final = 10_000


class Agreement:
    """What one process and the others do together.

    Args:
        world: the processes; their group exists where there are several.

    Attributes:
        world: the processes.
        next_step: the step after which they ask next.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._together = world.size > 1
        self._asked_s = time.monotonic()
        self._interval = 1
        self._asked_step = 0
        self.next_step = 1

    @property
    def is_alone(self) -> bool:
        """Whether nobody must be asked."""
        return not self._together

    @property
    def is_main(self) -> bool:
        """Whether this is the process that decides, tells and writes."""
        return self.world.is_main

    def as_main(self, decide: Callable[[], _Decision]) -> _Decision:
        """Gives all processes what rank 0 decides; all call it at the same place.

        Args:
            decide: called there alone; gives numbers, text, None, or lists, tuples and mappings of them.
        """
        if self.is_alone:
            return decide()
        told: _Decision = told_by_main(decide() if self.is_main else None)
        return told

    def on(self, *wishes: bool) -> list[bool]:
        """Gives for each wish whether any process has it; all ask at the same place."""
        return [number > 0 for number in largest(*map(int, wishes))] if self._together else list(wishes)

    def begin(self, step: int) -> None:
        """Lets the processes ask after the first step from `step` on, as at the start of an epoch."""
        self._asked_s, self._asked_step, self._interval = time.monotonic(), step, 1
        self.next_step = step + 1

    def at(self, step: int, *wishes: bool) -> list[bool]:
        """Gives for each wish whether any process has it, and sets the next step; all call it after the same step.

        Args:
            step: optimizer updates so far.
            wishes: what this process wants.
        """
        if self.is_alone:
            return list(wishes)
        now = time.monotonic()
        step_s = (now - self._asked_s) / max(1, step - self._asked_step)
        affordable = int(_ASK_EVERY_S / max(step_s, 1e-9))
        # Growing slowly: the first steps, or those after others that were quick, may take much longer.
        wanted = max(1, min(affordable, 2 * self._interval, _MAX_STEPS))
        # The slowest one counts: largest of the negative numbers.
        *counts, slowest = largest(*map(int, wishes), -wanted)
        self._asked_s, self._asked_step, self._interval = now, step, -slowest
        self.next_step = step + self._interval
        return [count > 0 for count in counts]
