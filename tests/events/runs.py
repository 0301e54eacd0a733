"""Events of small runs, and the state that they come to."""

from __future__ import annotations

from typing import Any

from mlgym.events import (
    EvaluationResult,
    JobStatus,
    LossScore,
    MetricScore,
    Payload,
    Producer,
    RunFinished,
    RunStarted,
    RunState,
    decode,
    fold,
)
from tests.events.samples import RUN_ID


def state_of(*payloads: Payload | dict[str, Any]) -> RunState:
    """Gives the state after these events, as if a log held them."""
    producer = Producer()
    events = [one if isinstance(one, dict) else decode(producer.encode(one)) for one in payloads]
    return fold(enumerate(events))


def started(num_experiments: int = 2) -> RunStarted:
    """Gives the beginning of a run."""
    return RunStarted(
        grid_search_id=RUN_ID,
        name="digits",
        command=["mlgym", "run", "digits.yml"],
        versions={"mlgym": "1.0"},
        num_experiments=num_experiments,
        validation_mode="grid_search",
    )


def finished(**counts: int) -> RunFinished:
    """Gives its end, with these numbers of experiments by outcome."""
    names = ("num_succeeded", "num_failed", "num_interrupted", "num_not_started")
    return RunFinished(grid_search_id=RUN_ID, **{name: counts.get(name, 0) for name in names})


def job(status: Any, experiment_id: int = 0, **more: Any) -> JobStatus:
    """Gives a status of an experiment's job."""
    return JobStatus(
        job_id=f"{RUN_ID}-{experiment_id}", status=status, grid_search_id=RUN_ID, experiment_id=experiment_id, **more
    )


def evaluation(epoch: int, value: float | None, step: int | None = None, **more: Any) -> EvaluationResult:
    """Gives an evaluation with one metric and one loss, ten steps an epoch unless told otherwise."""
    return EvaluationResult(
        grid_search_id=RUN_ID,
        experiment_id=0,
        epoch=epoch,
        step=10 * epoch if step is None else step,
        metric_scores=[MetricScore("f1", "val", value, None if value is not None else "nan")],
        loss_scores=[LossScore("loss", "val", 1.0)],
        **more,
    )
