"""Runs as the Python API gives them, from logs of every kind of end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mlgym.api import load_model, load_run
from mlgym.config import register
from mlgym.errors import RunError
from mlgym.events import EventLog, JobStatus, Payload, Producer, RunFinished, RunStarted
from mlgym.tracking import create_run_folder
from tests.api.trials import NOISY, first_run

TABLES: list[Tensor] = []

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


@register("random_projection")
class RandomProjection(nn.Module):
    """A model with a table that is drawn when it is built, and is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.randn(4, 4)
        self.layer = nn.Linear(4, 3)
        TABLES.append(self.table)

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives logits (batch, 3)."""
        logits: Tensor = self.layer(inputs @ self.table)
        return logits


def test_a_loaded_model_is_the_trained_one_and_disturbs_nobody(tmp_path: Path) -> None:
    """What it drew when it was built is drawn again, and the caller's own draws go on as without loading."""
    config = NOISY | {"components": NOISY["components"] | {"model": {"use": "random_projection"}}}
    run_id = first_run(config, tmp_path).run_id
    torch.manual_seed(99)
    expected = torch.rand(3)
    torch.manual_seed(99)
    load_model(run_id, 0, storage=tmp_path, checkpoint="last")
    assert torch.equal(torch.rand(3), expected)
    trained, loaded = TABLES[-2:]
    assert torch.equal(trained, loaded)


def test_an_experiment_that_is_not_there(tmp_path: Path) -> None:
    """The numbers that there are get named."""
    with EventLog.open(create_run_folder(tmp_path, "r").log_path) as log:
        log.append([Producer().encode(one) for one in (STARTED, job(0), job(1))])
    run = load_run("r", tmp_path)
    assert run.experiment(1).experiment_id == 1
    for ask in (lambda: run.experiment(7), lambda: load_model("r", 7, storage=tmp_path)):
        with pytest.raises(RunError, match=r"run `r` has no experiment 7 \(known: 0, 1\)"):
            ask()
