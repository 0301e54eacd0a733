"""What a process per experiment costs over a serial loop in one process, in CPU time of everybody involved.

The experiments are trivial: a tiny MLP (64-64-10), 20 steps on digits, one evaluation and a checkpoint. Each way runs a
few and many of them; the slope between the two is the cost of one experiment, what is paid once per run is left over as
the start. The serial loop and the forked processes take turns; medians are shown. Workers do what a user's experiments
do: each has a folder, a config, events in a synced log and a process of its own, by forking or, for comparison, by a
fresh interpreter.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from digits_sweep import ONE_SHORT_EPOCH, digits_sweep
from mlgym.config import Document, check, resolve
from mlgym.events import NullSink
from mlgym.execution import RunOptions, WorkerCode, launch
from mlgym.execution.preserved_process import preserved_process
from mlgym.training import ExperimentContext, prepare_process, run_experiment
from report import verdict

GOAL_MS = 100.0
NUM_PROCESSES = 2
Way = Callable[[int], None]


def document(num_experiments: int) -> Document:
    """A config with that many trivial experiments."""
    return digits_sweep([1e-3 * (number + 1) for number in range(num_experiments)], ONE_SHORT_EPOCH)


def in_a_loop(num_experiments: int) -> None:
    """One after the other in this process, without a log."""
    space = check(document(num_experiments))
    with tempfile.TemporaryDirectory() as folder, preserved_process(uses_torch=True):
        prepare_process(threads=1)
        for point in space:
            context = ExperimentContext("run", point.experiment_id, Path(folder), 0, "cpu", NullSink())
            run_experiment(resolve(point.config), context)


def in_processes(code: WorkerCode) -> Way:
    """As `mlgym run` does."""

    def run(num_experiments: int) -> None:
        given = document(num_experiments)
        with tempfile.TemporaryDirectory() as folder:
            options = RunOptions(storage=Path(folder), processes=NUM_PROCESSES)
            summary = launch(given, check(given), options, command=["benchmark"], code=code)
            assert summary.counts.succeeded == num_experiments, summary

    return run


def fresh_interpreters() -> WorkerCode:
    """A server that must not fork, since it has a thread; it imports nothing else."""
    return WorkerCode(preload=("benchmark_thread",), preload_if_installed=())


def cost(way: Way, num_experiments: int) -> tuple[float, float]:
    """Gives CPU time of this process and all its children, and wall time, in s."""

    def cpu_s() -> float:
        own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime

    before, started = cpu_s(), time.perf_counter()
    way(num_experiments)
    return cpu_s() - before, time.perf_counter() - started


def slope(way: Way, few: int, many: int) -> dict[str, float]:
    """Gives the cost of one experiment in ms, and what is paid once in s."""
    few_cpu, few_wall = cost(way, few)
    many_cpu, many_wall = cost(way, many)
    per_experiment = (many_cpu - few_cpu) / (many - few)
    return {
        "cpu_ms": 1000 * per_experiment,
        "wall_ms": 1000 * (many_wall - few_wall) / (many - few),
        "start_cpu_s": few_cpu - few * per_experiment,
    }


def medians(measured: list[dict[str, float]]) -> dict[str, float]:
    """Gives the median of each number."""
    return {key: statistics.median(one[key] for one in measured) for key in measured[0]}


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives a row per way; overhead is over the serial loop."""
    rounds, many = (1, 12) if quick else (5, 64)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "benchmark_thread.py").write_text(
            "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n"
        )
        sys.path.insert(0, folder)
        try:
            in_a_loop(2)  # what is imported and compiled on the way is paid once
            pairs = [(slope(in_a_loop, 4, many), slope(in_processes(WorkerCode()), 4, many)) for _ in range(rounds)]
            fresh = slope(in_processes(fresh_interpreters()), 1, 3)
        finally:
            sys.path.remove(folder)
    overheads = sorted(forked["cpu_ms"] - serial["cpu_ms"] for serial, forked in pairs)
    serial, forked = (medians([pair[which] for pair in pairs]) for which in (0, 1))
    ways = {
        "serial loop, one process, no log": (serial, None),
        f"a forked process each, {NUM_PROCESSES} at a time": (forked, statistics.median(overheads)),
        f"a fresh interpreter each, {NUM_PROCESSES} at a time, measured once": (
            fresh,
            fresh["cpu_ms"] - serial["cpu_ms"],
        ),
    }
    return [
        {
            "table": "What an experiment costs",
            "way": name,
            "CPU ms each": f"{measured['cpu_ms']:.1f}",
            "overhead CPU ms each": "" if overhead is None else f"{overhead:.1f}",
            "from - to": f"{overheads[0]:.1f} - {overheads[-1]:.1f}" if measured is forked else "",
            "wall ms each": f"{measured['wall_ms']:.1f}",
            "start CPU s": f"{max(0.0, measured['start_cpu_s']):.1f}",
            "goal": verdict(overhead, GOAL_MS, " ms overhead") if overhead is not None and measured is forked else "",
        }
        for name, (measured, overhead) in ways.items()
    ]


if __name__ == "__main__":
    from report import print_rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few experiments")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print_rows(rows(quick=parser.parse_args().quick))
