"""A nested cross validation of 1,000 experiments: what each costs over training it in a loop, and the report.

5 outer folds x (40 configurations x 5 inner folds + 1 fit), each experiment 20 steps of a tiny MLP on digits with one
evaluation and a checkpoint, two at a time in forked processes, as `mlgym run` does. The overhead is the CPU time of
everybody involved, per experiment, over the same experiments one after the other in one process without a log.
Afterwards the log is read again: each experiment has begun and ended once, the selections follow from its scores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from digits_sweep import ONE_SHORT_EPOCH, digits_sweep
from experiments import cost
from mlgym.config import Document, Plan, check, resolve
from mlgym.events import NullSink, fold, read_log
from mlgym.execution import RunOptions, launch
from mlgym.execution.preserved_process import preserved_process
from mlgym.training import ExperimentContext, prepare_process, run_experiment
from mlgym.validation.choice import choose
from mlgym.validation.modes import NestedPlan
from report import verdict

GOAL_MS = 100.0
GOAL_REPORT_S = 2.0
NUM_PROCESSES = 2


def document(num_configurations: int) -> Document:
    """A nested cross validation with that many learning rates."""
    return digits_sweep(
        {"start": 1e-4, "stop": 1e-1, "num": num_configurations, "scale": "log"},
        ONE_SHORT_EPOCH,
        validation={
            "mode": "nested_cross_validation",
            "outer_folds": 5,
            "inner_folds": 5,
            "stratified": True,
            "select": {"metric": "val/f1_macro", "best": "max"},
        },
    )


def in_a_loop(plan: Plan, numbers: range) -> Callable[[int], None]:
    """Some experiments one after the other in this process, without a log."""

    def run(repeats: int) -> None:
        with preserved_process(uses_torch=True):
            prepare_process(threads=1)
            for _ in range(repeats):
                with tempfile.TemporaryDirectory() as folder:
                    for number in numbers:
                        context = ExperimentContext("run", number, Path(folder), 0, "cpu", NullSink())
                        run_experiment(resolve(plan[number].config), context)

    return run


def consistent(path: Path, plan: NestedPlan) -> str:
    """Gives `yes` where the log of a run holds together, or what does not."""
    states = Counter(
        (entry.event["payload"]["experiment_id"], entry.event["payload"]["status"])
        for entry in read_log(path)
        if entry.event["event_type"] == "job_status"
    )
    if set(states.values()) != {1} or len(states) != 3 * len(plan):
        return "NO: jobs do not begin and end once each"
    state = fold(read_log(path))
    for outer_fold, selection in state.selections.items():
        if choose(plan, state, outer_fold).configuration != selection.configuration:
            return f"NO: the winner of outer fold {outer_fold} does not follow from the scores"
        fit = state.experiments[plan.fits(outer_fold)[0]]
        if fit.trial["configuration"] != selection.configuration:
            return f"NO: outer fold {outer_fold} fitted another configuration"
    return "yes" if len(state.selections) == 5 else "NO: not every outer fold has a winner"


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives one row for the run, one for its report."""
    given = document(2 if quick else 40)
    plan = check(given)
    assert isinstance(plan, NestedPlan)
    sample, repeats = plan.competitors(0)[:10], 1 if quick else 8
    in_a_loop(plan, sample)(1)  # what is imported and compiled on the way is paid once
    serial_s = cost(in_a_loop(plan, sample), repeats)[0] / (len(sample) * repeats)
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(storage=Path(folder), run_id="nested", processes=NUM_PROCESSES)
        summaries = []
        cpu_s, wall_s = cost(lambda _: summaries.append(launch(given, check(given), options, command=["benchmark"])), 1)
        assert summaries[0].counts.succeeded == len(plan), summaries
        path = summaries[0].path / "event_storage.log"
        is_consistent = consistent(path, plan)
        report_cpu_s, report_s = _report_s(Path(folder))
        num_bytes = path.stat().st_size
    overhead_ms = 1000 * (cpu_s / len(plan) - serial_s)
    return [
        {
            "table": "Nested cross validation",
            "experiments": len(plan),
            "CPU ms each": f"{1000 * cpu_s / len(plan):.1f}",
            "in a loop": f"{1000 * serial_s:.1f}",
            "overhead CPU ms each": f"{overhead_ms:.1f}",
            "wall s": f"{wall_s:.0f}",
            "log MB": f"{num_bytes / 1e6:.1f}",
            "log consistent": is_consistent,
            "goal": verdict(overhead_ms, GOAL_MS, " ms overhead"),
        },
        {
            "table": "Its report, in a fresh process",
            "command": "mlgym report nested --format json",
            "CPU s": f"{report_cpu_s:.2f}",
            "wall s": f"{report_s:.2f}",
            "goal": verdict(report_s, GOAL_REPORT_S, " s"),
        },
    ]


def _report_s(storage: Path) -> tuple[float, float]:
    """Gives CPU and wall time of `mlgym report` in s, start of Python included; the better of three."""
    command = [sys.executable, "-m", "mlgym", "report", "nested", "--storage", str(storage), "--format", "json"]
    return min(cost(lambda _: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), 1) for _ in range(3))


if __name__ == "__main__":
    from report import print_rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="55 experiments")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print_rows(rows(quick=parser.parse_args().quick))
