"""Signals that ask a driver to end its run."""

from __future__ import annotations

import os
import signal

import pytest

from mlgym.execution.stop_signals import stop_signals

INT, TERM, USR1 = signal.SIGINT, signal.SIGTERM, signal.SIGUSR1


@pytest.mark.parametrize(
    ("sent", "num_interrupts"),
    [
        ([INT], 1),
        ([USR1], 1),
        ([INT, INT], 2),
        ([INT, TERM], 2),
        ([USR1, USR1], 1),
        ([USR1, TERM], 1),
        ([USR1, TERM, TERM], 2),
        ([TERM, USR1], 1),
    ],
)
def test_which_signals_insist(sent: list[int], num_interrupts: int) -> None:
    """A second signal kills, but neither SIGUSR1 nor the SIGTERM that batch systems send after it."""
    interrupts: list[None] = []
    with stop_signals(lambda: interrupts.append(None)):
        for signum in sent:
            os.kill(os.getpid(), signum)
    assert len(interrupts) == num_interrupts
