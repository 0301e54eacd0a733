"""The state of a run as a fold: normal runs, old logs, crashed and resumed runs, and nonsense."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgym.events import (
    CheckpointDeleted,
    CheckpointSaved,
    ConfigurationRecord,
    ConfigurationScore,
    DataFingerprint,
    Digest,
    Environment,
    EvaluationResult,
    ExperimentConfig,
    ExperimentResumed,
    ExperimentStatus,
    JobStatus,
    LossScore,
    MetricPoint,
    MetricScore,
    MetricTable,
    ModelRecord,
    ModelSummary,
    Payload,
    Producer,
    RunFinished,
    RunStarted,
    RunState,
    SearchDecision,
    SearchResult,
    SelectionMade,
    SystemMetrics,
    TrainingStopped,
    decode,
    fold,
)
from tests.events.samples import LEGACY_LINE, RUN_ID, log_event


def state_of(*payloads: Payload | dict[str, Any]) -> RunState:
    producer = Producer()
    events = [one if isinstance(one, dict) else decode(producer.encode(one)) for one in payloads]
    return fold(enumerate(events))


def started(num_experiments: int = 2) -> RunStarted:
    return RunStarted(
        grid_search_id=RUN_ID,
        name="digits",
        command=["mlgym", "run", "digits.yml"],
        versions={"mlgym": "1.0"},
        num_experiments=num_experiments,
        validation_mode="grid_search",
    )


def finished(**counts: int) -> RunFinished:
    names = ("num_succeeded", "num_failed", "num_interrupted", "num_not_started")
    return RunFinished(grid_search_id=RUN_ID, **{name: counts.get(name, 0) for name in names})


def job(status: Any, experiment_id: int = 0, **more: Any) -> JobStatus:
    return JobStatus(
        job_id=f"{RUN_ID}-{experiment_id}", status=status, grid_search_id=RUN_ID, experiment_id=experiment_id, **more
    )


def evaluation(epoch: int, value: float | None, step: int | None = None, **more: Any) -> EvaluationResult:
    return EvaluationResult(
        grid_search_id=RUN_ID,
        experiment_id=0,
        epoch=epoch,
        step=10 * epoch if step is None else step,
        metric_scores=[MetricScore("f1", "val", value, None if value is not None else "nan")],
        loss_scores=[LossScore("loss", "val", 1.0)],
        **more,
    )


def test_a_run_from_start_to_end() -> None:
    """Everything that a normal run tells is in its state."""
    run = state_of(
        started(3),
        Environment(grid_search_id=RUN_ID, environment={"python": "3.11"}),
        ExperimentConfig(
            grid_search_id=RUN_ID, experiment_id=0, job_id="j", config={"seed": 1}, swept={"optimizer.lr": 0.1}
        ),
        job("INIT"),
        job("RUNNING", starting_time=100.0, device="cuda:1"),
        log_event("working"),
        ExperimentStatus(
            grid_search_id=RUN_ID,
            experiment_id=0,
            status="train",
            num_epochs=9,
            current_epoch=4,
            splits=["train"],
            current_split="train",
            num_batches=30,
            current_batch=12,
        ),
        SystemMetrics(grid_search_id=RUN_ID, experiment_id=0, steps_per_s=12.5, rss_bytes=2**40),
        evaluation(1, 0.5, tables=[MetricTable("confusion", "val", [[1.0, 2.0], [3.0, 4.0]])]),
        evaluation(2, 0.75),
        job("DONE", starting_time=100.0, finishing_time=160.0),
        job("RUNNING", 1),
        job("DONE", 1, error="ValueError: no", stacktrace="...", exit_signal="SIGSEGV", log_tail=["last words"]),
        log_event("the driver speaks", None),
        finished(num_succeeded=1, num_failed=1, num_not_started=1),
    )
    assert (run.run_id, run.name, run.validation_mode, run.num_experiments) == (RUN_ID, "digits", "grid_search", 3)
    assert run.command == ["mlgym", "run", "digits.yml"]
    assert run.environment == {"python": "3.11"}
    assert run.status == "interrupted"
    assert run.counts == {"waiting": 1, "running": 0, "done": 1, "failed": 1, "interrupted": 0}
    assert run.final_counts == {"succeeded": 1, "failed": 1, "interrupted": 0, "not_started": 1}
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.last_event_at == run.finished_at
    assert run.num_events == 15
    assert run.metric_keys == ["val/f1", "val/loss"]
    assert [line.message for line in run.recent_logs] == ["the driver speaks"]
    first, second = run.experiments.values()
    assert (first.status, first.config, first.swept) == ("done", {"seed": 1}, {"optimizer.lr": 0.1})
    assert (first.device, first.duration_s, first.error) == ("cuda:1", 60.0, None)
    assert first.progress is not None
    assert (first.progress.epoch, first.progress.num_epochs, first.progress.batch) == (4, 9, 12)
    assert (first.steps_per_s, first.rss_bytes) == (12.5, 2**40)
    assert [line.message for line in first.recent_logs] == ["working"]
    assert first.tables["val/confusion"].values == [[1.0, 2.0], [3.0, 4.0]]
    assert list(first.metrics["val/f1"].values) == [0.5, 0.75]
    assert (second.status, second.error, second.exit_signal) == ("failed", "ValueError: no", "SIGSEGV")
    assert second.log_tail == ["last words"]


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


def test_a_run_that_goes_on() -> None:
    """A run without an end is running, until somebody knows better."""
    run = state_of(started(), job("RUNNING"))
    statuses = [run.status]
    run.mark_crashed()
    assert [*statuses, run.status] == ["running", "crashed"]
    assert run.experiments[0].status == "interrupted"


def test_a_finished_run_is_never_crashed() -> None:
    """Nobody writes the log of a finished run, and that is no crash."""
    run = state_of(started(1), job("RUNNING"), job("DONE"), finished(num_succeeded=1))
    run.mark_crashed()
    assert run.status == "finished"


def test_a_resumed_run() -> None:
    """Resuming a crashed run: its experiments were interrupted, the run goes on and ends again."""
    resumed = {"event_type": "run_resumed", "creation_ts": 5_000_000, "payload": {"grid_search_id": RUN_ID}}
    events: list[Payload | dict[str, Any]] = [started(), job("RUNNING"), finished(num_interrupted=2), resumed]
    run = state_of(*events)
    assert (run.status, run.num_starts, run.name, run.num_experiments) == ("running", 2, "digits", 2)
    assert run.experiments[0].status == "interrupted"
    run = state_of(*events, job("RUNNING", attempt=1), job("DONE", attempt=1), finished(num_succeeded=2))
    assert run.status == "finished"
    assert run.experiments[0].attempt == 1


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


def test_old_logs() -> None:
    """Logs of MLgym 0.0.75 say neither when the run starts nor when it ends, and have no steps."""
    old_job = {
        "job_id": "old-0",
        "job_type": 1,
        "status": "RUNNING",
        "grid_search_id": "old",
        "experiment_id": 0,
        "starting_time": 10.5,
        "finishing_time": -1,
        "error": None,
        "stacktrace": None,
    }
    events = [
        {
            "event_type": "experiment_config",
            "creation_ts": 1,
            "payload": {"grid_search_id": "old", "experiment_id": 0, "job_id": "old-0", "config": {"a": 1}},
        },
        {"event_type": "job_status", "creation_ts": 2, "payload": old_job},
        decode(LEGACY_LINE),
    ]
    run = state_of(*events)
    assert (run.run_id, run.status) == ("old", "running")
    assert run.experiments[0].latest("train/CE") == MetricPoint(0.5, 3, -1)
    assert run.experiments[0].latest("val/CE") == MetricPoint(math.inf, 3, -1)
    done = old_job | {"status": "DONE", "finishing_time": 20.5}
    run = state_of(*events, {"event_type": "job_status", "creation_ts": 3, "payload": done})
    assert run.status == "finished"
    assert run.experiments[0].duration_s == 10.0


def test_what_validation_tells() -> None:
    """The mode with its settings, what each experiment is for, the sizes of its splits, and the winner of a fold."""
    trial = {"configuration": 1, "role": "inner", "outer_fold": 2, "fold": 0, "repeat": None, "seed": 7}
    selection = SelectionMade(
        grid_search_id=RUN_ID,
        experiment_id=9,
        outer_fold=2,
        configuration=1,
        metric="val/f1_macro",
        best="max",
        score=0.9,
        num_failed=1,
        num_configurations=2,
        scores=[ConfigurationScore(1, 0.9, 0.1, 3, 0), ConfigurationScore(0, None, None, 2, 1)],
    )
    config = ExperimentConfig(grid_search_id=RUN_ID, experiment_id=4, job_id="a", config={"a": 1}, trial=trial)
    data = DataFingerprint(
        grid_search_id=RUN_ID, experiment_id=4, split="val", num_samples=90, sha256="ab", covers="all"
    )
    run = state_of(msgspec.structs.replace(started(), validation={"outer": 5}), config, data, selection)
    assert run.validation == {"outer": 5}
    assert (run.experiments[4].trial, run.experiments[4].sizes) == (trial, {"val": 90})
    chosen = run.selections[2]
    assert (chosen.experiment_id, chosen.configuration, chosen.metric, chosen.best) == (9, 1, "val/f1_macro", "max")
    assert (chosen.rule, chosen.score, chosen.num_failed, chosen.num_configurations) == ("best", 0.9, 1, 2)
    assert chosen.scores == [ConfigurationRecord(1, 0.9, 0.1, 3, 0), ConfigurationRecord(0, None, None, 2, 1)]
    assert list(run.experiments) == [4]


def test_what_a_search_said_and_was_told() -> None:
    """In its order; how many experiments there are is known when it is over."""
    who: dict[str, Any] = {"grid_search_id": RUN_ID, "experiment_id": 0, "trial": 0}
    state = state_of(
        msgspec.structs.replace(started(9), validation={"num_configurations": 9}),
        SearchDecision(**who, action="try", epochs=1, rung=0, choices={"lr": 3}, parameters={"lr": 0.1}),
        job("INIT", until_epoch=1),
        job("RUNNING"),
        SearchResult(**who, epochs=1, score=0.5, state="paused"),
    )
    assert [(step.action, step.trial, step.epochs, step.score, step.state) for step in state.search] == [
        ("try", 0, 1, None, ""),
        ("result", 0, 1, 0.5, "paused"),
    ]
    assert (state.search[0].choices, state.search[0].parameters) == ({"lr": 3}, {"lr": 0.1})
    assert (state.num_experiments, state.experiments[0].until_epoch) == (9, 1)
    state.apply(5, {"event_type": "search_decision", "payload": {"action": "finish", "reason": "enough"}})
    assert (state.num_experiments, state.validation["num_configurations"], state.counts["waiting"]) == (1, 1, 0)


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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
known_types = st.sampled_from(
    [
        "run_started",
        "run_resumed",
        "run_finished",
        "environment",
        "experiment_config",
        "job_status",
        "experiment_status",
        "evaluation_result",
        "checkpoint_saved",
        "checkpoint_deleted",
        "data_fingerprint",
        "digest",
        "log",
        "model_summary",
        "selection_made",
        "search_decision",
        "search_result",
        "system_metrics",
        "something_new",
    ]
)
scores = st.dictionaries(st.sampled_from(["metric", "loss", "split", "score", "non_finite", "values"]), json_values)
payload_keys = [
    "grid_search_id name command versions num_experiments validation_mode num_succeeded environment config swept",
    "status starting_time finishing_time error stacktrace device exit_signal attempt log_tail interrupted num_epochs",
    "current_epoch current_split num_batches current_batch epoch step path bytes sha256 reasons parameters optimizer",
    "level logger message steps_per_s rss_bytes trial validation outer_fold configuration metric best rule score",
    "num_failed num_configurations split num_samples action trial epochs rung choices state reason until_epoch",
]
payloads = st.dictionaries(
    st.sampled_from(" ".join(payload_keys).split()),
    json_values | st.sampled_from(["INIT", "RUNNING", "DONE", "try", "finish", "paused"]),
    max_size=8,
)
full_payloads = st.builds(
    lambda payload, more, experiment_id: payload | more | {"experiment_id": experiment_id},
    payloads,
    st.dictionaries(
        st.sampled_from(["metric_scores", "loss_scores", "tables", "scores"]), st.lists(scores | json_values)
    ),
    st.integers(-1, 2) | json_values,
)
events = st.builds(
    lambda event_type, created, payload: {"event_type": event_type, "creation_ts": created, "payload": payload},
    known_types | json_values,
    json_values,
    full_payloads | json_values,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(events | json_values, max_size=8))
def test_nothing_makes_it_raise(nonsense: list[Any]) -> None:
    """Fields that are missing, too many or of the wrong type are passed over."""
    run = state_of(*[{"event_type": "log"}])
    for event_id, event in enumerate(nonsense):
        run.apply(event_id, event)
    assert run.status in ("running", "finished", "interrupted")
    assert sum(run.counts.values()) >= len(run.experiments)
    for experiment in run.experiments.values():
        for key, history in experiment.metrics.items():
            assert len(history.epochs) == len(history.steps) == len(history.values)
            assert experiment.latest(key) is not None
            experiment.best(key, "max")
        assert experiment.duration_s is None or experiment.duration_s >= 0
    run.mark_crashed()
