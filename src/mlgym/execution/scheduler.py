"""Decides which experiment runs when and where, and ends those that must not go on; knows no files and processes."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from mlgym.errors import RunError
from mlgym.execution.devices import Slot
from mlgym.execution.executor import Executor, Handler, StopReason, Stream
from mlgym.execution.job import BATCH_SIGNAL, STOP_SIGNAL, Exit, Job, time_limit_error
from mlgym.execution.linux import oom_kills
from mlgym.execution.out_of_memory import KERNEL_KILLED
from mlgym.execution.retries import Retries, RetryLimits
from mlgym.execution.slots import Admission, Slots

Outcome: TypeAlias = Literal["succeeded", "failed", "interrupted"]

_LONGEST_WAIT_S: Final = 0.2
# From the start of a process to its first event: a fresh interpreter on a busy machine imports for a long time.
_START_S: Final = 120.0
# From the last event to the end of the process: exit handlers, loader workers.
_LINGER_S: Final = 30.0
_NO_SPACE_RETRY_S: Final = 1.0
_SIGKILL: Final = 9


class NoSpaceError(Exception):
    """An experiment could not be prepared because the disk is full; worth another try later."""


class Record(Protocol):
    """Where the scheduler writes down what it learns; the driver's journal."""

    def take_events(self, job: Job, lines: list[bytes]) -> list[dict[str, Any]]:
        """Stores a worker's events and gives the payloads of the job states (`job_status`) among them."""

    def take_output(self, job: Job | None, stream: Stream, lines: list[str]) -> None:
        """Stores what a worker, or the executor itself, printed."""

    def note(self, level: str, message: str) -> None:
        """Stores something that concerns the run as a whole."""

    def end(self, job: Job, *, status: dict[str, Any] | None, missing: LostEnd | None) -> None:
        """Notes that nothing more comes from a job: `missing` describes its end where it did not tell it itself."""

    def tick(self) -> float:
        """Does what is due and gives the time until something will be, in s."""


@dataclass(frozen=True, kw_only=True)
class LostEnd:
    """The end of a job that could not tell it itself.

    Args:
        error: what to say of it.
        exit_signal: name of the signal that ended it, where one did.
        interrupted: it ended because the run was interrupted.
        started_at: when it said that it runs, s since the epoch; -1 where it never did.
    """

    error: str
    exit_signal: str | None
    interrupted: bool
    started_at: float


@dataclass(slots=True)
class Counts:
    """How the experiments of a run ended; they add up to the number of experiments that were to run."""

    succeeded: int = 0
    failed: int = 0
    interrupted: int = 0
    not_started: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            succeeded=self.succeeded + other.succeeded,
            failed=self.failed + other.failed,
            interrupted=self.interrupted + other.interrupted,
            not_started=self.not_started + other.not_started,
        )


