"""Runs each job as a task of a SLURM job array: submits those that are there together, reads what they tell."""

from __future__ import annotations

import re
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn, TypeAlias

from msgspec.structs import replace

from mlgym.errors import RunError
from mlgym.execution.executor import Executor, Handler, StopReason, Stream
from mlgym.execution.job import BATCH_SIGNAL, Exit, Job
from mlgym.execution.output.lines import MAX_LINE_CHARS
from mlgym.execution.output.printed import NUM_TAIL_LINES
from mlgym.execution.slurm.folder import Array, JobFolder
from mlgym.execution.slurm.queues import Queue, QueueError, Target, queue_of
from mlgym.execution.slurm.settings import SlurmSettings
from mlgym.execution.slurm.setup import TaskSetup
from mlgym.execution.slurm.spool import Begin, End, SpoolReader, record_of
from mlgym.execution.slurm.states import end_text, fate
from mlgym.execution.slurm.takeover import UnderWay

_Wish: TypeAlias = Literal["stop", "kill"]
# Of reading a spool: at once while it grows, then less and less often.
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
# In all, lest ten thousand of them are more than a file server likes.
_MAX_READS_A_SECOND: Final = 1000.0
_NAP_S: Final = 0.05
# A controller that is busy or restarts takes nothing for a while; after so long it will not.
_RETRY_S: Final = 15.0
_MAX_REFUSALS: Final = 20
# SLURM's own limit is one more (`MaxArraySize`); clusters have others, and users limits of what they may submit.
_MAX_ARRAY: Final = 1000
_OF_NUMBER: Final = re.compile(r"\barray\b|\blimit", re.IGNORECASE)
_END_S: Final = 60.0
_WAITING_S: Final = 1.0


@dataclass(slots=True)
class _Submitted:
    """A job in the cluster's hands.

    `begin` is of the start that runs, `left` says that it went back into the queue, `gone` that SLURM has said once
    that it runs no more, `granted` what was done about it because somebody asked.
    """

    job: Job
    queue_id: str
    reader: SpoolReader
    number: int = 0
    begin: Begin | None = None
    left: bool = False
    end: End | None = None
    read_at: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    gone: bool = False
    granted: _Wish | None = None

    @property
    def target(self) -> Target:
        return Target(self.queue_id, self.begin.pid if self.begin else None)


@dataclass(slots=True)
class _Refusals:
    """What the cluster said to submissions lately."""

    count: int = 0
    retry_at: float = 0.0
    accepted: bool = False


