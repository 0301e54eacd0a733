"""The hub's read side: restart, the table of experiments, curves, the list of runs, and what values cost in memory.

*Server* is the CPU time from the call of a query to its encoded answer, within this process; *HTTP* is the wall time of
a request to `ml_board_rest_endpoint` in a process of its own, until the answer is there. Logs are in the page cache, as
they are on a machine that has just written them; each restart begins with an empty memory, the first one also without
snapshots.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from mlgym.events import (
    EvaluationResult,
    EventLog,
    ExperimentConfig,
    JobStatus,
    LossScore,
    MetricScore,
    Payload,
    Producer,
)
from mlgym.events.fold import RunState
from mlgym.events.quick import Evaluation, MetricOfLine
from mlgym.server.api.models.curves import MetricQuery
from mlgym.server.api.reads import Reads
from mlgym.server.api.run_list import RunQuery
from mlgym.server.notes_log import NotesLog
from mlgym.server.store import HubStore
from mlgym.server.trash import Trash
from report import print_rows, verdict
from scratch import scratch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.server.service import Service

RUN_ID = "2026-11-23--16-14-30"
NUM_METRICS = 10
wall = time.perf_counter
ALL_RUNS = RunQuery(search=None, status=[], tag=[], sort="created_at", order="desc", limit=1000, offset=0)
ALL_ROWS: dict[str, Any] = {
    "at": None, "text": None, "sort": "experiment_id", "order": "asc", "limit": 10_000, "offset": 0, "metrics": None,
}  # fmt: skip


def evaluation(run_id: str, experiment_id: int, epoch: int, num_metrics: int) -> EvaluationResult:
    """Gives an evaluation with so many values, one of them a loss."""
    return EvaluationResult(
        grid_search_id=run_id,
        experiment_id=experiment_id,
        epoch=epoch,
        step=epoch * 30,
        metric_scores=[MetricScore(f"metric_{i}", "val", 0.9 + epoch * 1e-7 + i / 100) for i in range(num_metrics - 1)],
        loss_scores=[LossScore("cross_entropy", "val", 1.0 / (epoch + 1 + experiment_id))],
    )


def payloads(run_id: str, num_experiments: int, num_epochs: int, num_metrics: int) -> Iterator[Payload]:
    """Yields a run whose experiments take turns, epoch by epoch."""
    for number in range(num_experiments):
        swept = {"optimizer.lr": 10 ** -(1 + number % 5), "model.width": number}
        strategy = {"use": "keep_best", "metric": "val/metric_1", "best": "max"}
        components = {"optimizer": {"use": "adam", "lr": swept["optimizer.lr"]}, "model": {"use": "mlp", "hidden": [8]}}
        config = {"components": components, "experiment": {"use": "training", "checkpoints": strategy}}
        yield ExperimentConfig(grid_search_id=run_id, experiment_id=number, job_id="j", config=config, swept=swept)
        yield JobStatus(job_id="j", status="RUNNING", grid_search_id=run_id, experiment_id=number, starting_time=1.0)
    for epoch in range(1, num_epochs + 1):
        for number in range(num_experiments):
            yield evaluation(run_id, number, epoch, num_metrics)


def write_run(storage: Path, run_id: str, num_experiments: int, num_epochs: int, num_metrics: int) -> int:
    """Writes the log of such a run and gives its number of events."""
    (storage / run_id).mkdir(parents=True)
    producer, group = Producer(), []
    with EventLog.open(storage / run_id / "event_storage.log", fsync=False) as log:
        for payload in payloads(run_id, num_experiments, num_epochs, num_metrics):
            group.append(producer.encode(payload))
            if len(group) == 10_000:
                log.append(group)
                group = []
        log.append(group)
        return log.num_events


def reads_over(storage: Path) -> Reads:
    """Gives a read side with nothing in its memory, whose list waits for every log."""
    store, notes = HubStore(storage), NotesLog(storage)
    return Reads(store, notes, Trash(store, notes), at_once_bytes=2**62)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Gives wall and CPU time of one call in s."""
    gc.collect()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def in_ms(work: Callable[[], Any], num_rounds: int, clock: Callable[[], float] = time.process_time) -> float:
    """Gives the median time of a call in ms: of this process, or by another clock."""
    found = []
    for _ in range(num_rounds):
        started = clock()
        work()
        found.append(clock() - started)
    return 1e3 * statistics.median(found)


