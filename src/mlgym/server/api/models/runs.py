"""Answers about runs: the list of them, and one with everything but its experiments."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from mlgym.server.api.models.base import POINT, RUN_ID, Direction, MetricValue, Model, RunStatus, Verdict


class RunMetric(Model):
    """A metric over all experiments of a run: the last value that was measured, and the best one."""

    key: str = Field(examples=["val/f1_macro"])
    direction: Direction = Field(description="which end of the metric is the good one", examples=["max"])
    latest: MetricValue
    latest_experiment: int
    best: MetricValue | None = Field(description="null where no value is finite")
    best_experiment: int | None


class Counts(Model):
    """How many experiments are in each status."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    interrupted: int = 0


class RunReproduction(Model):
    """What came of running experiments of a run again; `verdict` is the gravest of them."""

    verdict: Verdict
    num_identical: int = Field(description="experiments by their last verdict")
    num_within_tolerance: int
    num_diverged: int
    experiment_id: int = Field(description="the first one with the gravest verdict, which the rest is about")
    epoch: int | None = Field(description="where the two runs part, as far as it is known")
    original_run_id: str
    new_run_id: str


class Reading(Model):
    """How far a hub has got with a log that it reads for the first time, or of which much was added."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"bytes_read": 301_989_888, "num_bytes": 719_323_136}]}
    )

    bytes_read: int
    num_bytes: int = Field(description="length of the log")


class RunSummary(Model):
    """A run in the list of runs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "run_id": RUN_ID,
                    "name": "mnist-conv-net",
                    "status": "running",
                    "tags": ["baseline"],
                    "notes": "",
                    "validation_mode": "grid_search",
                    "num_experiments": 15,
                    "counts": {"waiting": 4, "running": 2, "done": 7, "failed": 2, "interrupted": 0},
                    "created_at": 1795450470.2,
                    "started_at": 1795450470.2,
                    "finished_at": None,
                    "last_event_at": 1795450913.4,
                    "duration_s": None,
                    "num_events": 2310,
                    "selected_metric": "val/f1_macro",
                    "reproduces": None,
                    "reproduction": None,
                    "metrics": [
                        {
                            "key": "val/f1_macro",
                            "direction": "max",
                            "latest": {"value": 0.9688, "epoch": 10, "step": 2400, "non_finite": None},
                            "latest_experiment": 3,
                            "best": {**POINT, "non_finite": None},
                            "best_experiment": 7,
                        }
                    ],
                    "is_trashed": False,
                    "problem": None,
                    "reading": None,
                }
            ]
        },
    )

    run_id: str
    name: str | None = Field(description="the name somebody gave it, else the one in its config")
    status: RunStatus
    tags: list[str] = Field(default=[])
    notes: str = ""
    validation_mode: str | None
    num_experiments: int
    counts: Counts
    created_at: float | None = Field(description="the first event")
    started_at: float | None
    finished_at: float | None
    last_event_at: float | None
    duration_s: float | None = Field(description="null until it has ended")
    num_events: int
    selected_metric: str | None = Field(description="the metric the run itself selects by")
    reproduces: str | None = Field(default=None, description="the run whose results this one is to reproduce")
    reproduction: RunReproduction | None = Field(default=None, description="null where nothing was run again")
    metrics: list[RunMetric] = Field(description="of the whole run, the selected one first; at most 50 are sent")
    is_trashed: bool = False
    problem: str | None = Field(
        default=None, description="why the log, or the end of it, cannot be read, and what to do"
    )
    reading: Reading | None = Field(
        default=None,
        description=(
            "how far the log was read, in the list of runs, which does not wait for long ones; until this is null, the "
            "rest is what the first and last lines say: without counts and metrics, `num_events` those read so far"
        ),
    )


class RunList(Model):
    """A page of runs; `total` counts all that match."""

    total: int
    runs: list[RunSummary]


class RunDetail(RunSummary):
    """Everything about a run but its experiments."""

    at: int = Field(description="events that are taken into account")
    num_bytes: int = Field(description="length of the log")
    last_crc: str | None = Field(description="checksum of the last event in the log")
    command: list[str]
    versions: dict[str, str]
    environment: dict[str, Any]
    validation: dict[str, Any] = Field(description="the validation section of the config; empty in older logs")
    final_counts: dict[str, int]
    num_starts: int = Field(description="how often it was started or resumed")
    is_live: bool = Field(description="whether it goes on at this moment; never so in the past")
    has_sender: bool = Field(
        description="whether its driver is connected, or announced; one that lost its machine counts for 45 s more"
    )
    metric_keys: list[str]
    swept_keys: list[str]
    config_text: str | None = Field(description="the config as it was written; null where the folder has none")
