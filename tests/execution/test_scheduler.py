"""Who runs when and where, the ladder of stop and kill, counts that add up; with an executor and clock of straw."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mlgym.errors import RunError
from mlgym.execution import scheduler as scheduler_module
from mlgym.execution.devices import Slot
from mlgym.execution.executor import Executor, StopReason
from mlgym.execution.job import Exit, Job
from mlgym.execution.scheduler import (
    Counts,
    Limits,
    LostEnd,
    NoSpaceError,
    Record,
    Scheduler,
    in_order,
)


class Straw(Executor, Record):
    """An executor that does what the test says, one thing per poll, a clock that moves with it, and a record."""

    def __init__(self, *, capacity: int = 2, seconds_per_poll: float = 1.0) -> None:
        self.now = 0.0
        self.seconds_per_poll = seconds_per_poll
        self.slots: list[Slot] = [(f"cuda:{number}",) for number in range(capacity)]
        self.scheduler: Scheduler
        self.running: dict[str, Job] = {}
        self.submitted: list[tuple[int, str]] = []
        self.stops: list[tuple[float, str, str]] = []
        self.kills: list[tuple[float, str]] = []
        self.ends: list[tuple[int, Any, LostEnd | None]] = []
        self.notes: list[str] = []
        self.script: deque[Callable[[], None]] = deque()
        self.then: Callable[[], None] = self.succeed_all
        self.most_running = 0

    @property
    def capacity(self) -> int:
        return len(self.slots)

    def schedule(
        self, num_experiments: int, *, limits: Limits | None = None, prepare: Callable[[int, Slot], Job] | None = None
    ) -> Counts:
        """Runs a scheduler on this executor."""
        self.scheduler = Scheduler(
            in_order(num_experiments),
            prepare or (lambda experiment_id, slot: straw_job(experiment_id, slot, limits)),
            slots=self.slots,
            record=self,
            limits=limits or Limits(),
            clock=lambda: self.now,
        )
        self.scheduler.run(self)
        return self.scheduler.counts

    def submit(self, job: Job) -> None:
        self.running[job.job_id] = job
        self.submitted.append((job.experiment_id, job.device))
        self.most_running = max(self.most_running, len(self.running))

    def poll(self, timeout_s: float) -> None:
        assert timeout_s >= 0
        self.now += self.seconds_per_poll
        (self.script.popleft() if self.script else self.then)()

    def stop(self, job_id: str, reason: StopReason) -> None:
        self.stops.append((self.now, job_id, reason))

    def kill(self, job_id: str) -> None:
        self.kills.append((self.now, job_id))

    def close(self) -> None:
        pass

    def tell(self, job_id: str, **status: Any) -> None:
        self.scheduler.on_events(job_id, [json.dumps(status).encode()])

    def exit(self, job_id: str, **ended: Any) -> None:
        del self.running[job_id]
        self.scheduler.on_exit(job_id, Exit(**ended))

    def start(self, job_id: str) -> None:
        self.scheduler.on_started(job_id)
        self.tell(job_id, status="RUNNING", starting_time=7.0)

    def succeed(self, job_id: str) -> None:
        self.tell(job_id, status="DONE", error=None)
        self.exit(job_id, code=0)

    def succeed_all(self) -> None:
        for job_id in list(self.running):
            self.succeed(job_id)

    def take_events(self, job: Job, lines: list[bytes]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in lines]

    def take_output(self, job: Job | None, stream: str, lines: list[str]) -> None:
        pass

    def note(self, level: str, message: str) -> None:
        self.notes.append(message)

    def end(self, job: Job, *, status: dict[str, Any] | None, missing: LostEnd | None) -> None:
        self.ends.append((job.experiment_id, status, missing))

    def tick(self) -> float:
        return 0.0


def straw_job(experiment_id: int, slot: Slot, limits: Limits | None = None) -> Job:
    return Job(
        run_id="run",
        experiment_id=experiment_id,
        job_id=f"run-{experiment_id}",
        run_dir="/",
        config={},
        device=slot[0],
        time_limit_s=limits.time_limit_s if limits else None,
    )


def test_experiments_start_in_order_and_slots_are_kept() -> None:
    """Never more at once than slots; each slot's device is used by one experiment at a time; all succeed."""
    straw = Straw(capacity=3)
    straw.then = lambda: straw.succeed(next(iter(straw.running)))
    counts = straw.schedule(10)
    assert [experiment_id for experiment_id, _ in straw.submitted] == list(range(10))
    assert straw.most_running == 3
    assert [device for _, device in straw.submitted[:5]] == ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]
    assert counts == Counts(succeeded=10)


