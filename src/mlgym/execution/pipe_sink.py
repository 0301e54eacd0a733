"""The channel from a worker to the driver: what is written to the pipe survives its writer.

A line is an event, a JSON object, or a printed line behind the letter of its stream.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Final

from mlgym.events import Event, EventSink, Payload, Producer, encode
from mlgym.execution.executor import Stream

STREAM_MARKS: Final[dict[Stream, bytes]] = {"stdout": b"o", "stderr": b"e"}
_STREAM_OF: Final = {mark: stream for stream, mark in STREAM_MARKS.items()}


def split_lines(lines: Iterable[bytes]) -> Iterator[tuple[Stream | None, list[bytes]]]:
    """Gives the lines of the pipe in groups of one kind each, in their order; empty ones are left out.

    Args:
        lines: whole lines, without their ends.

    Returns:
        Pairs of the stream, or None for events, and the lines without marks.
    """
    for mark, group in itertools.groupby(filter(None, lines), key=lambda line: line[:1]):
        stream = _STREAM_OF.get(mark)
        marked = list(group)
        yield stream, marked if stream is None else [line[1:] for line in marked]


class PipeSink(EventSink):
    """Writes events as lines of JSON to a descriptor.

    One system call an event: what was written is read by the driver even when this process is killed the moment after.
    A full pipe makes the writer wait for the driver, which reads all the time.
    """

    def __init__(self, descriptor: int) -> None:
        """Takes over the write end of a pipe."""
        self._descriptor = descriptor
        self._owner = os.getpid()
        self._producer = Producer()
        # Re-entrant: a signal handler may log while its thread is in here.
        self._lock = threading.RLock()

    def emit(self, payload: Payload) -> None:
        """Takes one event; drops it in a forked child, such as a loader's worker, and when nobody reads any more.

        Raises:
            EventLogError: the payload cannot be written as one line of JSON.
        """
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._write(self._producer.encode(payload) + b"\n")

    def emit_event(self, event: Event) -> None:
        """Takes an event that has its time, producer and number already; else as `emit`."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._write(encode(event) + b"\n")

    def tell_lines(self, stream: Stream, lines: list[str]) -> None:
        """Takes printed lines."""
        mark = STREAM_MARKS[stream]
        with self._lock:
            self._write(b"".join(mark + line.encode("utf-8", "backslashreplace") + b"\n" for line in lines))

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except BrokenPipeError:
            # The driver is gone, and the fork server ends this process shortly.
            os.write(2, b"nobody reads the events of this experiment any more\n")
