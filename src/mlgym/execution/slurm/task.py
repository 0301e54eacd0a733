"""What a task of a job array runs on its node: one experiment, from its job file to the end of its spool.

Signals: with word from the driver why, an end of the experiment; without, the cluster wants its node back. Then the
experiment saves a checkpoint at the next step boundary and the task goes back into the queue, from where it goes on as
the next attempt.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from mlgym.errors import Interrupted, RunError
from mlgym.events import CheckpointDeleted, CheckpointSaved, EventSink, JobStatus
from mlgym.execution.job import BATCH_SIGNAL, STOP_SIGNAL, TIME_LIMIT_SIGNAL, Job
from mlgym.execution.slurm.folder import JobFolder
from mlgym.execution.slurm.spool import Begin, End, SpoolReader, SpoolSink, record_of
from mlgym.execution.tap import tapped_output
from mlgym.execution.worker import Killed, StopRequest, load_entry, perform
from mlgym.execution.worker_logging import captured_logging

LOCAL_ID: Final = "SUBMITIT_LOCAL_JOB_ID"
_LOCAL_REQUEUE_CODE: Final = 144
"""Has submitit's stand-in for a cluster start a task again."""
_ENTRY: Final = f"{__name__}:run_or_leave"


class Left(Killed):
    """Raised where an experiment has made room: no end is told for it."""


class TaskStop(StopRequest):
    """What was asked of the task, and by whom.

    Attributes:
        entry: what the job runs.
        leaves: the cluster asked first, so that the experiment goes on later.
        requeues: it is up to this task to put itself back into the queue.
    """

    def __init__(self, folder: JobFolder, job: Job) -> None:
        super().__init__()
        self.entry = job.entry
        self.leaves = False
        self.requeues = False
        self._folder = folder
        self._job_id = job.job_id

    def on_signal(self, signum: int) -> None:
        """Takes a signal."""
        reason = self._folder.stop_reason(self._job_id)
        if reason is None and not self.requested:
            self.leaves = True
            # SLURM sends SIGTERM to what it cancels or preempts, and knows itself which of them it starts again.
            self.requeues = signum != STOP_SIGNAL
        self.request(out_of_time=reason == "time_limit")


