"""Steps at which the processes of a group ask each other whether something is to be done between two steps.

A stop request reaches one process before another, and clocks differ; but what is done between steps must be done by all
of them after the same step, since each waits for the others in what follows. Asking costs a message to all, so they ask
at steps that they agreed on before: about every half second.
"""

from __future__ import annotations

import time
from typing import Final

from mlgym.training.exchange import largest
from mlgym.training.world import World

_ASK_EVERY_S: Final = 0.5
_MAX_STEPS: Final = 10_000


class Agreement:
    """What one process and the others do together.

    Args:
        world: the processes; their group exists where there are several.

    Attributes:
        next_step: the step after which they ask next.
    """

    def __init__(self, world: World) -> None:
        self._together = world.size > 1
        self._asked_s = time.monotonic()
        self._interval = 1
        self._asked_step = 0
        self.next_step = 1

    @property
    def is_alone(self) -> bool:
        """Whether nobody must be asked."""
        return not self._together

    def on(self, *wishes: bool) -> list[bool]:
        """Gives for each wish whether any process has it; all ask at the same place."""
        return [number > 0 for number in largest(*map(int, wishes))] if self._together else list(wishes)

    def begin(self, step: int) -> None:
        """Lets the processes ask after the first step from `step` on."""
        self._asked_s, self._asked_step, self._interval = time.monotonic(), step, 1
        self.next_step = step + 1

    def at(self, step: int, *wishes: bool) -> list[bool]:
        """Gives for each wish whether any process has it, and sets the next step; all call it after the same step.

        Args:
            step: optimizer updates so far.
            wishes: what this process wants.
        """
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
