"""What one experiment prints, on its way to the log: bounded in rate, with its last lines kept."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from mlgym.events import Log
from mlgym.execution.executor import Stream
from mlgym.execution.output.lines import FloodLimit

LOGGER: Final = "mlgym.execution"
NUM_TAIL_LINES: Final = 40
LEVELS: Final[dict[Stream, str]] = {"stdout": "info", "stderr": "warning"}


class Printed:
    """Makes `log` events of printed lines; of a flood a part, a line that says what is missing, and the end.

    Attributes:
        tail: the last lines, those left out included.
    """

    def __init__(
        self,
        emit: Callable[[Log], None],
        run_id: str,
        experiment_id: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes one that has seen nothing.

        Args:
            emit: takes the events.
            run_id: the run they belong to.
            experiment_id: the experiment they belong to; None for the run itself.
            clock: gives the time in s.
        """
        self.tail: deque[str] = deque(maxlen=NUM_TAIL_LINES)
        self._emit = emit
        self._run_id = run_id
        self._experiment_id = experiment_id
        self._limit = FloodLimit(clock=clock)
        self._held_back: deque[tuple[Stream, str]] = deque(maxlen=NUM_TAIL_LINES)

    def take(self, stream: Stream, lines: Sequence[str]) -> None:
        """Takes lines, without their ends."""
        self.tail.extend(lines[-NUM_TAIL_LINES:])
        admitted = self._limit.admit(len(lines))
        if admitted:
            self._tell_dropped(after=len(lines) - admitted)
            self._held_back.clear()
        for line in lines[:admitted]:
            self._tell(LEVELS[stream], stream, line)
        self._held_back.extend((stream, line) for line in lines[admitted:][-NUM_TAIL_LINES:])

    def finish(self) -> None:
        """Tells the end of a flood, which is what people look for."""
        self._tell_dropped(after=len(self._held_back))
        for stream, line in self._held_back:
            self._tell(LEVELS[stream], stream, line)
        self._held_back.clear()

    def _tell_dropped(self, *, after: int) -> None:
        """Says how many lines are missing here, but for the last `after` ones, which come after what is told next."""
        self._limit.num_dropped -= after
        if notice := self._limit.take_notice():
            self._tell("warning", LOGGER, notice)
        self._limit.num_dropped += after

    def _tell(self, level: str, logger: str, message: str) -> None:
        self._emit(
            Log(
                grid_search_id=self._run_id,
                experiment_id=self._experiment_id,
                level=level,
                logger=logger,
                message=message,
            )
        )