def run_or_leave(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Runs a job's own entry; where the cluster asked for an end and something is saved, leaves without a word.

    Raises:
        Left: it is to go on later.
        RunError: it has not come a step further since it began, and would not the next time.
    """
    assert isinstance(stop, TaskStop)
    before = _checkpoints(job)
    try:
        load_entry(stop.entry)(job, sink, stop)
    except Interrupted:
        if not stop.leaves:
            raise
        if not _checkpoints(job) - before:
            raise RunError(
                "the time of its SLURM job is too short for a single step and a checkpoint of it: give more, as in "
                "`--slurm time=120` (minutes), or an earlier warning, as in `--slurm signal_delay_s=600`"
            ) from None
        raise Left from None


def _checkpoints(job: Job) -> set[str]:
    folder = Path(job.run_dir) / str(job.experiment_id) / "checkpoints"
    with suppress(OSError):
        return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return set()


def run_task(folder: JobFolder, job_id: str) -> int:
    """Runs the next start of a job in this process, which belongs to it alone.

    Returns:
        Exit status: 0 where it succeeded or has nothing to do any more, 1 where it failed, or what requeues it.
    """
    descriptor, number = folder.open_spool(job_id)
    job = folder.job(job_id)
    if job is None:
        os.close(descriptor)
        folder.spool_path(job_id, number).unlink(missing_ok=True)
        return 0
    job = msgspec.structs.replace(
        job,
        attempt=job.attempt + number,
        known_checkpoints=known_checkpoints(job, folder.spools(job_id)[:number]),
    )
    sink = SpoolSink(descriptor, job.run_id, job.experiment_id, folder.spool_path(job_id, number + 1).exists)
    stop = TaskStop(folder, job)
    _install_signal_handlers(stop)
    sink.tell(Begin(host=socket.gethostname(), pid=os.getpid(), queue_id=queue_id()))
    try:
        code = 0 if perform(msgspec.structs.replace(job, entry=_ENTRY), sink, stop, _listening(job, sink)) else 1
    except Left:
        _tell_waiting(sink, job)
        sink.tell(_end(0, left=True))
        sink.close()
        return _requeue() if stop.requeues else 0
    sink.tell(_end(code, left=False))
    sink.close()
    return code


def known_checkpoints(job: Job, spools: Iterable[Path]) -> list[str]:
    """Gives the checkpoints that the log says stand, once it has what earlier starts of a job told."""
    known = dict.fromkeys(job.known_checkpoints)
    for path in spools:
        reader = SpoolReader(path)
        while lines := reader.read():
            for line in lines:
                if record_of(line) is None:
                    _take_checkpoint(known, line)
    return list(known)


def _take_checkpoint(known: dict[str, None], line: bytes) -> None:
    event: dict[str, Any] = msgspec.json.decode(line)
    path = event["payload"].get("path")
    if event["event_type"] == CheckpointSaved.event_type:
        known[path] = None
    elif event["event_type"] == CheckpointDeleted.event_type:
        known.pop(path, None)


def queue_id() -> str:
    """Gives how the cluster calls the task that this process is."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array else os.environ.get(LOCAL_ID, "")


def _tell_waiting(sink: SpoolSink, job: Job) -> None:
    # It may stay in the queue for hours, and does not run meanwhile.
    sink.emit(
        JobStatus(
            job_id=job.job_id,
            status="INIT",
            grid_search_id=job.run_id,
            experiment_id=job.experiment_id,
            device=job.device,
            attempt=job.attempt + 1,
        )
    )


def _end(code: int, *, left: bool) -> End:
    own, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return End(
        code=code,
        left=left,
        cpu_s=own.ru_utime + own.ru_stime + theirs.ru_utime + theirs.ru_stime,
        max_rss_bytes=own.ru_maxrss * 1024,
    )


def _requeue() -> int:
    if LOCAL_ID in os.environ:
        return _LOCAL_REQUEUE_CODE
    # Where this is refused, SLURM shows an ended task that has left, and the driver submits the experiment again.
    done = subprocess.run(["scontrol", "requeue", queue_id()], check=False)  # noqa: S603, S607 - SLURM is on the path
    return done.returncode


@contextmanager
def _listening(job: Job, sink: SpoolSink) -> Iterator[None]:
    with tapped_output(sink.tell_lines, passes_on=False), captured_logging(sink, job.run_id, job.experiment_id):
        yield
    sink.finish_lines()


def _install_signal_handlers(stop: TaskStop) -> None:
    owner = os.getpid()

    def handle(signum: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            stop.on_signal(signum)
        else:
            # A forked child, such as a loader's worker, inherited this handler: the signal means for it what it does by
            # default.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)

    for signum in (STOP_SIGNAL, BATCH_SIGNAL, TIME_LIMIT_SIGNAL):
        signal.signal(signum, handle)


def start() -> None:
    """Runs a task in a fresh interpreter; arguments: run folder, name of the array, and its number where no array is.

    SLURM gives the number of a task within its array itself.
    """
    run_dir, array, *number = sys.argv[1:]
    if LOCAL_ID in os.environ:
        os.setsid()  # so that everything that it starts can be ended with it, as SLURM does
    for stream in (sys.stdout, sys.stderr):
        # A line is told when it is printed, and printing never fails.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable(file=sys.stderr, all_threads=True)
    folder = JobFolder(Path(run_dir))
    index = int(number[0] if number else os.environ["SLURM_ARRAY_TASK_ID"])
    sys.exit(run_task(folder, folder.array(array).job_ids[index]))
