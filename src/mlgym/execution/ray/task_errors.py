"""What Ray's errors mean for the job whose task met them."""

from __future__ import annotations

import signal

from mlgym.execution.job import Exit
from mlgym.execution.ray.frames import FrameReader


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
        return Exit(reason=f"was ended by Ray, because node {node} was running out of memory: run fewer at a time")
    if isinstance(error, exceptions.NodeDiedError):
        return Exit(reason=f"was lost with its node: {node}", lost=True)
    if isinstance(error, (exceptions.WorkerCrashedError, exceptions.ObjectLostError)):
        return Exit(reason=f"was lost: Ray's process for it on node {node} died", lost=True)
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        return Exit(reason=f"was not started: the user's code did not get to node {node}: {error}")
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, ModuleNotFoundError) or "No module named" in str(error):
        last = str(error).strip().splitlines()[-1]
        return Exit(reason=f"was not started: MLgym cannot be imported on node {node}: {last}")
    return Exit(reason=f"failed on node {node}: {str(error).strip().splitlines()[-1] if str(error) else error!r}")
