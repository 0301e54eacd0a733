"""Python logging and warnings of an experiment become `log` events."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mlgym.events import EventSink, Log
from mlgym.execution.output.lines import MAX_LINE_CHARS, FloodLimit
from mlgym.texts import printable


class EventLogHandler(logging.Handler):
    """Emits each record as a `log` event, unless they come in a flood."""

    def __init__(self, sink: EventSink, run_id: str, experiment_id: int | None) -> None:
        super().__init__()
        self._sink = sink
        self._run_id = run_id
        self._experiment_id = experiment_id
        self._owner = os.getpid()
        self._limit = FloodLimit()

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one record; never raises."""
        try:
            text = self.format(record)
            if os.getpid() != self._owner:
                # A forked child, such as a loader's worker, has no events of its own; its stderr is read as well.
                sys.stderr.write(f"{record.levelname} {record.name}: {text}\n")
                return
            if not self._limit.admit(1):
                return
            self.tell_dropped()
            self._tell(record.levelname.lower(), record.name, text)
        except Exception:
            self.handleError(record)

    def tell_dropped(self) -> None:
        """Says how many records were left out, where there were any."""
        if notice := self._limit.take_notice():
            self._tell("warning", "mlgym.execution", notice)

    def _tell(self, level: str, logger: str, text: str) -> None:
        if len(text) > MAX_LINE_CHARS:
            text = f"{text[:MAX_LINE_CHARS]} ... ({len(text) - MAX_LINE_CHARS:,} more characters)"
        message = printable(text)
        self._sink.emit(
            Log(
                grid_search_id=self._run_id,
                experiment_id=self._experiment_id,
                level=level,
                logger=logger,
                message=message,
            )
        )


def admit_info() -> None:
    """Lets the root logger pass on level INFO and above."""
    root = logging.getLogger()
    level = min(root.level or logging.INFO, logging.INFO)
    # Setting it makes every logger forget what it is enabled for, which in a forked child copies hundreds of pages.
    if level != root.level:
        root.setLevel(level)


@contextmanager
def captured_logging(
    sink: EventSink, run_id: str, experiment_id: int | None, *, keep_terminal: bool = False
) -> Iterator[None]:
    """Sends logging at level INFO and above, and warnings, to `sink` while its body runs.

    Args:
        sink: takes them as `log` events.
        run_id: the run they belong to.
        experiment_id: the experiment they belong to.
        keep_terminal: whether handlers that write to the terminal stay. In a worker, whose terminal is read too, they
            would tell everything twice.
    """
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    handler = EventLogHandler(sink, run_id, experiment_id)
    root.handlers[:] = [*(each for each in before if keep_terminal or not _writes_to_terminal(each)), handler]
    admit_info()
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = before
        if root.level != level:
            root.setLevel(level)
        handler.tell_dropped()


def _writes_to_terminal(handler: logging.Handler) -> bool:
    if type(handler) is not logging.StreamHandler:
        return False
    if handler.stream in (sys.stdout, sys.stderr):
        return True
    try:
        return handler.stream.fileno() in (1, 2)
    except (AttributeError, OSError, ValueError):
        return False
