"""Whole runs on a cluster: the results of a run at home, whatever happens to tasks and drivers meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import mlgym
from mlgym.events import read_log
from mlgym.tracking import RunFolder
from tests.execution.slow_project import results, results_at_home, slowly, write_project
from tests.execution.slurm.conftest import Cluster
from tests.execution.slurm.jobs import allow
from tests.execution.stand_ins import resume_straw, start_program
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OPTIONS = {"poll_every_s": "0.3"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config with a module beside it, in a folder of its own."""
    return write_project(tmp_path / "project")


def start_driver(config: Path, storage: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    """A driver in a process of its own."""
    options = [word for key, value in OPTIONS.items() for word in ("--slurm", f"{key}={value}")]
    command = ["run", str(config), *overrides, "--executor", "slurm", "--storage", str(storage)]
    return subprocess.Popen(
        [sys.executable, "-m", "mlgym", *command, "--run-id", "run", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def num_running(storage: Path) -> int:
    """How many experiments the log of the run says run."""
    folder = RunFolder(storage, "run")
    return folder.state().counts["running"] if folder.log_path.exists() else 0


def test_a_grid_gives_the_bits_of_home(cluster: Cluster, config: Path, tmp_path: Path) -> None:
    """Every result of every experiment is the same in one array of tasks as in this process; nothing is left over.

    There it can be reproduced, too, and both logs have the verdict.
    """
    run = mlgym.run(config, storage=tmp_path / "slurm", executor="slurm", slurm=OPTIONS, progress=False)
    assert (run.exit_code, run.num_failed) == (0, 0), [one.error for one in run.state.experiments.values()]
    assert cluster.tasks() == ["1_0", "1_1", "1_2"]
    assert results(run.path) == results_at_home(config, tmp_path / "home")
    assert not (run.path / "slurm").exists()
    (verdict,) = mlgym.reproduce(run.run_id, storage=tmp_path / "slurm", slurm=OPTIONS, progress=False)
    assert (verdict.verdict, verdict.causes, cluster.tasks()[3:]) == ("identical", [], ["2_0"])
    again = mlgym.load_run(verdict.new_run_id, tmp_path / "slurm")
    assert [[one.verdict for one in each.reproductions] for each in (run, again)] == [["identical"]] * 2


def test_jobs_outlive_their_driver_and_are_taken_over(cluster: Cluster, config: Path, tmp_path: Path) -> None:
    """A task is sent back into the queue while no driver is there: `resume` submits nothing and loses nothing."""
    storage, slow = tmp_path / "slurm", tmp_path / "slow"
    driver = start_driver(config, storage, slowly(slow, after_batches=10))
    wait_for(lambda: num_running(storage) == 3)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    time.sleep(1.0)
    assert len(cluster.tasks("RUNNING")) == 3
    cluster.call("scancel", "--batch", "--signal=USR2", "1_1")
    wait_for(lambda: cluster.root.joinpath("1_1.restarts").read_text() == "1")
    slow.unlink()
    resumed = mlgym.resume("run", storage=storage, progress=False)
    assert (resumed.exit_code, resumed.num_failed) == (0, 0), [one.error for one in resumed.state.experiments.values()]
    assert cluster.tasks() == ["1_0", "1_1", "1_2"]
    assert {number: one.attempt for number, one in resumed.state.experiments.items()} == {0: 0, 1: 1, 2: 0}
    assert results(resumed.path) == results_at_home(config, tmp_path / "home")
    assert not (resumed.path / "slurm").exists()


def test_jobs_that_may_not_go_on_are_ended_first(cluster: Cluster, tmp_path: Path) -> None:
    """Resumed on this machine, no experiment has two writers: its job saves and ends before another one begins."""
    code = {"entry": "tests.execution.slurm.jobs:count", "preload": ["tests.execution.slurm.jobs"]}
    arguments: dict[str, Any] = {"entries": ["count"] * 2, "config": {"epochs": 4, "gate": str(tmp_path)}, "code": code}
    allow(tmp_path, 2)
    driver = start_program(tmp_path, executor="slurm", slurm=OPTIONS, run_id="run", **arguments)
    wait_for(lambda: num_running(tmp_path) == 2)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    seen: list[str] = []

    def look(state: Any) -> None:
        if state.counts["running"]:
            seen.extend(cluster.tasks("RUNNING"))
            allow(tmp_path, 4)  # the first ones have ended where they stood

    class Looking:
        update = staticmethod(look)

    summary = resume_straw(tmp_path, "run", executor="processes", observer=Looking(), **arguments)
    assert summary.counts.succeeded == 2
    assert seen == []
    epochs = [
        (event["payload"]["experiment_id"], event["payload"]["epoch"])
        for _, event in read_log(summary.path / "event_storage.log")
        if event["event_type"] == "evaluation_result"
    ]
    assert sorted(epochs) == [(number, epoch) for number in range(2) for epoch in range(4)]
