"""One experiment in a process of its own: from the job's bytes to its last event.

`main` is what the fork server calls in a fresh child and `start` what a fresh interpreter calls; `perform` is shared
with the executor that runs jobs in the driver's process. PyTorch is imported only by the default entry, `run_job`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeAlias

import msgspec

from mlgym.errors import Interrupted, RankFailedError, RunError
from mlgym.events import EventSink, JobStatus
from mlgym.execution.job import BATCH_SIGNAL, STOP_SIGNAL, TIME_LIMIT_SIGNAL, Job, decode_job, time_limit_error
from mlgym.execution.linux import adopt_orphans, die_with_parent
from mlgym.execution.pipe_sink import PipeSink
from mlgym.execution.tap import tapped_output
from mlgym.execution.worker_logging import captured_logging


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


Entry: TypeAlias = Callable[[Job, EventSink, StopRequest], None]


def run_job(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Builds the experiment of a job and runs it to its end.

    Raises:
        Interrupted: a stop was requested; what must be kept is on disk.
        Exception: whatever fails in building or running it.
    """
    from mlgym.config import import_user_modules
    from mlgym.execution.main_module import import_main_script
    from mlgym.training import ExperimentContext, StopFlag, World, prepare_process, run_experiment

    flag = StopFlag()

    def raise_flag() -> None:
        flag.requested = True

    stop.on_request(raise_flag)
    prepare_process(threads=job.threads, deterministic=job.deterministic)
    if job.main_script:
        import_main_script(Path(job.main_script))
    if job.imports:
        import_user_modules(job.imports, Path(job.folder) if job.folder else None)
    world = World.from_environment() if job.world_size > 1 else World.single()
    if world.size != job.world_size:
        raise RunError(f"this experiment needs {job.world_size} processes, but was started in {world.size}")
    context = ExperimentContext(
        run_id=job.run_id,
        experiment_id=job.experiment_id,
        run_dir=Path(job.run_dir),
        seed=job.seed,
        device=job.device,
        sink=sink,
        job_id=job.job_id,
        attempt=job.attempt,
        lineage=job.lineage,
        allow_data_change=job.allow_data_change,
        known_checkpoints=tuple(job.known_checkpoints),
        checkpoint_place=job.checkpoint_place,
        keep_local_checkpoints=job.local_checkpoints,
        is_scratch=job.is_scratch,
        fold=job.fold,
        until_epoch=job.until_epoch,
        stop=flag,
        world=world,
    )
    run_experiment(job.config, context)


def warm_up(config: dict[str, Any]) -> None:
    """Works out what building a config takes: signatures and validators of its components, which are kept.

    Called once in the fork server instead of in every child. It builds nothing, and computes nothing with PyTorch.

    Args:
        config: a resolved, sweep-free config.

    Raises:
        RegistryError: it names a component that is not registered.
    """
    from mlgym.config import REGISTRY
    from mlgym.config.adapters import adapter
    from mlgym.config.signature import signature_of
    from mlgym.config.tree import tree_of
    from mlgym.execution.main_module import used_names

    tree_of(config)  # answers of abstract base classes, which look through all their subclasses, are kept too
    adapter(Any)
    for name in used_names(config):
        for parameter in signature_of(REGISTRY.find(name)).params.values():
            adapter(parameter.annotation)


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
    started = time.time()

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


def describe_error(error: BaseException) -> str:
    """Gives `ExceptionType: message`, safe to be written as UTF-8."""
    text = str(error)
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def describe_traceback(error: BaseException) -> str:
    """Gives the traceback as Python prints it, notes and causes included."""
    return printable("".join(traceback.format_exception(error)))


def printable(text: str) -> str:
    """Gives `text` without lone surrogates, which file names may hold and JSON may not."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def load_entry(entry: str) -> Entry:
    """Gives the function that `module:function` names."""
    module, _, function = entry.partition(":")
    loaded: Entry = getattr(importlib.import_module(module), function)
    return loaded


def main(job_fd: int, events_fd: int) -> int:
    """Runs the job behind a descriptor in this process, which belongs to it alone.

    Args:
        job_fd: a file with the job as JSON.
        events_fd: pipe that takes the events, one JSON object a line.

    Returns:
        Exit status: 0 where it succeeded, else 1.
    """
    with os.fdopen(job_fd, "rb") as file:
        job = decode_job(file.read())
    for stream in (sys.stdout, sys.stderr):
        # A line is told when it is printed, and printing never fails.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable(file=sys.stderr, all_threads=True)  # by descriptor: it works when nothing else does
    stop = StopRequest()
    install_signal_handlers(stop)
    sink = PipeSink(events_fd)
    if job.world_size > 1:
        from mlgym.execution.group.local import run_group

        # The ranks listen to what they print themselves, and this process prints nothing.
        return 0 if perform(job, sink, stop, nullcontext(), lambda job, _, stop: run_group(job, events_fd, stop)) else 1
    return 0 if perform(job, sink, stop, _listening(job, sink)) else 1


@contextmanager
def _listening(job: Job, sink: PipeSink) -> Iterator[None]:
    # Lines go the way of the events, which keeps the order of all that is said.
    with tapped_output(sink.tell_lines, passes_on=False), captured_logging(sink, job.run_id, job.experiment_id):
        yield


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


def exit_now(code: int) -> NoReturn:
    """Ends the process without the interpreter's shutdown, but with everything printed, by C libraries too."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    with suppress(Exception):
        ctypes.CDLL(None).fflush(None)
    os._exit(code)


def start() -> None:
    """Runs a job in a fresh interpreter; arguments: descriptors of job and event pipe, id of the fork server."""
    job_fd, events_fd, server_pid = (int(argument) for argument in sys.argv[1:4])
    die_with_parent(server_pid)
    adopt_orphans()
    for descriptor in (job_fd, events_fd):
        os.set_inheritable(descriptor, False)
    sys.exit(main(job_fd, events_fd))