@contextmanager
def served(storage: Path) -> Iterator[httpx.Client]:
    """Gives a client of a REST service in a process of its own."""
    with (
        Service(storage) as service,
        httpx.Client(base_url=f"{service.url}/api/v1", trust_env=False, timeout=120) as client,
    ):
        yield client


def restart_rows(num_experiments: int, num_epochs: int) -> list[dict[str, Any]]:
    """Measures how long the first answer takes after a start."""
    with scratch() as storage:
        num_events = write_run(storage, RUN_ID, num_experiments, num_epochs, 3)
        size_mb = (storage / RUN_ID / "event_storage.log").stat().st_size / 1e6
        table = f"Restart with a run of {num_events:,} events, {size_mb:,.0f} MB, {num_experiments} experiments"
        found = []

        def measure(what: str, goal_s: float) -> None:
            reads = reads_over(storage)
            wall_s, cpu_s = timed(lambda: reads.experiments(RUN_ID, **ALL_ROWS))
            found.append({"table": table, "first table after": what, "s": f"{wall_s:.2f}", "s CPU": f"{cpu_s:.2f}",
                          "goal": verdict(cpu_s, goal_s, " s CPU")})  # fmt: skip
            reads.close()

        measure("reading the log, no snapshot", 6.0)
        (snapshot,) = (storage / ".cache").glob("*.snapshot")
        snapshot_mb = snapshot.stat().st_size / 1e6
        measure(f"loading the snapshot, {snapshot_mb:,.0f} MB", 1.0)
        producer = Producer()
        with EventLog.open(storage / RUN_ID / "event_storage.log", fsync=False) as log:
            log.append([producer.encode(evaluation(RUN_ID, 0, num_epochs + 1 + i, 3)) for i in range(1000)])
        measure("the snapshot, and 1,000 events since", 1.0)
        return found


