"""Taking over from a driver that is gone: what its SLURM jobs have told since, and those of them that still run."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mlgym.errors import EventLogError, RunError
from mlgym.events import EventLog
from mlgym.events.codec import check_body
from mlgym.execution.job import Job
from mlgym.execution.slurm.folder import Array, JobFolder
from mlgym.execution.slurm.queues import Target, queue_of, require_answer
from mlgym.execution.slurm.settings import Cluster
from mlgym.execution.slurm.spool import Begin, End, SpoolReader, record_of
from mlgym.execution.slurm.states import fate
from mlgym.tracking import RunFolder

_END_S: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """A job that a former driver submitted and that has not ended.

    Args:
        job: the job.
        cluster: where it is.
        queue_id: how the cluster calls its task.
        number: of the spool up to which it was taken in.
        offset: bytes of that spool that were.
        begin: of the start that runs; None where it waits.
        left: the last start made room and the next has not begun.
        withdrawn: it cannot go on once it has ended or made room.
    """

    job: Job
    cluster: Cluster
    queue_id: str
    number: int
    offset: int
    begin: Begin | None
    left: bool
    withdrawn: bool

    @property
    def attempt(self) -> int:
        """The attempt that runs, or that is next to begin."""
        return self.job.attempt + self.number + int(self.left)

    @property
    def target(self) -> Target:
        """Where its task is."""
        return Target(self.queue_id, self.begin.pid if self.begin else None)


def take_in(run: RunFolder, log: EventLog) -> list[UnderWay]:
    """Puts into the log what jobs have told while no driver listened, and gives those that have not ended.

    An event that the log has is not stored again, so that nothing depends on where the former driver stopped.

    Args:
        run: the run.
        log: its log, open.

    Raises:
        RunError: the cluster cannot be asked which of them still run.
        EventLogError: the log cannot be written.
    """
    folder = JobFolder(run.path)
    if not folder.path.is_dir():
        return []
    folder.prepare()
    folder.look_anew()
    known = _queue_ids(folder.arrays())
    candidates: list[UnderWay] = []
    for job_id, job in folder.jobs().items():
        if not known.get(job_id, ("", ""))[1]:
            # The driver died between the two halves of a submission: a task of it that has not begun must not begin.
            folder.withdraw(job_id)
        one = _read(folder, log, job, known.get(job_id))
        if one is None:
            folder.forget(job_id)
        else:
            candidates.append(one)
    alive = _alive(candidates, run.run_id)
    folder.look_anew()
    for one in candidates:
        if one not in alive:
            _read(folder, log, one.job, None)  # its last words
            folder.forget(one.job.job_id)
    if not alive:
        folder.remove()
    return alive


def end_jobs(run: RunFolder, log: EventLog, jobs: Sequence[UnderWay]) -> None:
    """Ends jobs, waits until none of them runs, and takes in what they told.

    What runs saves a checkpoint at its next step boundary first.

    Raises:
        RunError: they do not end.
        EventLogError: the log cannot be written.
    """
    folder = JobFolder(run.path)
    for one in jobs:
        folder.ask_to_stop(one.job.job_id, "interrupt")
        if one.begin is None:
            folder.withdraw(one.job.job_id)
    for cluster in {one.cluster for one in jobs}:
        queue = queue_of(cluster)
        queue.cancel([one.target for one in jobs if one.cluster == cluster and one.begin is None])
        queue.signal([one.target for one in jobs if one.cluster == cluster and one.begin], signal.SIGUSR1)
    give_up_at, left = time.monotonic() + _END_S, list(jobs)
    while left := _alive(left, run.run_id):
        if time.monotonic() > give_up_at:
            names = ", ".join(one.queue_id for one in left)
            raise RunError(f"SLURM jobs of run `{run.run_id}` do not end: cancel them with `scancel {names}`")
        time.sleep(0.5)
    folder.look_anew()
    for one in jobs:
        _read(folder, log, one.job, None)
        folder.forget(one.job.job_id)


def _queue_ids(arrays: Sequence[Array]) -> dict[str, tuple[Cluster, str]]:
    found: dict[str, tuple[Cluster, str]] = {}
    for array in arrays:
        for number, job_id in enumerate(array.job_ids):
            found[job_id] = (array.cluster, array.queue_ids[number] if array.queue_ids else "")
    return found


def _read(folder: JobFolder, log: EventLog, job: Job, known: tuple[Cluster, str] | None) -> UnderWay | None:
    """Takes in the spools of a job; None where it has told its end, or was never submitted."""
    begin: Begin | None = None
    end: End | None = None
    cluster, queue_id = known or ("slurm", "")
    reader = SpoolReader(folder.spool_path(job.job_id, 0))
    num_spools = max(1, len(folder.spools(job.job_id)))
    for number in range(num_spools):
        reader = SpoolReader(folder.spool_path(job.job_id, number))
        begin, end = None, None
        while lines := reader.read():
            log.append(list(_events(lines)))
            for line in lines:
                record = record_of(line)
                if isinstance(record, Begin):
                    begin, queue_id = record, record.queue_id or queue_id
                elif record is not None:
                    begin, end = None, record
    if (end is not None and not end.left) or not queue_id:
        return None
    return UnderWay(
        job=job,
        cluster=cluster,
        queue_id=queue_id,
        number=num_spools - 1,
        offset=reader.offset,
        begin=begin,
        left=end is not None,
        withdrawn=folder.job(job.job_id) is None,
    )


def _events(lines: Sequence[bytes]) -> Iterator[bytes]:
    for line in lines:
        if record_of(line) is None:
            try:
                check_body(line)
            except EventLogError:
                continue
            yield line


def _alive(jobs: Sequence[UnderWay], run_id: str) -> list[UnderWay]:
    states: dict[str, str] = {}
    for cluster in {one.cluster for one in jobs}:
        ids = [one.queue_id for one in jobs if one.cluster == cluster]
        states |= require_answer(queue_of(cluster), ids, run_id)
    return [one for one in jobs if fate(states.get(one.queue_id, "")) == "alive"]
