"""What one driver costs as slots and experiments grow: fake experiments through the real scheduler, journal and log.

A fake executor stands where processes or a cluster would. Its experiments live on a simulated clock, on which the
scheduler and the journal run too: each sends the events of a short training, encoded as a worker encodes them, about a
hundred a minute, so that 10,000 of them at a time send a million. The clock goes from event to event, as fast as the
driver takes them in. Everything else is real: configs are resolved and written, jobs are prepared, events are checked,
folded and appended in groups that are synced to the disk.

Each case runs in a process of its own, its run folder in memory, so that the numbers are the driver's and not the
disk's, which `event_log` measures. What the fake itself costs, encoding above all, is measured and taken off.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digits_sweep import digits_sweep
from mlgym.config import check
from mlgym.events import EventLog, JobStatus, Payload, Producer
from mlgym.events.types import (
    CheckpointDeleted,
    CheckpointSaved,
    Digest,
    EvaluationResult,
    ExperimentStatus,
    LossScore,
    MetricScore,
    SystemMetrics,
)
from mlgym.execution import RunOptions
from mlgym.execution.driver import Driver, Places
from mlgym.execution.executor import Executor, Handler, StopReason
from mlgym.execution.job import Exit, Job
from mlgym.execution.journal import Journal
from mlgym.execution.options import WorkerCode
from mlgym.execution.scheduler import Limits, Scheduler, in_order
from mlgym.tracking import create_run_folder
from report import verdict

NUM_EPOCHS = 10
EVENTS_A_MINUTE = 100.0
"""Of one experiment: a million of 10,000."""
SPLITS = ("train", "val", "test")
GROWTH_GOAL = 1.5
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class FakeExperiments(Executor):
    """Runs nothing, and tells what experiments would tell, when they would.

    Attributes:
        now: the simulated time, in s.
        own_s: CPU time that went into making events, in s.
        num_events, num_bytes: what it told.
    """

    def __init__(self, num_slots: int) -> None:
        self.handler: Handler
        self.now = 0.0
        self.own_s = 0.0
        self.num_events = self.num_bytes = 0
        self._num_slots = num_slots
        self._chance = random.Random(0)
        self._lives: dict[str, Iterator[list[Payload] | None]] = {}
        self._producers: dict[str, Producer] = {}
        self._due: list[tuple[float, str]] = []

    def clock(self) -> float:
        """Gives the simulated time, in s."""
        return self.now

    @property
    def capacity(self) -> int:
        """As many as it was made for."""
        return self._num_slots

    def submit(self, job: Job) -> None:
        """Begins the life of an experiment, a little later than the others'."""
        begun = time.thread_time()
        self._lives[job.job_id], self._producers[job.job_id] = life(job), Producer()
        heapq.heappush(self._due, (self.now + self._chance.random(), job.job_id))
        self.own_s += time.thread_time() - begun
        self.handler.on_started(job.job_id)

    def poll(self, timeout_s: float) -> None:
        """Goes on to the next event, or by the timeout, and tells what is due by then."""
        self.now = min(self.now + timeout_s, max(self.now, self._due[0][0]) if self._due else self.now + timeout_s)
        while self._due and self._due[0][0] <= self.now:
            begun = time.thread_time()
            _, job_id = heapq.heappop(self._due)
            payloads = next(self._lives[job_id], None)
            producer = self._producers[job_id]
            lines = [producer.encode(payload) for payload in payloads or ()]
            self.num_events += len(lines)
            self.num_bytes += sum(map(len, lines))
            if payloads is None:
                del self._lives[job_id], self._producers[job_id]
            else:
                pause = self._chance.uniform(0.5, 1.5) * len(lines) * 60 / EVENTS_A_MINUTE
                heapq.heappush(self._due, (self.now + pause, job_id))
            self.own_s += time.thread_time() - begun
            if payloads is None:
                self.handler.on_exit(job_id, Exit(code=0))
            else:
                self.handler.on_events(job_id, lines)

    def stop(self, job_id: str, reason: StopReason) -> None:
        """Nobody asks."""

    def kill(self, job_id: str) -> None:
        """Nobody asks."""

    def close(self) -> None:
        """Nothing is held."""


def life(job: Job) -> Iterator[list[Payload] | None]:
    """Yields what an experiment says at one moment after the other."""
    who: dict[str, Any] = {"grid_search_id": job.run_id, "experiment_id": job.experiment_id}
    status = JobStatus(
        job_id=job.job_id, status="RUNNING", starting_time=time.time(), device="cpu", attempt=job.attempt, **who
    )
    yield [status]
    for epoch in range(NUM_EPOCHS):
        for batch in (0, 100, 200):
            yield [
                ExperimentStatus(
                    status="train",
                    num_epochs=NUM_EPOCHS,
                    current_epoch=epoch,
                    splits=["train"],
                    current_split="train",
                    num_batches=250,
                    current_batch=batch,
                    **who,
                )
            ]
        step = 250 * (epoch + 1)
        name = f"{job.experiment_id}/checkpoints/epoch_{epoch}-step_{step}"
        yield [
            EvaluationResult(
                epoch=epoch + 1,
                step=step,
                metric_scores=[
                    MetricScore(metric, split, 1 - 0.5 / (epoch + 2))
                    for metric in ("accuracy", "f1_macro")
                    for split in SPLITS[1:]
                ],
                loss_scores=[LossScore("loss", split, 1 / (epoch + 1.1)) for split in SPLITS],
                **who,
            ),
            Digest(epoch=epoch + 1, step=step, parameters=HASH, optimizer=HASH, tensors=HASH, **who),
            SystemMetrics(steps_per_s=812.5, rss_bytes=412_000_000, cpu_percent=99.0, **who),
        ]
        if epoch % 2:
            files = {"model.safetensors": HASH, "optimizer.safetensors": HASH, "state.json": HASH}
            yield [
                CheckpointSaved(epoch=epoch, step=step, path=name, bytes=10**7, sha256=files, reasons=["last"], **who),
                *([CheckpointDeleted(epoch=epoch, step=step, path=name, **who)] if epoch > 1 else []),
            ]
    yield [
        JobStatus(
            job_id=job.job_id,
            status="DONE",
            starting_time=status.starting_time,
            finishing_time=time.time(),
            device="cpu",
            attempt=job.attempt,
            **who,
        )
    ]
    yield None


