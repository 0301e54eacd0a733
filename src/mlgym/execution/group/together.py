"""Processes that `torchrun`, or another launcher, started together: one run, an experiment after the other in lockstep.

Rank 0 is the driver: it reads the config, writes run folder and log, and runs its share of each experiment in its own
process. The others learn from it which job comes next, run theirs, and tell how that went; they write nothing. All talk
through the store by which they found each other; each job has a process group of its own, so that the next one does
well after one that failed.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from mlgym.errors import Interrupted, RunError
from mlgym.events import Event, EventSink, JobStatus, Payload
from mlgym.execution.executor import Stream
from mlgym.execution.group.failure import RankEnd, cause_of, failure_of
from mlgym.execution.job import Job
from mlgym.execution.linux import hang_up, sockets
from mlgym.execution.output.printed import NUM_TAIL_LINES
from mlgym.execution.output.tap import tapped_output
from mlgym.execution.perform import describe_error, describe_traceback, load_entry, perform
from mlgym.execution.preserved_process import preserved_process
from mlgym.execution.stop_request import Killed, StopRequest
from mlgym.execution.stop_signals import stop_signals

# The others may compute for a while where rank 0 has failed already; a lost one never comes.
_GATHER_S: Final = 300.0
# The same where a signal has asked for an end, which `torchrun` sends when a rank is lost and follows up with SIGKILL.
_GATHER_STOPPED_S: Final = 10.0
# The store's own wait is deaf to signals, and tells of each wait that was in vain.
_ASK_EVERY_S: Final = 0.02
_LISTEN_S: Final = 0.5
_FAREWELL_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One of the processes that were started together.

    Args:
        rank: its number, in [0, size).
        size: how many there are, > 1.
        local_rank: its number among those of its machine.
        local_size: how many there are on its machine.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int


def standing(environment: Mapping[str, str] = os.environ) -> Standing | None:
    """Gives which of the processes that were started together this one is; None where it was started alone.

    Raises:
        RunError: the environment says some of it only.
    """
    if "RANK" not in environment or environment.get("WORLD_SIZE", "1") == "1":
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    values = {name: environment.get(name, "") for name in names}
    values["LOCAL_WORLD_SIZE"] = values["LOCAL_WORLD_SIZE"] or values["WORLD_SIZE"]
    if not all(value.isdecimal() for value in values.values()):
        raise RunError(
            f"RANK={values['RANK']} says that this is one of several processes, but LOCAL_RANK is "
            f"`{values['LOCAL_RANK']}` and WORLD_SIZE `{values['WORLD_SIZE']}`: start them by `torchrun`, or unset RANK"
        )
    rank, size, local_rank, local_size = (int(values[name]) for name in names)
    return Standing(rank=rank, size=size, local_rank=local_rank, local_size=local_size)


class _Message(msgspec.Struct):
    """What rank 0 tells the others: the next job, or that there is none."""

    job: Job | None = None


class _Answer(msgspec.Struct):
    """What another rank tells of its share of a job."""

    error: str | None = None
    stacktrace: str | None = None
    told_at: float = 0.0
    log_tail: list[str] = []


_leader: Leader | None = None
_num_sessions = 0


def leader() -> Leader | None:
    """Gives rank 0 of the processes that were started together, while it leads them; None in any other process."""
    return _leader


@contextmanager
def leading() -> Iterator[None]:
    """Leads the others while the body runs, where this is rank 0 of several; whatever happens, they end with it."""
    global _leader
    here = standing()
    if here is None or _leader is not None:
        yield
        return
    _leader = Leader(_Lockstep(here))
    try:
        yield
    finally:
        ended, _leader = _leader, None
        ended.dismiss()


def is_follower() -> bool:
    """Whether this process follows another one, which drives the run."""
    here = standing()
    return here is not None and here.rank > 0


def follow() -> Path | None:
    """Does what rank 0 says until it says that there is no more; see `is_follower`.

    Returns:
        The run folder; None where there was nothing to do.

    Raises:
        RunError: rank 0 is gone.
    """
    here = standing()
    assert here is not None
    return _Follower(_Lockstep(here)).run()


class _Lockstep:
    """The store through which the processes talk, with keys that nobody used before."""

    def __init__(self, here: Standing) -> None:
        from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined]  # where PyTorch has it

        global _num_sessions
        self.standing = here
        try:
            store, _, _ = next(rendezvous("env://", here.rank, here.size))
        except (RuntimeError, ValueError) as error:
            raise RunError(f"rank {here.rank} of {here.size} does not reach the others: {error}") from error
        start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self.store: Any = PrefixStore(f"mlgym/{start}/{_num_sessions}", store)
        _num_sessions += 1  # a program may make several runs, and all its processes make them alike

    def get(self, key: str, timeout_s: float) -> bytes | None:
        """Gives a value, waiting for it; None where it does not come in time.

        Raises:
            RunError: the store is gone, and rank 0 or `torchrun` with it.
        """
        give_up_at = time.monotonic() + timeout_s
        try:
            while not self.store.check([key]):
                if time.monotonic() >= give_up_at:
                    return None
                time.sleep(_ASK_EVERY_S)
            return bytes(self.store.get(key))
        except RuntimeError as error:  # all that it raises, of its connection too
            raise RunError(f"rank {self.standing.rank} has lost the others: {error}") from error

    @contextmanager
    def group(self, job: Job, number: int) -> Iterator[None]:
        """Has a process group of its own for a job, in which the body runs.

        Where the body fails, the others may wait for this rank, and would do so until their patience ends: leaving a
        group closes its connections only when nothing in the process refers to it any more, and what failed does.
        """
        from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # where PyTorch has it

        from mlgym.training import World

        here = self.standing
        world = World(here.rank, here.size, here.local_rank)
        before = sockets()
        world.open(job.device, store=PrefixStore(f"{number}/group", self.store))
        connections = {end: name for end, name in sockets().items() if before.get(end) != name}
        try:
            yield
        except BaseException as error:
            if isinstance(error, Interrupted):
                world.close()
            else:
                hang_up(connections)
                world.abandon()
            raise
        world.close()


class Leader:
    """Rank 0: gives the others their jobs.

    Attributes:
        lost: the ranks that did not come back from a job; with them no other job can be run.
    """

    def __init__(self, lockstep: _Lockstep) -> None:
        self.lost: list[int] = []
        self._lockstep = lockstep
        self._num_jobs = 0

    @property
    def standing(self) -> Standing:
        """How many there are."""
        return self._lockstep.standing

    def run(self, job: Job, sink: EventSink, stop: StopRequest) -> None:
        """Runs a job's entry in all processes, and returns when all of them are through with it.

        Raises:
            Interrupted: it ended because it was asked to.
            RankFailedError: another rank failed, and this one not at all or for its sake only.
            Exception: what the entry raises here.
        """
        number, own = self._tell(_Message(job)), None
        try:
            with self._lockstep.group(job, number):
                load_entry(job.entry)(job, sink, stop)
        except Killed:
            raise
        except BaseException as error:
            own = error
        ends = self._gather(number, stop)
        if own is not None and not isinstance(own, Interrupted):
            mine = RankEnd(rank=0, error=describe_error(own), stacktrace=describe_traceback(own), told_at=time.time())
            if cause_of([mine, *ends]) is mine:
                raise own
            ends.insert(0, mine)
        if ends:
            raise failure_of(ends, self.standing.size) from own
        if own is not None:
            raise own

    def dismiss(self) -> None:
        """Tells the others that there is no more; waits a little for them, since the store may be this process's."""
        with suppress(RunError, RuntimeError):
            number = self._tell(_Message())
            for rank in set(range(1, self.standing.size)) - set(self.lost):
                self._lockstep.get(_answer_key(number, rank), _FAREWELL_S)

    def _tell(self, message: _Message) -> int:
        number = self._num_jobs
        self._num_jobs += 1
        self._lockstep.store.set(_message_key(number), msgspec.json.encode(message).decode())
        return number

    def _gather(self, number: int, stop: StopRequest) -> list[RankEnd]:
        """Gives the ends of the others that failed or never came."""
        begin, found = time.monotonic(), []
        for rank in range(1, self.standing.size):
            data = self._lockstep.get(_answer_key(number, rank), _LISTEN_S)
            while data is None and time.monotonic() - begin < (_GATHER_STOPPED_S if stop.requested else _GATHER_S):
                data = self._lockstep.get(_answer_key(number, rank), _LISTEN_S)
            if data is None:
                self.lost.append(rank)
                found.append(RankEnd(rank=rank))
                continue
            answer = msgspec.json.decode(data, type=_Answer)
            if answer.error is not None:
                found.append(
                    RankEnd(
                        rank=rank,
                        error=answer.error,
                        stacktrace=answer.stacktrace,
                        told_at=answer.told_at,
                        log_tail=tuple(answer.log_tail),
                    )
                )
        return found


