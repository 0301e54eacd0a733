"""The state of a run as a fold: normal runs, old logs, crashed and resumed runs, validation and search."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from mlgym.events import (
    ConfigurationRecord,
    ConfigurationScore,
    DataFingerprint,
    Environment,
    ExperimentConfig,
    ExperimentStatus,
    MetricPoint,
    MetricTable,
    Payload,
    SearchDecision,
    SearchResult,
    SelectionMade,
    SystemMetrics,
    decode,
)
from tests.events.runs import evaluation, finished, job, started, state_of
from tests.events.samples import LEGACY_LINE, RUN_ID, log_event


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