@dataclass(slots=True)
class _Active:
    """A submitted job. `act_at` is when the next rung of the ladder is due; see `_set_rung`."""

    job: Job
    slot: int
    oom_kills_before: int
    is_alone: bool = False
    act_at: float | None = None
    asked_to_stop: StopReason | None = None
    killed: bool = False
    started_at: float = -1.0
    done: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Alone:
    """An experiment that is to run on the devices of a slot with nothing beside it."""

    experiment_id: int
    slot: int


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long things may take, in s.

    Args:
        time_limit_s: of one experiment, from its first event on; None for none.
        grace_s: from asking for an end to killing.
    """

    time_limit_s: float | None = None
    grace_s: float = 30.0


def in_order(num_experiments: int, skip: Container[int] = ()) -> Callable[[], int | None]:
    """Gives a source of the experiments 0, 1, 2 ... that holds none of them in memory.

    Args:
        num_experiments: how many there are.
        skip: those that need not run, such as those a former attempt has finished.
    """
    ids = (each for each in range(num_experiments) if each not in skip)
    return lambda: next(ids, None)


class Scheduler(Handler):
    """Keeps every slot busy, and is told by the executor what becomes of the jobs.

    The source is asked for the next experiment only when a slot is free. It gives None when there is nothing to start
    now; the run is over when it does so while nothing is running. So a source may wait for results of others.
    """

    def __init__(
        self,
        source: Callable[[], int | None],
        prepare: Callable[[int, Slot], Job],
        *,
        slots: Sequence[Slot],
        record: Record,
        limits: Limits,
        retries: RetryLimits | None = None,
        admission: Admission | None = None,
        ended: Callable[[int, Outcome], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes a scheduler; `run` starts it.

        Args:
            source: gives the next experiment's id.
            prepare: makes the job of an experiment on devices, and everything that must exist before it starts.
            slots: the devices of each slot.
            record: where to write down what happens.
            limits: how long things may take.
            retries: how often what failed is tried again; None for never but where memory was lacking.
            admission: says whether a device has room for a further experiment; None where a free slot is room enough.
            ended: is told how each experiment ended, once that is written down; a source that waits for it knows then.
            clock: gives the time in s.
        """
        self.counts = Counts()
        self._source = source
        self._prepare = prepare
        self._slots = Slots(slots, admission)
        self._record = record
        self._limits = limits
        self._ended = ended
        self._clock = clock
        self._active: dict[str, _Active] = {}
        self._rungs: list[tuple[float, str]] = []
        self._executor: Executor | None = None
        self._num_interrupts = 0
        self._has_said_so = False
        self._postponed: int | None = None
        self._lacks_space = False
        self._retry_at = 0.0
        self._retries = Retries(retries or RetryLimits(losses=0))
        self._again: deque[int] = deque()
        self._waiting_alone: list[_Alone] = []

    @property
    def interrupted(self) -> bool:
        """Whether somebody asked for an end of the run."""
        return self._num_interrupts > 0

    def run(self, executor: Executor) -> None:
        """Runs everything that the source gives; `counts` says how it went, also while it raises.

        Raises:
            RunError: the executor broke down; everything that ran on it is counted.
        """
        self._executor = executor
        try:
            self._run(executor)
        except RunError:
            self._give_up_retries()
            raise
        self._give_up_retries()

    def _run(self, executor: Executor) -> None:
        while True:
            self._fill(executor)
            if not self._active and (self.interrupted or not self._has_waiting):
                return
            executor.poll(min(self._record.tick(), self._seconds_to_next_rung(), _LONGEST_WAIT_S))
            self._climb(executor)
            self._say_that_it_stops()

    def interrupt(self, *, quietly: bool = False) -> None:
        """Ends the run: the first call asks running experiments to stop, the second kills them.

        May be called from a signal handler, and from other threads.

        Args:
            quietly: write down nothing of it, since the caller tells why.
        """
        self._has_said_so |= quietly
        self._num_interrupts += 1
        executor = self._executor
        for active in list(self._active.values()):
            if executor is None:
                return
            if self._num_interrupts > 1:
                active.killed, active.asked_to_stop = True, active.asked_to_stop or "interrupt"
                executor.kill(active.job.job_id)
            else:
                self._ask_to_stop(executor, active, "interrupt")

    def on_started(self, job_id: str) -> None:
        """See `Handler`."""
        active = self._active[job_id]
        # Its first event may have come before this.
        if self._limits.time_limit_s is not None and active.act_at is None:
            self._set_rung(active, self._clock() + self._limits.time_limit_s + _START_S)

    def on_events(self, job_id: str, lines: list[bytes]) -> None:
        """See `Handler`."""
        active = self._active[job_id]
        for status in self._record.take_events(active.job, lines):
            if status.get("status") == "RUNNING":
                active.started_at = status.get("starting_time", -1.0)
                if self._limits.time_limit_s is not None and active.asked_to_stop is None:
                    self._set_rung(active, self._clock() + self._limits.time_limit_s)
            elif status.get("status") == "DONE":
                active.done = status
                self._set_rung(active, self._clock() + min(_LINGER_S, self._limits.grace_s))
            elif active.asked_to_stop is None:
                active.act_at = None  # back in the queue of a cluster, where it may wait for long

    def on_output(self, job_id: str | None, stream: Stream, lines: list[str]) -> None:
        """See `Handler`."""
        self._record.take_output(None if job_id is None else self._active[job_id].job, stream, lines)

    def on_note(self, level: Literal["info", "warning", "error"], message: str) -> None:
        """See `Handler`."""
        self._record.note(level, message)

    def on_exit(self, job_id: str, ended: Exit) -> None:
        """See `Handler`."""
        active = self._active.pop(job_id)
        self._slots.give_back(active.slot)
        if active.is_alone:
            self._slots.release(active.slot)
        if active.done is None:
            missing = _lost_end(active, ended)
            outcome: Outcome = "interrupted" if missing.interrupted else "failed"
        else:
            missing = None
            outcome = _outcome(active.done)
            if ended.signal is not None and not active.killed:
                self._record.note(
                    "warning",
                    f"the worker of experiment {active.job.experiment_id} {ended.describe()} after it finished",
                )
        self._record.end(active.job, status=active.done, missing=missing)
        error = missing.error if missing else active.done["error"] if active.done else None
        if outcome != "failed" or not self._try_again(active, str(error), was_lost=ended.lost and missing is not None):
            self._settle(active.job.experiment_id, outcome)

    def _settle(self, experiment_id: int, outcome: Outcome) -> None:
        self._retries.forget(experiment_id)
        setattr(self.counts, outcome, getattr(self.counts, outcome) + 1)
        if self._ended is not None:
            self._ended(experiment_id, outcome)

    def _try_again(self, active: _Active, error: str, *, was_lost: bool) -> bool:
        """Has a failed experiment wait for another try, where it gets one."""
        limit_s = active.job.time_limit_s
        # More time is what it would need.
        for_time = active.asked_to_stop == "time_limit" or (limit_s is not None and error == time_limit_error(limit_s))
        if self.interrupted or for_time:
            return False
        experiment_id = active.job.experiment_id
        retry = self._retries.after(experiment_id, error, was_lost=was_lost, label=active.job.device_label)
        if retry is None:
            return False
        self._record.note("warning", f"experiment {experiment_id} {retry.why}")
        if retry.how == "alone":
            self._slots.keep(active.slot)
            self._waiting_alone.append(_Alone(experiment_id, active.slot))
        else:
            self._again.append(experiment_id)
        return True

    @property
    def _has_waiting(self) -> bool:
        return self._postponed is not None or bool(self._again or self._waiting_alone)

    def _give_up_retries(self) -> None:
        """Lets experiments that wait for another try stay as failed as they are."""
        waiting = [*self._again, *(each.experiment_id for each in self._waiting_alone)]
        if self._postponed is not None and self._retries.has_failed(self._postponed):
            waiting.append(self._postponed)
        for experiment_id in waiting:
            self._settle(experiment_id, "failed")

    def _fill(self, executor: Executor) -> None:
        if not self.interrupted:
            self._start_alone(executor)
        while not self.interrupted and (slot := self._slots.first_free()) is not None:
            experiment_id = self._next_experiment()
            if experiment_id is None or not self._start(executor, experiment_id, slot):
                return

    def _start_alone(self, executor: Executor) -> None:
        """Submits experiments that are to be alone to their former slots, where nothing else runs there any more."""
        for alone in list(self._waiting_alone):
            if self._slots.is_idle(alone.slot) and (not self._lacks_space or self._clock() >= self._retry_at):
                if not self._start(executor, alone.experiment_id, alone.slot, is_alone=True):
                    return
                self._waiting_alone.remove(alone)

    def _start(self, executor: Executor, experiment_id: int, slot: int, *, is_alone: bool = False) -> bool:
        """Submits an experiment to a free slot; False where it has to wait for space on the disk."""
        try:
            job = self._prepare(experiment_id, self._slots.devices(slot))
        except NoSpaceError as error:
            if not self._lacks_space:
                self._record.note("error", f"no further experiment starts until there is space again: {error}")
            self._lacks_space, self._retry_at = True, self._clock() + _NO_SPACE_RETRY_S
            self._postponed = self._postponed if is_alone else experiment_id
            return False
        self._lacks_space = False
        self._postponed = self._postponed if is_alone else None
        self._slots.take(slot)
        active = self._active[job.job_id] = _Active(job, slot, oom_kills(), is_alone=is_alone)
        executor.submit(job)
        if self.interrupted:  # since it was prepared, when there was nothing to stop yet
            self._ask_to_stop(executor, active, "interrupt")
        return True

    def _next_experiment(self) -> int | None:
        if self._postponed is None:
            return self._again.popleft() if self._again else self._source()
        return self._postponed if self._clock() >= self._retry_at else None

    def _say_that_it_stops(self) -> None:
        if self.interrupted and self._active and not self._has_said_so:
            self._has_said_so = True
            self._record.note(
                "warning",
                "stopping: running experiments save a checkpoint and end at their next step; asked again, at once",
            )

    def _set_rung(self, active: _Active, at: float) -> None:
        active.act_at = at
        heapq.heappush(self._rungs, (at, active.job.job_id))

    def _next_due(self) -> _Active | None:
        """Gives the job whose rung comes first, without looking at those of all the others."""
        while self._rungs:
            # Taken out before it is looked at: a signal handler may put another one on top meanwhile.
            rung = heapq.heappop(self._rungs)
            active = self._active.get(rung[1])
            if active is not None and active.act_at == rung[0]:
                heapq.heappush(self._rungs, rung)
                return active
        return None

    def _seconds_to_next_rung(self) -> float:
        due = self._next_due()
        return _LONGEST_WAIT_S if due is None or due.act_at is None else max(0.0, due.act_at - self._clock())

    def _climb(self, executor: Executor) -> None:
        """Goes one rung up the ladder with each job that is due: ask to stop, then kill."""
        now = self._clock()
        while (active := self._next_due()) is not None and active.act_at is not None and active.act_at <= now:
            active.act_at = None
            if active.asked_to_stop is None and active.done is None:
                self._ask_to_stop(executor, active, "time_limit")
            else:
                active.killed = True
                executor.kill(active.job.job_id)

    def _ask_to_stop(self, executor: Executor, active: _Active, reason: StopReason) -> None:
        if active.asked_to_stop is None and active.done is None:
            active.asked_to_stop = reason
            self._set_rung(active, self._clock() + self._limits.grace_s)
            executor.stop(active.job.job_id, reason)


def _outcome(done: dict[str, Any]) -> Outcome:
    if done.get("interrupted"):
        return "interrupted"
    return "succeeded" if done.get("error") is None else "failed"


def _lost_end(active: _Active, ended: Exit) -> LostEnd:
    interrupted = False
    if active.asked_to_stop == "time_limit":
        assert active.job.time_limit_s is not None
        error = time_limit_error(active.job.time_limit_s)
    else:
        error = f"worker {ended.describe()}"
        ours = ended.signal is None or ended.signal in (STOP_SIGNAL, BATCH_SIGNAL, _SIGKILL)
        interrupted = active.asked_to_stop == "interrupt" and ours
        if ended.signal == _SIGKILL and not active.killed and oom_kills() > active.oom_kills_before:
            error += f"; {KERNEL_KILLED}: run fewer processes, or smaller batches"
    return LostEnd(error=error, exit_signal=ended.signal_name, interrupted=interrupted, started_at=active.started_at)