def test_a_grid_is_pulled_not_materialised() -> None:
    """Of 100,000 experiments only as many are asked for as have run or run; skipped ones are not asked for at all."""
    source = in_order(100_000, skip={0, 1, 3})
    asked: list[int] = []

    def counting() -> int | None:
        asked.append(source() or 0)
        return asked[-1]

    straw = Straw(capacity=4)
    straw.scheduler = Scheduler(
        counting, straw_job, slots=straw.slots, record=straw, limits=Limits(), clock=lambda: straw.now
    )
    straw.script.extend([straw.succeed_all, straw.scheduler.interrupt])
    straw.scheduler.run(straw)
    assert asked == [2, 4, 5, 6, 7, 8, 9, 10]
    assert straw.scheduler.counts == Counts(succeeded=8)


def test_a_source_may_wait_for_results() -> None:
    """A source that has nothing yet is asked again when an experiment ended."""
    straw = Straw()
    ready: list[int | None] = [0, None, 1, None, None]
    straw.scheduler = Scheduler(
        lambda: ready.pop(0), straw_job, slots=straw.slots, record=straw, limits=Limits(), clock=lambda: straw.now
    )
    straw.scheduler.run(straw)
    assert [experiment_id for experiment_id, _ in straw.submitted] == [0, 1]


@pytest.mark.parametrize(
    ("ended", "error", "exit_signal"),
    [
        ({"signal": 9}, "worker was killed by SIGKILL", "SIGKILL"),
        ({"signal": 11}, "worker was killed by SIGSEGV", "SIGSEGV"),
        ({"code": 3}, "worker exited with code 3 without finishing", None),
        ({"code": 0}, "worker exited with code 0 without finishing", None),
        ({"reason": "was lost: the fork server was killed by SIGKILL"}, None, None),
    ],
)
def test_an_end_without_word_is_told(ended: dict[str, Any], error: str | None, exit_signal: str | None) -> None:
    """A worker that ends without DONE fails with how it ended; the others go on."""
    straw = Straw()

    def act() -> None:
        straw.start("run-0")
        straw.exit("run-0", **ended)

    straw.script.append(act)
    assert straw.schedule(4) == Counts(succeeded=3, failed=1)
    experiment_id, status, missing = straw.ends[0]
    assert (experiment_id, status) == (0, None)
    assert missing == LostEnd(
        error=error or f"worker {ended['reason']}", exit_signal=exit_signal, interrupted=False, started_at=7.0
    )


def test_lack_of_memory_is_suspected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SIGKILL that nobody here sent is blamed on the kernel when it killed somebody meanwhile, else not."""
    for kills, suspected in [(iter([5, 5, 6, 6]), True), (iter([5, 5, 5, 5]), False)]:
        monkeypatch.setattr(scheduler_module, "oom_kills", lambda kills=kills: next(kills))
        straw = Straw()
        straw.script.append(partial(straw.exit, "run-0", signal=9))
        straw.schedule(2)
        assert straw.ends[0][2] is not None
        assert ("lack of memory" in straw.ends[0][2].error) is suspected


def test_own_end_counts_also_when_the_process_dies_afterwards() -> None:
    """A worker that told its end and then crashes keeps it; the crash is noted."""
    straw = Straw(capacity=1)

    def act() -> None:
        straw.tell("run-0", status="DONE", error=None)
        straw.exit("run-0", signal=11)

    straw.script.append(act)
    assert straw.schedule(2) == Counts(succeeded=2)
    assert straw.notes == ["the worker of experiment 0 was killed by SIGSEGV after it finished"]


def test_the_time_limit_climbs_from_stop_to_kill() -> None:
    """The limit counts from the first event; after it comes the stop, after the grace the kill; then it failed."""
    straw = Straw(capacity=1)
    straw.script.extend([lambda: straw.start("run-0")] + [lambda: None] * 20)
    straw.script.append(lambda: straw.exit("run-0", signal=9))
    counts = straw.schedule(2, limits=Limits(time_limit_s=5, grace_s=3))
    assert straw.stops == [(6.0, "run-0", "time_limit")]
    assert straw.kills == [(9.0, "run-0")]
    assert straw.ends[0][2] == LostEnd(
        error="exceeded its time limit of 5 s", exit_signal="SIGKILL", interrupted=False, started_at=7.0
    )
    assert counts == Counts(succeeded=1, failed=1)


def test_a_start_that_is_told_late_does_not_move_the_limit() -> None:
    """The first event and the start come by different ways, in any order."""
    straw = Straw(capacity=1)

    def act() -> None:
        straw.tell("run-0", status="RUNNING", starting_time=7.0)
        straw.scheduler.on_started("run-0")

    straw.script.extend([act] + [lambda: None] * 5 + [lambda: straw.exit("run-0", signal=15)])
    straw.schedule(1, limits=Limits(time_limit_s=5))
    assert [at for at, _, _ in straw.stops] == [6.0]


def test_a_worker_that_never_says_anything_is_ended_too() -> None:
    """Starting up is not counted as the experiment's time, but it is not endless either."""
    straw = Straw(capacity=1, seconds_per_poll=10)
    straw.script.append(lambda: straw.scheduler.on_started("run-0"))
    straw.script.extend([lambda: None] * 30)
    straw.script.append(lambda: straw.exit("run-0", signal=9))
    straw.schedule(1, limits=Limits(time_limit_s=5, grace_s=3))
    assert [at for at, _, _ in straw.stops] == [140.0]
    assert len(straw.kills) == 1


