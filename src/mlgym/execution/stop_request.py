"""What was asked of a job from outside, by a signal or by the driver in whose process it runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from mlgym.execution.job import BATCH_SIGNAL, STOP_SIGNAL, TIME_LIMIT_SIGNAL


class Killed(KeyboardInterrupt):
    """Raised in a job that runs in the driver's process and must end where it is; nobody tells an end for it."""


class StopRequest:
    """What was asked of a job from outside; set by a signal handler, read at every step boundary."""

    def __init__(self) -> None:
        self.requested = False
        self.out_of_time = False
        self._listeners: list[Callable[[], None]] = []

    def request(self, *, out_of_time: bool) -> None:
        """Asks for an end at the next step boundary; of several reasons the first one counts."""
        if not self.requested:
            self.requested, self.out_of_time = True, out_of_time
        for listener in self._listeners:
            listener()

    def on_request(self, listener: Callable[[], None]) -> None:
        """Has `listener` called at the request, or now where it was made already."""
        self._listeners.append(listener)
        if self.requested:
            listener()


def install_signal_handlers(stop: StopRequest) -> None:
    """Has the signals that ask for an end make the request; a forked child ends by them as by default."""
    owner = os.getpid()

    def handle(signum: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            stop.request(out_of_time=signum == TIME_LIMIT_SIGNAL)
        else:
            # A forked child, such as a loader's worker, inherited this handler: the signal means for it what it does by
            # default.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)

    for signum in (STOP_SIGNAL, BATCH_SIGNAL, TIME_LIMIT_SIGNAL):
        signal.signal(signum, handle)