class _Follower:
    """Another rank: runs its share of what rank 0 says. What is printed goes where the launcher has it go."""

    def __init__(self, lockstep: _Lockstep) -> None:
        self._lockstep = lockstep
        self._stop: StopRequest | None = None
        self._num_signals = 0

    def run(self) -> Path | None:
        number, run_dir = 0, None
        with stop_signals(self._take_signal):
            while (job := self._next_job(number)) is not None:
                run_dir = Path(job.run_dir)
                self._answer(number, self._run(job, number))
                number += 1
            self._answer(number, _Answer())
        return run_dir

    def _next_job(self, number: int) -> Job | None:
        asked_at: float | None = None
        while True:
            data = self._lockstep.get(_message_key(number), _LISTEN_S)
            if data is not None:
                return msgspec.json.decode(data, type=_Message).job
            # Rank 0 got the signal too, and ends the run; where it is gone, there is nobody to wait for.
            asked_at = asked_at or (time.monotonic() if self._num_signals else None)
            if asked_at is not None and time.monotonic() - asked_at > _FAREWELL_S:
                raise RunError("rank 0 does not answer any more")

    def _run(self, job: Job, number: int) -> _Answer:
        end, tail = _EndSink(), deque[str](maxlen=NUM_TAIL_LINES)
        stop = self._stop = StopRequest()
        if self._num_signals:
            stop.request(out_of_time=False)

        def keep(stream: Stream, lines: list[str]) -> None:
            tail.extend(lines)

        def entry(job: Job, _: EventSink, stop: StopRequest) -> None:
            with self._lockstep.group(job, number):
                load_entry(job.entry)(job, end, stop)

        own = msgspec.structs.replace(job, device=job.devices[self._lockstep.standing.rank])
        with suppress(Killed), preserved_process(uses_torch=True):
            perform(own, end, stop, tapped_output(keep, passes_on=True), entry)
        self._stop = None
        done = end.done
        if done is None or done.interrupted:
            return _Answer()
        return _Answer(error=done.error, stacktrace=done.stacktrace, told_at=done.finishing_time, log_tail=list(tail))

    def _answer(self, number: int, answer: _Answer) -> None:
        with suppress(RuntimeError):
            key = _answer_key(number, self._lockstep.standing.rank)
            self._lockstep.store.set(key, msgspec.json.encode(answer).decode())

    def _take_signal(self) -> None:
        self._num_signals += 1
        if self._stop is None:
            return
        if self._num_signals > 1:
            raise Killed
        self._stop.request(out_of_time=False)


class _EndSink(EventSink):
    """Keeps the end of a job and drops all else, which rank 0 tells."""

    def __init__(self) -> None:
        self.done: JobStatus | None = None

    def emit(self, payload: Payload) -> None:
        if isinstance(payload, JobStatus) and payload.status == "DONE":
            self.done = payload

    def emit_event(self, event: Event) -> None:
        self.emit(event.payload)


def _message_key(number: int) -> str:
    return f"{number}/job"


def _answer_key(number: int, rank: int) -> str:
    return f"{number}/answer/{rank}"