def test_a_finished_worker_that_does_not_end_is_killed() -> None:
    """After DONE a process has a moment to end; killed then, it has succeeded, and nobody is warned."""
    straw = Straw(capacity=1)
    straw.script.append(lambda: straw.tell("run-0", status="DONE", error=None))
    straw.script.extend([lambda: None] * 40)
    straw.script.append(lambda: straw.exit("run-0", signal=9))
    assert straw.schedule(1) == Counts(succeeded=1)
    assert straw.kills == [(31.0, "run-0")]
    assert straw.notes == []


def test_the_first_interrupt_stops_the_second_kills() -> None:
    """No experiment starts after the first; running ones are asked once; the second kills; nothing is counted twice."""
    straw = Straw(capacity=2)

    def end() -> None:
        straw.tell("run-0", status="DONE", error="interrupted", interrupted=True)
        straw.exit("run-0", code=1)
        straw.exit("run-1", signal=9)

    straw.script.append(lambda: straw.scheduler.interrupt())
    straw.script.append(lambda: straw.scheduler.interrupt())
    straw.script.append(end)
    counts = straw.schedule(10)
    assert [job_id for _, job_id, _ in straw.stops] == ["run-0", "run-1"]
    assert [job_id for _, job_id in straw.kills] == ["run-0", "run-1"]
    assert counts == Counts(interrupted=2)
    assert straw.scheduler.interrupted
    assert [note.partition(":")[0] for note in straw.notes] == ["stopping"]


def test_after_the_grace_an_interrupted_worker_is_killed() -> None:
    """One that does not stop is killed after the grace, and counts as interrupted; one that crashes has failed."""
    straw = Straw(capacity=2)
    straw.script.append(lambda: straw.scheduler.interrupt())
    straw.script.append(lambda: straw.exit("run-1", signal=11))
    straw.script.extend([lambda: None] * 8)
    straw.script.append(lambda: straw.exit("run-0", signal=9))
    assert straw.schedule(10, limits=Limits(grace_s=4)) == Counts(interrupted=1, failed=1)
    assert straw.kills == [(5.0, "run-0")]


def test_a_full_disk_postpones_the_next_experiment() -> None:
    """An experiment that cannot be prepared is tried again; running ones go on; it is told once."""
    straw = Straw(capacity=1)
    fails = iter([False, True, True, True, False, False])

    def prepare(experiment_id: int, slot: Slot) -> Job:
        if next(fails):
            raise NoSpaceError("no space left")
        return straw_job(experiment_id, slot)

    assert straw.schedule(3, prepare=prepare) == Counts(succeeded=3)
    assert [experiment_id for experiment_id, _ in straw.submitted] == [0, 1, 2]
    assert straw.notes == ["no further experiment starts until there is space again: no space left"]


def test_a_broken_executor_ends_the_run() -> None:
    """Its error goes up, and what ended before is counted."""
    straw = Straw(capacity=1)

    def break_down() -> None:
        straw.exit("run-1", reason="was never started")
        raise RunError("cannot")

    straw.script.extend([straw.succeed_all, break_down])
    with pytest.raises(RunError, match="cannot"):
        straw.schedule(3)
    assert straw.scheduler.counts == Counts(succeeded=1, failed=1)


def test_an_empty_run_ends_at_once() -> None:
    """Without experiments there is nothing to wait for."""
    assert Straw().schedule(0) == Counts()
