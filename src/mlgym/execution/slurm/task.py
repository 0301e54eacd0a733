"""What a task of a job array runs on its node: one experiment, from its job file to the end of its spool.

The task runs no experiment itself. It keeps a fork server beside it, as a driver does at home, has the job forked from
that and passes on what comes: so an experiment of one process or of several ranks gets fresh ones, and an exit code, a
signal and its last lines exactly as elsewhere.

Signals: with word from the driver why, an end of the experiment; without, the cluster wants its node back. Then the
experiment saves a checkpoint at the next step boundary and the task goes back into the queue, from where it goes on as
the next attempt.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mlgym.errors import RunError
from mlgym.events import CheckpointDeleted, CheckpointSaved, JobStatus, Log, decode
from mlgym.execution.executor import Handler, Stream
from mlgym.execution.job import BATCH_SIGNAL, STOP_SIGNAL, TIME_LIMIT_SIGNAL, Exit, Job
from mlgym.execution.output.printed import LOGGER
from mlgym.execution.processes.executor import ProcessExecutor
from mlgym.execution.slurm.folder import JobFolder
from mlgym.execution.slurm.setup import TaskSetup
from mlgym.execution.slurm.spool import Begin, End, SpoolReader, SpoolSink, record_of

LOCAL_ID: Final = "SUBMITIT_LOCAL_JOB_ID"
_LOCAL_REQUEUE_CODE: Final = 144
"""Has submitit's stand-in for a cluster start a task again."""
_SIGNALS: Final = (STOP_SIGNAL, BATCH_SIGNAL, TIME_LIMIT_SIGNAL)
_STATUS_START: Final = b'{"event_type":"job_status"'
_SAVED_START: Final = b'{"event_type":"checkpoint_saved"'
_DATA_START: Final = b'{"event_type":"data_fingerprint"'
_RESUMED_START: Final = b'{"event_type":"experiment_resumed"'
_CODE_START: Final = b'{"event_type":"code_changed"'
_POLL_S: Final = 0.1
_NO_STEP: Final = (
    "the time of its SLURM job is too short for a single step and a checkpoint of it: give more, as in "
    "`--slurm time=120` (minutes), or an earlier warning, as in `--slurm signal_delay_s=600`"
)


class Task(Handler):
    """A start of a job: passes on into the spool what the fork server tells of it.

    Attributes:
        ended: how the experiment's process ended; None while it runs.
        left: it was ended for the cluster's sake, and told nothing of an end.
        requeues: it is up to this task to put itself back into the queue.
    """

    def __init__(self, folder: JobFolder, job: Job, sink: SpoolSink, signals: list[int]) -> None:
        """Makes a task that has begun nothing.

        Args:
            folder: through which it talks with the driver.
            job: what to run.
            sink: takes what is told.
            signals: the numbers of those that came and were not reacted to, oldest first.
        """
        self.ended: Exit | None = None
        self.left = False
        self.requeues = False
        self._folder = folder
        self._job = job
        self._sink = sink
        self._signals = signals
        self._has_begun = False
        self._asked_by_cluster = False

    def run(self, setup: TaskSetup) -> None:
        """Runs the experiment to its end."""
        executor = ProcessExecutor(self, capacity=1, settings=setup.server_settings())
        try:
            executor.submit(self._job)
            while self.ended is None:
                executor.poll(_POLL_S)
                while self._signals:
                    self._react(executor, self._signals.pop(0))
        except RunError:
            pass  # what it cannot import or start stands in the experiment's end
        finally:
            executor.close()

    def _react(self, executor: ProcessExecutor, signum: int) -> None:
        reason = self._folder.stop_reason(self._job.job_id)
        # SLURM sends SIGTERM to what it cancels or preempts, and knows itself which of them it starts again.
        self.requeues |= reason is None and signum != STOP_SIGNAL
        self._asked_by_cluster |= reason is None
        executor.stop(self._job.job_id, reason or "interrupt")

    def on_started(self, job_id: str) -> None:
        """See `Handler`."""
        self._has_begun = True

    def on_events(self, job_id: str, lines: list[bytes]) -> None:
        """See `Handler`."""
        for line in lines:
            if line.startswith(_STATUS_START) and self._is_made_room(decode(line)["payload"]):
                self.left = True
            else:
                self._sink.pass_on(line)

    def on_output(self, job_id: str | None, stream: Stream, lines: list[str]) -> None:
        """See `Handler`."""
        self._sink.tell_lines(stream, lines)

    def on_exit(self, job_id: str, ended: Exit) -> None:
        """See `Handler`."""
        self.ended = ended
        # Before it hears signals, one ends it.
        self.left |= self._is_asked_by_cluster and (not self._has_begun or ended.signal in _SIGNALS)

    def on_note(self, level: Literal["info", "warning", "error"], message: str) -> None:
        """See `Handler`."""
        self._sink.emit(
            Log(
                grid_search_id=self._job.run_id,
                experiment_id=self._job.experiment_id,
                level=level,
                logger=LOGGER,
                message=message,
            )
        )

    def _is_made_room(self, status: dict[str, Any]) -> bool:
        """Tells whether a state is an end for the cluster's sake, from where it goes on as the next attempt."""
        if self._folder.stop_reason(self._job.job_id) is not None:
            return False
        # An end that nobody of MLgym has asked for was asked for by the cluster, maybe of the experiment directly.
        if status.get("interrupted"):
            return True
        error = status.get("error")
        if error is None or not self._is_asked_by_cluster:
            return False
        # SLURM signals all processes: the experiment may lose one, such as a loader's worker, before it hears of it.
        self.on_note("warning", f"failed while the cluster wanted its node back, and goes on from there: {error}")
        return True

    @property
    def _is_asked_by_cluster(self) -> bool:
        if self._signals and self._folder.stop_reason(self._job.job_id) is None:
            self._asked_by_cluster = True
        return self._asked_by_cluster


