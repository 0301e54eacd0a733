"""Signals that ask a driver to end its run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals(interrupt: Callable[[], None]) -> Iterator[None]:
    """Has SIGINT, SIGTERM, SIGHUP and SIGUSR1 call `interrupt`; puts the former handlers back afterwards.

    The first one calls it, and then the second of those other than SIGUSR1: batch systems send SIGUSR1 some time before
    they send SIGTERM, and what stops at its next step must not be killed for it.

    Installed even where SIGINT was ignored on entry, as a shell does for what it starts in the background: asking a run
    to stop must work there too. An ignored SIGHUP, as under `nohup`, stays ignored. Outside the main thread nothing can
    be installed, and signals do what they did.

    Args:
        interrupt: ends the run: the first call at the next step boundaries, the second at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def handle(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        insists = signum != signal.SIGUSR1 and sum(each != signal.SIGUSR1 for each in came) > 1
        if len(came) == 1 or insists:
            interrupt()

    wanted = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        wanted.append(signal.SIGHUP)
    before = {signum: signal.signal(signum, handle) for signum in wanted}
    try:
        yield
    finally:
        for signum, handler in before.items():
            # None: installed by C code; Python cannot put it back.
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
