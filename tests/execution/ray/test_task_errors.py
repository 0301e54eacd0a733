"""What Ray says of a task becomes what a run can do something about."""

from __future__ import annotations

from typing import Any

import pytest

from mlgym.execution.job import Exit
from mlgym.execution.out_of_memory import is_out_of_memory
from mlgym.execution.ray.frames import FrameReader, Hello
from mlgym.execution.ray.task_errors import exit_of, is_not_started

exceptions: Any = pytest.importorskip("ray", reason="Ray is not installed: pip install 'mlgym[ray]'").exceptions


def reader(*, is_anywhere: bool = True) -> FrameReader:
    made = FrameReader("job")
    made.hello = Hello(node="10.0.0.3", facts={}) if is_anywhere else None
    return made


def test_what_was_lost_is_told_from_what_failed() -> None:
    """A lost node is tried again elsewhere, what lacked memory as such, and a broken task not at all."""
    node = exit_of(exceptions.NodeDiedError("gone"), reader(), killed=False)
    worker = exit_of(exceptions.WorkerCrashedError(), reader(), killed=False)
    memory = exit_of(exceptions.OutOfMemoryError("killed"), reader(), killed=False)
    assert is_out_of_memory(memory.describe())
    broken = exit_of(RuntimeError("first\nthe last line"), reader(), killed=False)
    assert node == Exit(reason="was lost with its node: 10.0.0.3", lost=True)
    assert worker.lost
    assert "running out of memory" in str(memory.reason)
    assert not memory.lost
    assert broken == Exit(reason="failed on node 10.0.0.3: the last line")
    assert not any(map(is_not_started, (node, worker, memory, broken)))


def test_a_job_that_was_to_end_was_not_lost() -> None:
    """What this driver ended is told as at home."""
    assert exit_of(exceptions.WorkerCrashedError(), reader(), killed=True).signal_name == "SIGKILL"
    cancelled = exit_of(exceptions.TaskCancelledError(), reader(is_anywhere=False), killed=False)
    assert cancelled == Exit(reason="was stopped before it started")


def test_what_never_began_says_what_may_be_missing() -> None:
    """A node without MLgym, or without the user's code, is no failure of the experiment."""
    missing = exit_of(RuntimeError("ModuleNotFoundError: No module named 'mlgym'"), reader(is_anywhere=False), False)
    no_code = exit_of(exceptions.RuntimeEnvSetupError("no download"), reader(is_anywhere=False), False)
    assert is_not_started(missing)
    assert "is this version of MLgym installed there? ModuleNotFoundError" in str(missing.reason)
    assert is_not_started(no_code)
    assert "no download" in str(no_code.reason)