def run_task(folder: JobFolder, job_id: str) -> int:
    """Runs the next start of a job in this process, which belongs to it alone.

    Returns:
        Exit status: 0 where it succeeded or has nothing to do any more, 1 where it failed, or what requeues it.
    """
    signals: list[int] = []
    for signum in _SIGNALS:
        signal.signal(signum, lambda signum, frame: signals.append(signum))
    descriptor, number = folder.open_spool(job_id)
    job = folder.job(job_id)
    if job is None:
        os.close(descriptor)
        folder.spool_path(job_id, number).unlink(missing_ok=True)
        return 0
    earlier = folder.spools(job_id)[:number]
    job = msgspec.structs.replace(
        job,
        attempt=job.attempt + number,
        known_data=known_data(job, earlier),
        known_checkpoints=known_checkpoints(job, earlier),
        lineage=lineage_of(job, earlier),
        code_before=code_of(earlier),
    )
    sink = SpoolSink(descriptor, job.run_id, job.experiment_id, folder.spool_path(job_id, number + 1).exists)
    sink.tell(Begin(host=socket.gethostname(), pid=os.getpid(), queue_id=queue_id()))
    before = _checkpoints(job)
    task = Task(folder, job, sink, signals)
    task.run(folder.setup())
    ended = task.ended or Exit(reason="ended with its task")
    is_barren = task.left and task.requeues and not _checkpoints(job) - before
    if is_barren and earlier and not _has_saved(earlier[-1]):
        # Twice in a row is no bad luck: it would come no further the next time either.
        task.left = False
        sink.emit(_status(job, status="DONE", finishing_time=time.time(), error=_NO_STEP))
    elif task.left:
        # It may stay in the queue for hours, and does not run meanwhile.
        sink.emit(_status(job, status="INIT", attempt=job.attempt + 1))
    sink.finish_lines()
    sink.tell(End(exit=ended, left=task.left))
    sink.close()
    if task.left:
        return _requeue() if task.requeues else 0
    return 0 if ended.code == 0 else 1


def known_checkpoints(job: Job, spools: Iterable[Path]) -> list[str]:
    """Gives the checkpoints that the log says stand, once it has what earlier starts of a job told."""
    known = dict.fromkeys(job.known_checkpoints)
    for path in spools:
        for line in _lines(path):
            if record_of(line) is None:
                _take_checkpoint(known, line)
    return list(known)


def known_data(job: Job, spools: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Gives what data an experiment was begun with, once the log has what earlier starts of a job told."""
    known = dict(job.known_data)
    for path in spools:
        for line in _lines(path):
            if line.startswith(_DATA_START):
                payload = decode(line)["payload"]
                known[payload["split"]] = {name: payload[name] for name in ("sha256", "num_samples")}
    return known


def lineage_of(job: Job, spools: Iterable[Path]) -> int:
    """Gives the lineage that an experiment has come to in earlier starts of a job."""
    told = (decode(line) for path in spools for line in _lines(path) if line.startswith(_RESUMED_START))
    return max((event["payload"]["lineage"] for event in told), default=job.lineage)


def code_of(spools: Sequence[Path]) -> dict[str, str]:
    """Gives which of the user's modules were others in the last start of a job, as they were there."""
    told = (decode(line) for path in spools[-1:] for line in _lines(path) if line.startswith(_CODE_START))
    return {change["key"]: change["new"] for event in told for change in event["payload"]["changes"]}


def _lines(spool: Path) -> Iterator[bytes]:
    reader = SpoolReader(spool)
    while lines := reader.read():
        yield from lines


def _has_saved(spool: Path) -> bool:
    """Tells whether a start of a job has saved a checkpoint."""
    return any(line.startswith(_SAVED_START) for line in _lines(spool))


def _take_checkpoint(known: dict[str, None], line: bytes) -> None:
    event = decode(line)
    path = event["payload"].get("path")
    if event["event_type"] == CheckpointSaved.event_type:
        known[path] = None
    elif event["event_type"] == CheckpointDeleted.event_type:
        known.pop(path, None)


def _checkpoints(job: Job) -> set[str]:
    folder = Path(job.run_dir) / str(job.experiment_id) / "checkpoints"
    with suppress(OSError):
        return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return set()


def _status(job: Job, *, status: Literal["INIT", "DONE"], **facts: Any) -> JobStatus:
    return JobStatus(
        job_id=job.job_id,
        status=status,
        grid_search_id=job.run_id,
        experiment_id=job.experiment_id,
        device=job.device_label,
        **{"attempt": job.attempt, **facts},
    )


def queue_id() -> str:
    """Gives how the cluster calls the task that this process is."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array else os.environ.get(LOCAL_ID, "")


def _requeue() -> int:
    if LOCAL_ID in os.environ:
        return _LOCAL_REQUEUE_CODE
    # Where this is refused, SLURM shows an ended task that has left, and the driver submits the experiment again.
    done = subprocess.run(["scontrol", "requeue", queue_id()], check=False)  # noqa: S603, S607 - SLURM is on the path
    return done.returncode


def start() -> None:
    """Runs a task in a fresh interpreter; arguments: run folder, name of the array, and its number where no array is.

    SLURM gives the number of a task within its array itself.
    """
    run_dir, array, *number = sys.argv[1:]
    if LOCAL_ID in os.environ:
        os.setsid()  # as SLURM does: what signals the driver's terminal sends are none of its business
    folder = JobFolder(Path(run_dir))
    index = int(number[0] if number else os.environ["SLURM_ARRAY_TASK_ID"])
    sys.exit(run_task(folder, folder.array(array).job_ids[index]))