class SlurmExecutor(Executor):
    """An executor whose jobs outlive it: where this process is killed, they go on, and `take_in` finds them.

    Jobs that are submitted before the next `poll` become one array.
    """

    def __init__(
        self,
        handler: Handler,
        folder: JobFolder,
        settings: SlurmSettings,
        setup: TaskSetup,
        *,
        capacity: int,
        adopted: Collection[UnderWay] = (),
        is_written: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes an executor that has submitted nothing.

        Args:
            handler: is told what happens.
            folder: through which jobs go out and events come back.
            settings: how to submit.
            setup: what tasks import.
            capacity: jobs in the cluster's hands at the same time, > 0.
            adopted: jobs that a former driver has submitted; submitted here, they only go on.
            is_written: whether all that the handler was told is durable; spools are removed then.
            clock: gives the time in s.

        Raises:
            RunError: the folder cannot be made.
        """
        folder.prepare()
        folder.put_setup(setup)
        self._handler = handler
        self._folder = folder
        self._settings = settings
        self._capacity = capacity
        self._adopted: Mapping[str, UnderWay] = {one.job.job_id: one for one in adopted}
        self._is_written = is_written
        self._clock = clock
        self._queue: Queue = queue_of(settings.cluster, settings)
        self._num_arrays = len(folder.arrays())
        self._waiting: deque[Job] = deque()
        self._running: dict[str, _Submitted] = {}
        self._wishes: dict[str, _Wish] = {}
        self._reasons: dict[str, StopReason] = {}
        self._settled: list[str] = []
        self._asked_at = clock()
        self._silence_told = False
        self._refusals = _Refusals()
        self._num_at_once = _MAX_ARRAY
        self._broken: RunError | None = None
        self._may_live = False

    @property
    def capacity(self) -> int:
        """How many jobs can be in the cluster's hands at the same time."""
        return self._capacity

    def submit(self, job: Job) -> None:
        """Takes a job, which is submitted in the next `poll`; see `Executor.submit`."""
        if self._broken is not None:
            raise self._broken
        known = self._adopted.get(job.job_id)
        if known is None:
            self._waiting.append(job)
        else:
            reader = SpoolReader(self._folder.spool_path(job.job_id, known.number), known.offset)
            self._running[job.job_id] = _Submitted(
                job, known.queue_id, reader, known.number, begin=known.begin, left=known.left
            )
            if known.begin is not None:
                self._handler.on_started(job.job_id)

    def poll(self, timeout_s: float) -> None:
        """Submits what waits, grants what was asked for, reads what came; see `Executor.poll`."""
        if self._broken is not None:
            raise self._broken
        self._drop_stopped()
        while self._waiting and self._clock() >= self._refusals.retry_at:
            self._submit_waiting()
        self._grant_wishes()
        heard = self._read_spools()
        if self._clock() - self._asked_at >= self._ask_every_s():
            self._ask_for_states()
        self._remove_settled()
        if not heard:
            time.sleep(min(max(0.0, timeout_s), _NAP_S))

    def stop(self, job_id: str, reason: StopReason) -> None:
        """Has a task that runs end at its next step boundary, and one that waits cancelled; see `Executor.stop`."""
        # May run in a signal handler: it only notes.
        self._reasons.setdefault(job_id, reason)
        self._wishes.setdefault(job_id, "stop")

    def kill(self, job_id: str) -> None:
        """Has a task killed with everything it started; see `Executor.kill`."""
        self._wishes[job_id] = "kill"

    def close(self) -> None:
        """Cancels all tasks and waits until none of them runs; see `Executor.close`."""
        if self._broken is None:
            self._broken = RunError("this executor is closed")
            self._end_all("was killed because its run ended")
            self._remove_settled()
            self._queue.close()

    def remove_folder(self) -> None:
        """Removes what jobs and driver told each other, once it is closed and the log has everything."""
        if self._broken is not None and not self._running and not self._may_live:
            self._folder.remove()

    def _drop_stopped(self) -> None:
        for job in [job for job in self._waiting if job.job_id in self._wishes]:
            self._waiting.remove(job)
            self._wishes.pop(job.job_id)
            self._handler.on_exit(job.job_id, Exit(reason="was stopped before it started"))

    def _submit_waiting(self) -> None:
        """Submits what waits as one array, or as much of it as the cluster takes at once."""
        jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._num_at_once))]
        name, job_ids = str(self._num_arrays), [job.job_id for job in jobs]
        self._num_arrays += 1
        try:
            queue_ids = self._queue_up(name, jobs)
        except QueueError as error:
            for job_id in job_ids:
                self._folder.withdraw(job_id)
            self._waiting.extendleft(reversed(jobs))
            if len(jobs) > 1 and _OF_NUMBER.search(str(error)):
                self._num_at_once = len(jobs) // 2
            else:
                self._refused(str(error))
            return
        self._num_at_once = min(2 * self._num_at_once, _MAX_ARRAY)
        self._refusals = _Refusals(accepted=True)
        for job, queue_id in zip(jobs, queue_ids, strict=True):
            self._running[job.job_id] = _Submitted(
                job, queue_id, SpoolReader(self._folder.spool_path(job.job_id, 0)), read_at=self._clock()
            )

    def _queue_up(self, name: str, jobs: Sequence[Job]) -> list[str]:
        """Lays jobs ready, submits them, and gives how the cluster calls each.

        Raises:
            QueueError: it does not take them, or they cannot be laid ready.
        """
        job_ids = [job.job_id for job in jobs]
        array = Array(job_ids=job_ids, cluster=self._settings.cluster)
        try:
            for job in jobs:
                self._folder.put_job(job)
            self._folder.put_array(name, array)
        except OSError as error:
            raise QueueError(f"`{self._folder.path}` cannot be written: {error.strerror}") from error
        queue_ids = self._queue.submit(self._folder, name, job_ids)
        with suppress(OSError):  # a driver after this one learns it from what each of them tells when it begins
            self._folder.put_array(name, replace(array, queue_ids=queue_ids))
        return queue_ids

    def _refused(self, why: str) -> None:
        refusals = self._refusals
        refusals.count += 1
        # What never worked is a wrong option; what worked before, a controller that restarts, or a limit of jobs, below
        # which there is room when one that runs has ended.
        if not self._running and (not refusals.accepted or refusals.count > _MAX_REFUSALS):
            self._break(f"SLURM does not take the experiments: {why}")
        refusals.retry_at = self._clock() + _RETRY_S
        if refusals.count == 1:
            self._handler.on_note(
                "warning", f"SLURM takes no experiment at the moment, tried again every {_RETRY_S:g} s: {why}"
            )

    def _grant_wishes(self) -> None:
        stopped, ended, killed = [], [], []
        for job_id in list(self._wishes):
            wish, running = self._wishes.pop(job_id), self._running.get(job_id)
            if running is None or running.granted in (wish, "kill"):
                continue
            running.granted = wish
            if wish == "kill":
                killed.append(running.target)
            elif running.begin is not None:
                if self._leaves_word(job_id):
                    stopped.append(running.target)
                else:  # without it the task would take the signal for the cluster's, and go back into the queue
                    self._wishes.setdefault(job_id, wish)
                    running.granted = None
                continue
            # It may begin at this very moment: then its job is gone, or the signal reaches it with word why.
            self._leaves_word(job_id)
            self._folder.withdraw(job_id)
            ended.append(running.target)
        if stopped:
            self._queue.signal(stopped, BATCH_SIGNAL)
        if killed:
            self._queue.signal(killed, signal.SIGKILL)
        if ended:
            self._queue.cancel(ended)

    def _leaves_word(self, job_id: str) -> bool:
        """Leaves word why a task is to end; tells whether it could, which it cannot where the disk is full."""
        try:
            self._folder.ask_to_stop(job_id, self._reasons.get(job_id, "interrupt"))
        except OSError:
            return False
        return True

    def _ask_every_s(self) -> float:
        # Somebody waits for ends that were asked for.
        waits = any(one.granted for one in self._running.values())
        return min(_WAITING_S, self._settings.poll_every_s) if waits else self._settings.poll_every_s

    def _read_spools(self) -> bool:
        heard, now = False, self._clock()
        least_s = len(self._running) / _MAX_READS_A_SECOND
        for running in [one for one in self._running.values() if one.read_at <= now]:
            lines = running.reader.read()
            if lines:
                heard = True
                running.pause_s = _FIRST_PAUSE_S
                self._tell(running, lines)
            elif running.left and self._folder.spool_path(running.job.job_id, running.number + 1).exists():
                self._go_to_next_start(running)
            else:
                running.pause_s = min(2 * running.pause_s, _LONGEST_PAUSE_S)
            running.read_at = now + max(running.pause_s, least_s)
            if running.end is not None and not running.end.left:
                self._finish(running, running.end.exit)
        return heard

    def _tell(self, running: _Submitted, lines: list[bytes]) -> None:
        job_id, events = running.job.job_id, []
        for line in lines:
            record = record_of(line)
            if record is None:
                events.append(line)
            elif isinstance(record, Begin):
                running.begin, running.left, running.gone = record, False, False
                self._handler.on_started(job_id)
            else:
                running.end, running.left = record, record.left
                running.begin = None
        if events:
            self._handler.on_events(job_id, events)

    def _go_to_next_start(self, running: _Submitted) -> None:
        """Goes on to the spool of the next start; what the last one left unfinished was no line."""
        running.number += 1
        running.reader = SpoolReader(self._folder.spool_path(running.job.job_id, running.number))
        running.begin, running.end, running.left, running.pause_s = None, None, False, 0.0

    def _ask_for_states(self) -> None:
        self._asked_at = self._clock()
        running = list(self._running.values())
        if not running:
            return
        try:
            states = self._queue.states([one.queue_id for one in running])
        except QueueError as error:
            if not self._silence_told:
                self._silence_told = True
                self._handler.on_note("warning", f"SLURM does not say how its jobs are, asked again: {error}")
            return
        self._silence_told = False
        self._folder.look_anew()
        for one in running:
            if one.job.job_id in self._running:
                self._look_at(one, states.get(one.queue_id, ""))

    def _look_at(self, running: _Submitted, state: str) -> None:
        """Ends a job of which SLURM has said twice that it runs no more, and whose spool says nothing new meanwhile."""
        if self._folder.spool_path(running.job.job_id, running.number + 1).exists():
            self._drain(running)
            self._go_to_next_start(running)
        what = fate(state)
        if what == "alive":
            running.gone = False
            return
        # Read again at once: its last words may have come with the state.
        running.read_at, running.pause_s = 0.0, _FIRST_PAUSE_S
        if not running.gone and not running.granted:
            running.gone = True
        elif not self._drain(running):
            self._end_without_word(
                running, state, is_lost=what == "lost" or (running.left and "CANCELLED" not in state)
            )

    def _drain(self, running: _Submitted) -> bool:
        heard = False
        while lines := running.reader.read():
            heard = True
            self._tell(running, lines)
        return heard

    def _end_without_word(self, running: _Submitted, state: str, *, is_lost: bool) -> None:
        self._tell_captured(running)
        if running.granted == "kill":
            ended = Exit(signal=signal.SIGKILL)
        elif running.granted == "stop" and running.begin is None:
            ended = Exit(reason="was stopped before it started")
        elif running.left and is_lost:
            ended = Exit(reason="made room and was not started again by SLURM", lost=True)
        else:
            ended = Exit(reason=f"{end_text(state)}; SLURM job {running.queue_id}", lost=is_lost)
        self._finish(running, ended)

    def _tell_captured(self, running: _Submitted) -> None:
        """Tells the last lines that SLURM captured: the kernel's, of a crash, of what was killed."""
        out, err = self._folder.captured_paths(running.queue_id)
        captured: tuple[tuple[Stream, Path], ...] = (("stdout", out), ("stderr", err))
        for stream, path in captured:
            try:
                with path.open("rb") as file:
                    file.seek(max(0, path.stat().st_size - NUM_TAIL_LINES * MAX_LINE_CHARS))
                    lines = file.read().decode("utf-8", "backslashreplace").splitlines()
            except OSError:
                continue
            if lines:
                self._handler.on_output(running.job.job_id, stream, lines[-NUM_TAIL_LINES:])

    def _finish(self, running: _Submitted, ended: Exit) -> None:
        job_id = running.job.job_id
        del self._running[job_id]
        self._wishes.pop(job_id, None)
        self._folder.withdraw(job_id)
        self._settled.append(job_id)
        self._handler.on_exit(job_id, ended)

    def _remove_settled(self) -> None:
        # Only once the log has them: what this process loses now, `take_in` reads again.
        if self._settled and self._is_written():
            for job_id in self._settled:
                self._folder.forget(job_id)
            self._settled.clear()

    def _end_all(self, why: str) -> None:
        while self._waiting:
            self._handler.on_exit(self._waiting.popleft().job_id, Exit(reason=why))
        running = list(self._running.values())
        for one in running:
            self._folder.withdraw(one.job.job_id)
        targets = [one.target for one in running]
        if targets:
            self._queue.signal(targets, signal.SIGKILL)
            self._queue.cancel(targets)
            self._wait_for_ends(running)
        for one in running:
            self._drain(one)
            self._finish(one, Exit(reason=why))

    def _wait_for_ends(self, running: list[_Submitted]) -> None:
        give_up_at = self._clock() + _END_S
        alive = [one.queue_id for one in running]
        while alive and self._clock() < give_up_at:
            try:
                states = self._queue.states(alive)
            except QueueError as error:
                self._may_live = True
                self._handler.on_note("error", f"whether SLURM has ended its jobs is not known: {error}")
                return
            alive = [queue_id for queue_id in alive if fate(states.get(queue_id, "")) == "alive"]
            if alive:
                time.sleep(min(0.2, self._settings.poll_every_s))
        if alive:
            self._may_live = True
            self._handler.on_note("error", f"SLURM has not ended these jobs yet: {', '.join(alive)}")

    def _break(self, why: str) -> NoReturn:
        self._broken = RunError(why)
        self._handler.on_note("error", why)
        self._end_all(f"was never started: {why}")
        raise self._broken
