"""What is tried again after a failure, how often and where; the rule alone, and in a scheduler of straw."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlgym.errors import RunError
from mlgym.events import read_log
from mlgym.execution import read_record
from mlgym.execution.devices import Slot
from mlgym.execution.job import Job
from mlgym.execution.out_of_memory import KERNEL_KILLED, is_out_of_memory
from mlgym.execution.retries import Retries, RetryLimits
from mlgym.execution.scheduler import Counts, Limits, NoSpaceError, Scheduler, in_order
from mlgym.tracking import RunFolder
from tests.execution.stand_ins import launch_straw
from tests.execution.test_scheduler import Straw, straw_job

OUT_OF_MEMORY = "rank 1: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (OUT_OF_MEMORY, True),
        ("MemoryError", True),
        ("RuntimeError: CUDA error: out of memory", True),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("DistBackendError: NCCL error: unhandled cuda error\nLast error:\nCuda failure 2 'out of memory'", True),
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory",
            True,
        ),
        (f"worker was killed by SIGKILL; {KERNEL_KILLED}: run fewer processes", True),
        ("worker was killed by SIGKILL", False),
        ("ValueError: 3 classes, but 2 outputs", False),
        (None, False),
    ],
)
def test_errors_that_mean_lacking_memory(error: str | None, is_one: bool) -> None:
    """PyTorch's own, those of libraries below it, the interpreter's and the kernel's."""
    assert is_out_of_memory(error) is is_one


def hows(limits: RetryLimits, *errors: str, was_lost: bool = False) -> list[str | None]:
    """How an experiment that fails with one error after the other is tried again each time."""
    retries = Retries(limits)
    found = [retries.after(3, error, was_lost=was_lost, label="cuda:0") for error in errors]
    return [None if retry is None else retry.how for retry in found]


def test_each_kind_of_end_has_its_own_count() -> None:
    """Failures as often as wanted, lacking memory once and then alone, losses as often as is set."""
    assert hows(RetryLimits(), "E", "E") == [None, None]
    assert hows(RetryLimits(failures=2), "E", "E", "E") == ["again", "again", None]
    assert hows(RetryLimits(), OUT_OF_MEMORY, OUT_OF_MEMORY) == ["alone", None]
    assert hows(RetryLimits(failures=1), OUT_OF_MEMORY, "E", OUT_OF_MEMORY) == ["alone", "alone", None]
    assert hows(RetryLimits(can_be_alone=False), OUT_OF_MEMORY, OUT_OF_MEMORY) == ["again", None]
    assert hows(RetryLimits(losses=2, failures=5), "E", "E", "E", was_lost=True) == ["again", "again", None]


class Again(Straw):
    """A scheduler of straw whose experiments fail as the test says, and that keeps who ran with whom."""

    def __init__(self, slots: Sequence[Slot], failures: dict[int, list[str]], **arguments: Any) -> None:
        super().__init__()
        self.slots = list(slots)
        self.failures = {number: deque(errors) for number, errors in failures.items()}
        self.arguments = arguments
        self.beside: dict[int, list[set[int]]] = {}
        self.then = self.end_oldest
        self.num_jobs = 0
        self.ended: list[tuple[int, str]] = []

    def run(self, num_experiments: int, prepare: Callable[[int, Slot], Job] | None = None) -> Counts:
        """Runs so many experiments."""
        self.scheduler = Scheduler(
            in_order(num_experiments),
            prepare or self.prepare,
            slots=self.slots,
            record=self,
            limits=Limits(),
            ended=lambda number, outcome: self.ended.append((number, outcome)),
            clock=lambda: self.now,
            **self.arguments,
        )
        self.scheduler.run(self)
        return self.scheduler.counts

    def prepare(self, experiment_id: int, slot: Slot) -> Job:
        """Makes a job with an id of its own, as each attempt has."""
        self.num_jobs += 1
        return msgspec.structs.replace(straw_job(experiment_id, slot), job_id=f"run-{self.num_jobs}")

    def submit(self, job: Job) -> None:
        super().submit(job)
        on_it = {each.experiment_id for each in self.running.values() if each.device == job.device}
        for each in on_it:
            self.beside.setdefault(each, []).append(on_it - {each})

    def end_oldest(self) -> None:
        """Ends the job that has run longest, with its next failure where it has one left."""
        job_id, job = next(iter(self.running.items()))
        errors = self.failures.get(job.experiment_id)
        self.tell(job_id, status="DONE", error=errors.popleft() if errors else None)
        self.exit(job_id, code=0)


def test_what_lacked_memory_is_tried_alone_on_its_device() -> None:
    """The others there end first, and nobody joins it; the other device goes on meanwhile; it ends once for all."""
    straw = Again([("cuda:0",), ("cuda:1",)] * 2, {0: [OUT_OF_MEMORY]})
    assert straw.run(9) == Counts(succeeded=9)
    assert straw.beside[0][-1] == set()  # of the last attempt nobody was beside
    assert straw.beside[0][0] == set()
    assert any(others for others in straw.beside[0])  # but of the first one
    assert [device for number, device in straw.submitted if number == 0] == ["cuda:0", "cuda:0"]
    again = [number for number, _ in straw.submitted].index(0, 1)
    assert any(device == "cuda:1" for _, device in straw.submitted[4:again])
    assert straw.notes == [f"experiment 0 ran out of memory and is tried again alone on cuda:0: {OUT_OF_MEMORY}"]
    assert sorted(straw.ended) == [(number, "succeeded") for number in range(9)]


