"""The state of one experiment as a fold: its status, scores, checkpoints, attempts and times."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mlgym.events import (
    CheckpointDeleted,
    CheckpointSaved,
    DataFingerprint,
    Digest,
    ExperimentConfig,
    ExperimentResumed,
    JobStatus,
    MetricPoint,
    ModelRecord,
    ModelSummary,
    Payload,
    Producer,
    TrainingStopped,
    decode,
)
from tests.events.runs import evaluation, job, started, state_of
from tests.events.samples import RUN_ID, log_event


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (job("INIT"), "waiting"),
        (job("RUNNING"), "running"),
        (job("DONE"), "done"),
        (job("DONE", error="x"), "failed"),
        (job("DONE", interrupted=True), "interrupted"),
        (job("DONE", interrupted=True, error="x"), "interrupted"),
    ],
)
def test_status_of_an_experiment(last: JobStatus, status: str) -> None:
    """The last job status decides."""
    assert state_of(started(), last).experiments[0].status == status


def test_latest_and_best() -> None:
    """The best value is the first of equals, never NaN; what was not measured is None."""
    experiment = state_of(*[evaluation(i, v) for i, v in enumerate([0.5, None, 0.9, 0.1, 0.9, 0.1])]).experiments[0]
    assert experiment.latest("val/f1") == MetricPoint(0.1, 5, 50)
    assert experiment.best("val/f1", "max") == MetricPoint(0.9, 2, 20)
    assert experiment.best("val/f1", "min") == MetricPoint(0.1, 3, 30)
    assert math.isnan(experiment.metrics["val/f1"].values[1])
    assert experiment.latest("val/other") is experiment.best("val/other", "min") is None
    only_nan = state_of(evaluation(1, None)).experiments[0]
    assert only_nan.best("val/f1", "max") is None
    assert only_nan.latest("val/f1") is not None


def test_infinite_scores() -> None:
    """Infinities are told apart from NaN."""
    scores = [
        {"metric": name, "split": "val", "score": None, "non_finite": name} for name in ("inf", "-inf", "nan", "odd")
    ]
    payload = {"experiment_id": 0, "epoch": 1, "metric_scores": scores}
    metrics = state_of({"event_type": "evaluation_result", "payload": payload}).experiments[0].metrics
    assert metrics["val/inf"].values[0] == math.inf
    assert metrics["val/-inf"].values[0] == -math.inf
    assert math.isnan(metrics["val/nan"].values[0])
    assert math.isnan(metrics["val/odd"].values[0])


def test_a_resumed_experiment_measures_again() -> None:
    """What a second attempt measures replaces the same steps of the first, and what comes after them."""
    history = (
        state_of(*[evaluation(i, 0.1 * i) for i in range(5)], evaluation(3, 0.7), evaluation(4, 0.8))
        .experiments[0]
        .metrics["val/f1"]
    )
    assert list(history.epochs) == [0, 1, 2, 3, 4]
    assert list(history.steps) == [0, 10, 20, 30, 40]
    assert list(history.values) == pytest.approx([0.0, 0.1, 0.2, 0.7, 0.8])


def test_an_experiment_that_goes_on() -> None:
    """Going on repeats what came before, so it stands; a continuation of another lineage voids what came later."""

    def resumed(lineage: int, *, replaces_later: bool) -> ExperimentResumed:
        return ExperimentResumed(
            grid_search_id=RUN_ID,
            experiment_id=0,
            job_id="j",
            epoch=2,
            step=20,
            path=None,
            lineage=lineage,
            replaces_later=replaces_later,
        )

    stopped = TrainingStopped(grid_search_id=RUN_ID, experiment_id=0, epoch=4, step=40, reason="no better")
    events: list[Payload] = [*[evaluation(i, 0.1 * i) for i in range(5)], stopped, job("INIT", attempt=1)]
    same = state_of(*events, resumed(0, replaces_later=False)).experiments[0]
    assert (list(same.metrics["val/f1"].epochs), same.stop_reason, same.lineage) == ([0, 1, 2, 3, 4], "no better", 0)
    config = ExperimentConfig(grid_search_id=RUN_ID, experiment_id=0, job_id="j", config={}, lineage=1)
    assert state_of(*events, config).experiments[0].lineage == 1
    other = state_of(*events, config, resumed(1, replaces_later=True)).experiments[0]
    assert (list(other.metrics["val/f1"].epochs), other.stop_reason, other.lineage) == ([0, 1, 2], None, 1)
    # Killed before its first checkpoint, the lineage begins there again; the log drops what it then repeats.
    begun = [*events, config, resumed(1, replaces_later=True), evaluation(3, 0.9), resumed(1, replaces_later=True)]
    assert list(state_of(*begun).experiments[0].metrics["val/f1"].epochs) == [0, 1, 2, 3]
    later = state_of(*begun, resumed(2, replaces_later=True)).experiments[0]
    assert list(later.metrics["val/f1"].epochs) == [0, 1, 2]


def test_two_evaluations_within_an_epoch() -> None:
    """Several evaluations of one epoch are told apart by their steps."""
    history = state_of(evaluation(0, 0.1, 5), evaluation(0, 0.2, 7), evaluation(1, 0.3, 10)).experiments[0]
    assert list(history.metrics["val/f1"].steps) == [5, 7, 10]


def test_checkpoints_that_stand() -> None:
    """Checkpoints saved and not deleted since, oldest first; the last digest."""

    def saved(step: int) -> CheckpointSaved:
        return CheckpointSaved(
            grid_search_id=RUN_ID,
            experiment_id=0,
            epoch=step,
            step=step,
            path=f"0/checkpoints/{step}",
            bytes=7,
            sha256={"a": "b"},
            reasons=["last"],
        )

    gone = CheckpointDeleted(grid_search_id=RUN_ID, experiment_id=0, epoch=1, step=1, path="0/checkpoints/1")
    hashes = [
        Digest(grid_search_id=RUN_ID, experiment_id=0, epoch=e, step=e, parameters=f"p{e}", optimizer="o")
        for e in (1, 2)
    ]
    experiment = state_of(saved(1), saved(2), hashes[0], gone, saved(3), hashes[1], gone, saved(2)).experiments[0]
    assert [checkpoint.step for checkpoint in experiment.checkpoints.values()] == [3, 2]
    assert experiment.checkpoints["0/checkpoints/2"].reasons == ["last"]
    assert experiment.digest is not None
    assert experiment.digest.parameters == "p2"


def test_a_retried_experiment_forgets_its_failure() -> None:
    """The error of the first attempt does not stay on the second."""
    run = state_of(job("RUNNING"), job("DONE", error="x", log_tail=["y"]), job("RUNNING", attempt=1))
    experiment = run.experiments[0]
    assert (experiment.status, experiment.error, experiment.log_tail) == ("running", None, [])
    assert experiment.finished_at is None


def test_the_time_of_all_attempts() -> None:
    """An attempt that failed, one that died with its driver, and one that ended, with pauses that count for nothing."""

    def at(moment: float, payload: Payload) -> dict[str, Any]:
        return decode(Producer().encode(payload)) | {"creation_ts": int(moment * 1e6)}

    begun = [at(90, started()), at(95, job("INIT")), at(100, job("RUNNING", starting_time=100.0))]
    failed = at(130, job("DONE", starting_time=100.0, finishing_time=130.0, error="no"))
    died = [
        at(200, job("INIT", attempt=1)),
        at(201, job("RUNNING", starting_time=201.0, attempt=1)),
        at(261, evaluation(1, 0.5)),
    ]
    resumed = [
        {"event_type": "run_resumed", "creation_ts": 900_000_000, "payload": {"grid_search_id": RUN_ID}},
        at(901, job("INIT", attempt=2)),
    ]
    again = at(902, job("RUNNING", starting_time=902.0, attempt=2))
    done = at(907, job("DONE", starting_time=902.0, finishing_time=907.0, attempt=2))
    events = [*begun, failed, *died, *resumed, again, done]
    durations = [state_of(*events[:count]).experiments[0].duration_s for count in (3, 4, 5, 7, 9, 10, 11)]
    assert durations == [None, 30.0, 30.0, None, 90.0, None, 95.0]
    one = state_of(*events).experiments[0]
    assert (one.started_at, one.attempt_started_at, one.finished_at, one.earlier_s) == (100.0, 902.0, 907.0, 90.0)
    crashed = state_of(*begun, failed, *died)
    crashed.mark_crashed()
    assert crashed.experiments[0].duration_s == 90.0


def test_size_of_the_model_and_its_classes() -> None:
    """What a model card needs: how large the model is, and how many samples of each class a split has."""
    data = DataFingerprint(
        grid_search_id=RUN_ID, experiment_id=0, split="val", num_samples=3, sha256="ab", covers="all", classes={"a": 3}
    )
    model = ModelSummary(
        grid_search_id=RUN_ID,
        experiment_id=0,
        name="Net",
        num_parameters=10,
        num_trainable_parameters=8,
        num_bytes=44,
    )
    experiment = state_of(data, model).experiments[0]
    assert experiment.classes == {"val": {"a": 3}}
    assert experiment.model == ModelRecord("Net", 10, 8, 44)


def test_recent_logs_are_bounded() -> None:
    """A talkative experiment does not fill the memory."""
    run = state_of(*[log_event(str(number)) for number in range(1000)])
    assert len(run.experiments[0].recent_logs) == 200
    assert run.experiments[0].recent_logs[-1].message == "999"
