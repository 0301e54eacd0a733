"""Runs as the Python API gives them, from logs of every kind of end."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgym.api import load_run
from mlgym.events import EventLog, JobStatus, Payload, Producer, RunFinished, RunStarted
from mlgym.tracking import create_run_folder

STARTED = RunStarted(
    grid_search_id="r", name="r", command=[], versions={}, num_experiments=2, validation_mode="grid_search"
)


def job(experiment_id: int, error: str | None = None, *, interrupted: bool = False) -> JobStatus:
    return JobStatus(
        job_id=f"r-{experiment_id}", status="DONE", grid_search_id="r", experiment_id=experiment_id, error=error,
        interrupted=interrupted,
    )  # fmt: skip


def finished(succeeded: int = 0, failed: int = 0, interrupted: int = 0, not_started: int = 0) -> RunFinished:
    return RunFinished(
        grid_search_id="r", num_succeeded=succeeded, num_failed=failed, num_interrupted=interrupted,
        num_not_started=not_started,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "status", "exit_code"),
    [
        ([job(0), job(1), finished(2)], "finished", 0),
        ([job(0), job(1, "ValueError: no"), finished(1, 1)], "finished", 1),
        ([job(0), job(1, "interrupted", interrupted=True), finished(1, 0, 1)], "interrupted", 130),
        ([job(0, "ValueError: no"), job(1, "interrupted", interrupted=True), finished(0, 1, 1)], "interrupted", 130),
        ([job(0, "ValueError: no"), finished(0, 1, 0, 1)], "interrupted", 130),
        ([job(0)], "crashed", 130),
        ([job(0, "ValueError: no")], "crashed", 130),
    ],
)
def test_the_exit_code_tells_how_a_run_ended(
    ending: list[Payload], status: str, exit_code: int, tmp_path: Path
) -> None:
    """An interrupted run is interrupted, also where something had failed before: the rest is still to be done."""
    producer = Producer()
    with EventLog.open(create_run_folder(tmp_path, "r").log_path) as log:
        log.append([producer.encode(one) for one in (STARTED, *ending)])
    run = load_run("r", tmp_path)
    assert (run.status, run.exit_code) == (status, exit_code)