def test_two_that_lack_memory_are_alone_one_after_the_other() -> None:
    """Both were beside each other; each has the device to itself now."""
    straw = Again([("cpu",)] * 3, {0: [OUT_OF_MEMORY], 1: [OUT_OF_MEMORY] * 2})
    assert straw.run(5) == Counts(succeeded=4, failed=1)
    assert straw.beside[0][-1] == straw.beside[1][-1] == set()
    assert (1, "failed") in straw.ended


def test_failures_are_tried_again_as_often_as_wanted() -> None:
    """Before experiments that have not started yet; the last failure counts."""
    straw = Again([("cpu",)], {0: ["E"], 1: ["E"] * 3}, retries=RetryLimits(failures=2))
    assert straw.run(3) == Counts(succeeded=2, failed=1)
    assert [number for number, _ in straw.submitted] == [0, 0, 1, 1, 1, 2]
    assert straw.notes[-1] == "experiment 1 failed and is tried again (2 of 2): E"


def test_what_waits_for_another_try_stays_failed_when_the_run_is_stopped() -> None:
    """It is counted, and whoever waits for it is told."""
    straw = Again([("cpu",)] * 2, {0: [OUT_OF_MEMORY]})
    straw.script.extend([straw.end_oldest, lambda: straw.scheduler.interrupt(), straw.end_oldest])
    assert straw.run(2) == Counts(succeeded=1, failed=1)
    assert straw.ended == [(1, "succeeded"), (0, "failed")]


def test_what_waits_for_another_try_stays_failed_when_the_executor_breaks_down() -> None:
    """The log says that it failed; a count of what has not started would say something else."""
    straw = Again([("cpu",)] * 2, {}, retries=RetryLimits(losses=1))

    def break_down() -> None:
        for job_id in list(straw.running):
            straw.exit(job_id, reason="was lost with its node", lost=True)
        raise RunError("cannot")

    straw.script.append(break_down)
    with pytest.raises(RunError, match="cannot"):
        straw.run(3)
    assert straw.scheduler.counts == Counts(failed=2)
    assert straw.ended == [(0, "failed"), (1, "failed")]


def test_what_waits_for_space_for_another_try_stays_failed_too() -> None:
    """Stopped while the disk is full, an experiment that failed before is not one that has not started."""
    straw = Again([("cpu",)], {0: ["E"]}, retries=RetryLimits(failures=1))

    def prepare(experiment_id: int, slot: Slot) -> Job:
        if straw.submitted:
            raise NoSpaceError("no space left")
        return straw.prepare(experiment_id, slot)

    straw.script.extend([straw.end_oldest, lambda: straw.scheduler.interrupt()])
    assert straw.run(2, prepare) == Counts(failed=1)


def test_a_real_experiment_is_alone_when_it_is_tried_again(tmp_path: Path) -> None:
    """It fails beside others, they end, it succeeds, those that waited come after; the log has both tries."""
    (tmp_path / "crowd").mkdir()
    summary = launch_straw(
        tmp_path / "storage", ["crowd"], num_experiments=5, processes=3, config={"crowd": str(tmp_path / "crowd")}
    )
    assert summary.counts == Counts(succeeded=5)
    events = [event for _, event in read_log(RunFolder(tmp_path / "storage", summary.run_id).log_path)]
    tries = [each["payload"] for each in events if each["event_type"] == "job_status"]
    own = [(each["status"], each["attempt"]) for each in tries if each["experiment_id"] == 0]
    assert own == [(status, attempt) for attempt in (0, 1) for status in ("INIT", "RUNNING", "DONE")]
    assert any("tried again alone on cpu: MemoryError" in str(each["payload"].get("message")) for each in events)


def test_failures_of_a_real_run_are_tried_again(tmp_path: Path) -> None:
    """`--retries 1` is enough for what fails once, and not for what fails for good; the option is recorded."""
    summary = launch_straw(tmp_path, ["fail_at_first", "fail"], retries=1)
    assert summary.counts == Counts(succeeded=1, failed=1)
    assert read_record(RunFolder(tmp_path, summary.run_id)).retries == 1


def test_a_full_disk_keeps_one_that_is_to_be_alone_waiting() -> None:
    """It is tried until there is space, and nothing starts twice."""
    straw = Again([("cpu",)] * 2, {0: [OUT_OF_MEMORY]})
    fails = deque([False, False, True, True, True])

    def prepare(experiment_id: int, slot: Slot) -> Job:
        if fails and fails.popleft():
            raise NoSpaceError("no space left")
        return straw.prepare(experiment_id, slot)

    straw.then = lambda: straw.end_oldest() if straw.running else None
    assert straw.run(2, prepare) == Counts(succeeded=2)
    assert [number for number, _ in straw.submitted] == [0, 1, 0]
