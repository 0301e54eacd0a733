"""The worker's end of the channel for events: each one is written to a pipe at once, and survives its writer there."""

from __future__ import annotations

import os
import sys
import threading

from mlgym.events import EventSink, Payload, Producer


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

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except BrokenPipeError:
            # The driver is gone, and the fork server ends this process shortly.
            sys.stderr.write("nobody reads the events of this experiment any more\n")