def table_rows(num_experiments: int, num_rounds: int) -> list[dict[str, Any]]:
    """Measures the table of many experiments with ten metrics."""
    with scratch() as storage:
        num_events = write_run(storage, RUN_ID, num_experiments, 10, NUM_METRICS)
        reads, path = reads_over(storage), storage / RUN_ID / "event_storage.log"
        answer = reads.experiments(RUN_ID, **ALL_ROWS)
        producer, epoch = Producer(), 10
        found = []

        def query(**changes: Any) -> None:
            reads.experiments(RUN_ID, **{**ALL_ROWS, **changes})

        def after_an_event() -> float:
            nonlocal epoch
            epoch += 1
            with EventLog.open(path, fsync=False) as log:
                log.append([producer.encode(evaluation(RUN_ID, epoch % num_experiments, epoch, NUM_METRICS))])
            return in_ms(query, 1)

        def add(what: str, server_ms: float, goal_ms: float | None = None) -> None:
            goal = verdict(server_ms, goal_ms, " ms") if goal_ms else ""
            found.append({
                "table": f"Latest and best values of {num_experiments:,} experiments x {NUM_METRICS} metrics, "
                         f"{len(answer.body) / 1e6:.1f} MB of JSON",
                "what": what, "ms": f"{server_ms:.1f}", "goal": goal,
            })  # fmt: skip

        query_text = "lr<0.01 and val/metric_3>0.5 or status:failed"
        add("server, nothing new", in_ms(query, num_rounds), 10.0)
        add("server, after one event", statistics.median(after_an_event() for _ in range(num_rounds)), 10.0)
        add("server, filtered and sorted", in_ms(lambda: query(text=query_text, sort="val/metric_1"), num_rounds))
        add("server, 100 of them", in_ms(lambda: query(limit=100), num_rounds))
        moments = iter(range(num_events // 2, num_events // 2 + num_rounds))
        add("server, as of an event asked for first", in_ms(lambda: query(at=next(moments)), num_rounds))
        with served(storage) as client:
            client.get(f"/runs/{RUN_ID}/experiments")
            add("HTTP, nothing new", in_ms(lambda: client.get(f"/runs/{RUN_ID}/experiments"), num_rounds, wall))
        return found


def curve_rows(num_experiments: int, num_points: int, num_rounds: int) -> list[dict[str, Any]]:
    """Measures one metric of many experiments, thinned."""
    with scratch() as storage:
        write_run(storage, RUN_ID, num_experiments, num_points, 1)
        reads = reads_over(storage)
        found = []

        def add(what: str, work: Callable[[], Any], size: int, clock: Callable[[], float] = time.process_time) -> None:
            table = f"One metric of {num_experiments} experiments x {num_points:,} points, thinned to 1,000 each"
            ms = in_ms(work, num_rounds, clock)
            found.append({"table": table, "what": what, "ms": f"{ms:.0f}", "MB": f"{size / 1e6:.1f}"})

        key = "val/cross_entropy"
        for method in ("minmax", "lttb"):
            for form in ("json", "binary"):
                query = MetricQuery(keys=[key], method=method, format=form)
                size = len(reads.metrics(RUN_ID, query).body)
                add(f"server, {method}, {form}", lambda query=query: reads.metrics(RUN_ID, query), size)
        whole = MetricQuery(keys=[key], points=num_points, format="binary")
        size = len(reads.metrics(RUN_ID, whole).body)
        add("server, every point, binary", lambda: reads.metrics(RUN_ID, whole), size)
        reads.close()
        with served(storage) as client:
            body = {"keys": [key], "format": "binary"}
            size = len(client.post(f"/runs/{RUN_ID}/metrics", json=body).content)
            add("HTTP, minmax, binary", lambda: client.post(f"/runs/{RUN_ID}/metrics", json=body), size, wall)
        return found


def list_rows(num_runs: int, num_rounds: int) -> list[dict[str, Any]]:
    """Measures the list of many runs with ten metrics each."""
    with scratch() as storage:
        for number in range(num_runs):
            write_run(storage, f"run-{number:04}", 1, 5, NUM_METRICS)
        found = []

        def add(what: str, ms: float) -> None:
            table = f"The list of {num_runs:,} runs with latest and best of {NUM_METRICS} metrics"
            found.append({"table": table, "what": what, "ms": f"{ms:,.0f}"})

        reads = reads_over(storage)
        add("server, first time: every log is read", 1e3 * timed(lambda: reads.runs(ALL_RUNS, trash=False))[1])
        add("server, nothing new", in_ms(lambda: reads.runs(ALL_RUNS, trash=False), num_rounds))
        reads.close()
        again = reads_over(storage)
        add("server, first time after a restart", 1e3 * timed(lambda: again.runs(ALL_RUNS, trash=False))[1])
        with served(storage) as client:
            client.get("/runs")
            add("HTTP, nothing new", in_ms(lambda: client.get("/runs", params={"limit": 1000}), num_rounds, wall))
        return found


def memory_rows(num_points: int) -> list[dict[str, Any]]:
    """Measures what values take in memory, in a process of its own."""
    command = [sys.executable, __file__, "--fill", str(num_points)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return [{
        "table": "Memory of values, with epoch, step, time and event of each",
        "what": f"{num_points:,} values, {NUM_METRICS} at a time",
        "MB": f"{grown / 1e6:,.0f}", "bytes each": f"{grown / num_points:.1f}",
    }]  # fmt: skip


def fill(num_points: int) -> None:
    """Fills a state with values and prints by how many bytes this process grew."""
    scores = [MetricOfLine("val", f"metric_{i}", 0.5) for i in range(NUM_METRICS)]
    state = RunState()
    before = resident_bytes()
    for event_id in range(num_points // NUM_METRICS):
        experiment = state._experiment(event_id % 100)
        experiment.event_id = event_id
        epoch = event_id // 100
        experiment.measure(Evaluation(experiment.experiment_id, epoch, epoch * 30, scores, []), 1.0)
    sys.stdout.write(str(resident_bytes() - before))


def resident_bytes() -> int:
    """Gives the memory of this process that lies in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives all results, one dict a row; `table` says which rows belong together."""
    num_rounds = 5 if quick else 25
    found = restart_rows(100, 300 if quick else 10_000)
    found += table_rows(100 if quick else 1000, num_rounds)
    found += curve_rows(10 if quick else 100, 1000 if quick else 10_000, 3 if quick else 9)
    found += list_rows(50 if quick else 1000, 3 if quick else 9)
    return found + memory_rows(100_000 if quick else 10_000_000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller logs")
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.fill:
        fill(chosen.fill)
    else:
        print_rows(rows(quick=chosen.quick))
