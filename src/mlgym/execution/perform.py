"""One job in the process that is there for it, from RUNNING to DONE; shared by all that run jobs."""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import msgspec

from mlgym.errors import Interrupted, RankFailedError
from mlgym.events import EventSink, JobStatus, Log
from mlgym.execution.job import Job, time_limit_error
from mlgym.execution.linux import oom_kills
from mlgym.execution.out_of_memory import KERNEL_KILLED, lost_reader
from mlgym.execution.stop_request import Killed, StopRequest
from mlgym.texts import printable

Entry: TypeAlias = Callable[[Job, EventSink, StopRequest], None]


def perform(
    job: Job,
    sink: EventSink,
    stop: StopRequest,
    listening: AbstractContextManager[None],
    entry: Entry | None = None,
) -> bool:
    """Runs a job and tells how it went: RUNNING, the job's own events, DONE.

    Args:
        job: what to do.
        sink: takes the events.
        stop: asks for an end at a step boundary.
        listening: takes what is printed and logged while the job runs, so that none of it comes after its end.
        entry: does the work; None for what the job names.

    Returns:
        Whether it succeeded.
    """
    started, kills_before = time.time(), oom_kills()
    running = JobStatus(
        job_id=job.job_id,
        status="RUNNING",
        grid_search_id=job.run_id,
        experiment_id=job.experiment_id,
        starting_time=started,
        device=job.device_label,
        attempt=job.attempt,
    )
    sink.emit(running)
    error, interrupted = None, False
    facts: dict[str, Any] = {}
    try:
        with listening:
            (entry or load_entry(job.entry))(job, sink, stop)
    except Interrupted:
        interrupted = not stop.out_of_time
        error = "interrupted" if interrupted else time_limit_error(job.time_limit_s or 0.0)
    except Killed:
        raise
    except RankFailedError as failure:
        error = str(failure)
        facts = {
            "stacktrace": failure.stacktrace,
            "exit_signal": failure.exit_signal,
            "log_tail": failure.log_tail,
        }
    except BaseException as failure:
        error, facts = describe_error(failure), {"stacktrace": describe_traceback(failure)}
        if lost_reader(error) and oom_kills() > kills_before:
            error += f"; {KERNEL_KILLED}: run fewer processes, or fewer `num_workers`"
        if stop.requested and not stop.out_of_time:
            # Batch systems signal all processes at once: an experiment that loses a loader's worker fails before it has
            # come to its next step.
            sink.emit(_afterwards(job, error))
            error, interrupted = "interrupted", True
    done = msgspec.structs.replace(
        running,
        status="DONE",
        finishing_time=time.time(),
        error=error,
        interrupted=interrupted,
        **facts,
    )
    sink.emit(done)
    return error is None


def _afterwards(job: Job, error: str) -> Log:
    return Log(
        grid_search_id=job.run_id,
        experiment_id=job.experiment_id,
        level="warning",
        logger="mlgym.execution",
        message=f"failed after it was asked to end, and goes on from its newest checkpoint: {error}",
    )


def load_entry(entry: str) -> Entry:
    """Gives the function that `module:function` names."""
    module, _, function = entry.partition(":")
    loaded: Entry = getattr(importlib.import_module(module), function)
    return loaded


def describe_error(error: BaseException) -> str:
    """Gives `ExceptionType: message`, safe to be written as UTF-8."""
    text = str(error)
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def describe_traceback(error: BaseException) -> str:
    """Gives the traceback as Python prints it, notes and causes included."""
    return printable("".join(traceback.format_exception(error)))
