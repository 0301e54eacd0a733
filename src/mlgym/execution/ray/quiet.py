"""Ray prints a lot; here it goes to who asked for the cluster, and not over the progress on a terminal."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from mlgym.execution.ray.frames import Level

_COLORS: Final = re.compile(r"\x1b\[[0-9;]*m")
_MAX_CHARS: Final = 2000
Told = tuple[Level, str]


class Quiet(logging.Handler):
    """Takes what Ray says in this process while it is connected.

    Attributes:
        told: level and message of each, oldest first; the newest few hundred of those that nobody took.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: deque[Told] = deque(maxlen=500)
        self._logger = logging.getLogger("ray")
        self._before = (self._logger.handlers[:], self._logger.propagate)
        self._restore_printing: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Takes over from the handlers that Ray has set for itself."""
        self._logger.handlers[:] = [self]
        self._logger.propagate = False
        self._restore_printing = self._take_printing()

    def end(self) -> None:
        """Gives back to whom it was."""
        self._logger.handlers[:], self._logger.propagate = self._before
        self._restore_printing()

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record."""
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        self._keep(level, record.getMessage())

    def _take_printing(self) -> Callable[[], None]:
        # What the cluster tells of itself, such as a lost node, Ray prints on the driver's stdout whatever it was told
        # about logging (`listen_error_messages` in `ray._private.worker`).
        from ray._private import worker

        printing = getattr(worker, "print_to_stdstream", None)
        if printing is None:
            return lambda: None

        def keep(data: dict[str, Any], *_: Any, **__: Any) -> None:
            self._keep("warning", "\n".join(map(str, data.get("lines", ()))))

        worker.print_to_stdstream = keep

        def restore() -> None:
            worker.print_to_stdstream = printing

        return restore

    def _keep(self, level: Level, text: str) -> None:
        plain = _COLORS.sub("", text).strip()
        if plain:
            self.told.append((level, f"Ray: {plain[:_MAX_CHARS]}"))