def measure(num_slots: int, num_experiments: int) -> dict[str, float]:
    """Gives what a run with that many slots and experiments costs its driver, in this process."""
    given = digits_sweep([1e-6 * (number + 1) for number in range(num_experiments)])
    space = check(given)
    fake = FakeExperiments(num_slots)
    options = RunOptions(processes=num_slots, time_limit_s=24 * 3600.0)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as storage:
        folder = create_run_folder(Path(storage), "run")
        places = Places(slots=[("cpu",)] * num_slots, threads=1, code=WorkerCode(), main_script=None)
        with EventLog.open(folder.log_path) as log:
            journal = Journal(log, "run", clock=fake.clock)
            driver = Driver(given, space, options, folder, journal, places)
            driver._course = driver._course_of((), lambda: None)
            prepare_s = [0.0]

            def prepare(experiment_id: int, devices: tuple[str, ...]) -> Job:
                begun = time.thread_time()
                job = driver._prepare(experiment_id, devices)
                prepare_s[0] += time.thread_time() - begun
                return job

            scheduler = Scheduler(
                in_order(num_experiments),
                prepare,
                slots=[("cpu",)] * num_slots,
                record=journal,
                limits=Limits(time_limit_s=options.time_limit_s),
                clock=fake.clock,
            )
            fake.handler = scheduler
            gc.collect()
            rss_before = resident_bytes()
            cpu_before = time.process_time()
            scheduler.run(fake)
            cpu_s = time.process_time() - cpu_before
            assert journal.close(30) is None
            assert scheduler.counts.succeeded == num_experiments
            assert log.num_events == fake.num_events + 2 * num_experiments
            gc.collect()
            rss_after = resident_bytes()
    return {
        "prepare_ms": 1e3 * prepare_s[0] / num_experiments,
        "event_us": 1e6 * (cpu_s - fake.own_s - prepare_s[0]) / fake.num_events,
        "events_a_second": fake.num_events / (cpu_s - fake.own_s),
        "event_bytes": fake.num_bytes / fake.num_events,
        "simulated_s": fake.now,
        "cpu_s": cpu_s - fake.own_s,
        "num_events": fake.num_events,
        "kept_bytes": (rss_after - rss_before) / num_experiments,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def resident_bytes() -> int:
    """Gives how much memory of this process is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def apart(num_slots: int, num_experiments: int) -> dict[str, float]:
    """Measures in a fresh process."""
    command = [sys.executable, __file__, "--case", str(num_slots), str(num_experiments)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives a row for each number of slots and of experiments, and what grows."""
    cases = [(20, 100), (100, 100)] if quick else [(100, 1000), (1000, 1000), (1000, 10000), (10000, 10000)]
    found = {case: apart(*case) for case in cases}
    first = found[cases[0]]
    measured = []
    for (num_slots, num_experiments), one in found.items():
        per_event, per_experiment = one["event_us"] / first["event_us"], one["prepare_ms"] / first["prepare_ms"]
        measured.append(
            {
                "table": "One driver, fake experiments on a simulated clock",
                "slots": f"{num_slots:,}",
                "experiments": f"{num_experiments:,}",
                "events": f"{one['num_events']:,.0f}",
                "CPU us per event": f"{one['event_us']:.1f}",
                "CPU ms to prepare an experiment": f"{one['prepare_ms']:.2f}",
                "events per CPU s": f"{one['events_a_second']:,.0f}",
                "log MB per CPU s": f"{one['events_a_second'] * one['event_bytes'] / 1e6:.1f}",
                "CPU s to simulated s": f"{one['cpu_s'] / one['simulated_s']:.2f}",
                "peak MB": f"{one['peak_bytes'] / 2**20:.0f}",
                "kept kB per experiment": f"{one['kept_bytes'] / 1000:.1f}",
                "per event, to the first": verdict_of(per_event),
                "per experiment, to the first": verdict_of(per_experiment),
            }
        )
    return measured


def verdict_of(ratio: float) -> str:
    """Gives a ratio, and whether it is small enough to say that nothing grows."""
    return f"{ratio:.2f} ({verdict(ratio, GROWTH_GOAL)})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few experiments; RESULTS.md is not written")
    parser.add_argument("--case", nargs=2, type=int, metavar=("SLOTS", "EXPERIMENTS"), help="one case, as JSON")
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measure(*given.case)))
    else:
        from report import print_rows

        print_rows(rows(quick=given.quick))
