"""What Ray's errors mean for the job whose task met them."""

from __future__ import annotations

import signal
from typing import Final

from mlgym.execution.job import Exit
from mlgym.execution.out_of_memory import NODE_LACKED_MEMORY
from mlgym.execution.ray.frames import FrameReader

_NOT_STARTED: Final = "was not started: "


def not_started(why: str) -> Exit:
    """Gives the end of a job that its node could not run."""
    return Exit(reason=f"{_NOT_STARTED}{why}")


def is_not_started(ended: Exit) -> bool:
    """Whether a job ended so."""
    return (ended.reason or "").startswith(_NOT_STARTED)


def exit_of(error: Exception, reader: FrameReader, killed: bool) -> Exit:
    """Gives the end of a job whose task did not tell it.

    Args:
        error: what Ray says of the task.
        reader: what the task had told before.
        killed: whether this driver had asked for its end.
    """
    from ray import exceptions

    node = reader.hello.node if reader.hello else "unknown"
    if killed:
        return Exit(signal=signal.SIGKILL)
    if isinstance(error, exceptions.TaskCancelledError):
        return Exit(reason="was stopped before it started")
    if isinstance(error, exceptions.OutOfMemoryError):
        return Exit(reason=f"was ended by Ray, because node {node} {NODE_LACKED_MEMORY}: run fewer at a time")
    if isinstance(error, exceptions.NodeDiedError):
        return Exit(reason=f"was lost with its node: {node}", lost=True)
    if isinstance(error, (exceptions.WorkerCrashedError, exceptions.ObjectLostError)):
        return Exit(reason=f"was lost: Ray's process for it on node {node} died", lost=True)
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        return not_started(f"the user's code did not get to a node: {error}")
    last = (str(error).strip().splitlines() or [repr(error)])[-1]
    if reader.hello is None:
        # The first word is the first thing that it says, so it did not come to be: most likely for want of MLgym.
        return not_started(f"a node could not begin with it; is this version of MLgym installed there? {last}")
    return Exit(reason=f"failed on node {node}: {last}")
