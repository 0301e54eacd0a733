"""Answers about experiments: the table of them, one with everything, and what differs between two."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from mlgym.server.api.models.base import (
    RUN_ID,
    Direction,
    ExperimentStatusName,
    MetricValue,
    Model,
    SearchStanding,
    Verdict,
)


class ProgressFacts(Model):
    """Where an experiment stands within its training."""

    phase: str = Field(examples=["train"])
    epoch: int = Field(description="the current one, from 0")
    num_epochs: int
    batch: int
    num_batches: int
    split: str
    reported_at: float
    fraction: float = Field(description="0 to 1, of all epochs", examples=[0.83])


class ExperimentRow(Model):
    """An experiment in the table of experiments."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "experiment_id": 7,
                    "status": "running",
                    "swept": {"loaders.batch_size": 50, "optimizer.lr": 0.001},
                    "trial": {"configuration": 7, "role": "grid"},
                    "latest": {"val/f1_macro": {"value": 0.9712, "epoch": 8, "step": 1920, "non_finite": None}},
                    "best": {"val/f1_macro": {"value": 0.9712, "epoch": 8, "step": 1920, "non_finite": None}},
                    "rank": 1,
                    "progress": {
                        "phase": "train", "epoch": 8, "num_epochs": 10, "batch": 120, "num_batches": 240,
                        "split": "train", "reported_at": 1795450912.9, "fraction": 0.85,
                    },
                    "device": "cpu",
                    "attempt": 0,
                    "error": None,
                    "exit_signal": None,
                    "stop_reason": None,
                    "started_at": 1795450840.1,
                    "attempt_started_at": 1795450840.1,
                    "finished_at": None,
                    "duration_s": 72.8,
                    "earlier_s": 0.0,
                    "steps_per_s": 312.0,
                    "rss_bytes": 402653184,
                    "num_checkpoints": 2,
                    "verdict": None,
                    "rung": None,
                    "standing": None,
                    "decision": None,
                }
            ]
        },
    )  # fmt: skip

    experiment_id: int
    status: ExperimentStatusName
    swept: dict[str, Any] = Field(description="the values that differ between experiments")
    trial: dict[str, Any] = Field(description="its place in the validation: configuration, role, fold, seed index ...")
    latest: dict[str, MetricValue] = Field(description="by metric")
    best: dict[str, MetricValue] = Field(description="by metric; left out where no value is finite")
    rank: int | None = Field(description="by the metric the run selects by, from 1")
    progress: ProgressFacts | None
    device: str | None
    attempt: int
    error: str | None
    exit_signal: str | None
    stop_reason: str | None = Field(description="why training ended before its last epoch")
    started_at: float | None = Field(description="of the first attempt")
    attempt_started_at: float | None = Field(description="of the last attempt")
    finished_at: float | None = Field(description="of the last attempt")
    duration_s: float | None = Field(
        description="of all attempts together, without the time between them; up to the last event while it runs"
    )
    earlier_s: float = Field(description="how much of it went to attempts before the last one")
    steps_per_s: float | None
    rss_bytes: int | None
    num_checkpoints: int
    verdict: Verdict | None = Field(description="what came of running it again")
    rung: int | None = Field(default=None, description="of a search: where its trial is compared, from 0")
    standing: SearchStanding | None = Field(
        default=None,
        description="of a search: `paused`: it may go on; `left`: the search ended without going on with it; "
        "`stopped`: the strategy stopped it; null without a search",
    )
    decision: str | None = Field(default=None, description="of a search: what its strategy said of it last")


class Column(Model):
    """Something that rows have: a fact such as `status`, a swept parameter, a metric, or a fact of the trial."""

    key: str = Field(description="as the filter and `sort` take it", examples=["optimizer.lr"])
    kind: Literal["fact", "swept", "metric", "trial"]
    type: Literal["number", "text", "boolean", "mixed"]
    direction: Direction | None = Field(default=None, description="of a metric: which end is the good one")
    num_distinct: int | None = Field(default=None, description="of a swept parameter: how many values it has")


class ExperimentTable(Model):
    """A page of experiments; `total` counts all that match, `num_all` those there are."""

    at: int
    total: int
    num_all: int
    columns: list[Column]
    rows: list[ExperimentRow]


class CheckpointFacts(Model):
    """A checkpoint that stands."""

    epoch: int
    step: int
    path: str = Field(examples=["7/checkpoints/epoch_8-step_1920"])
    num_bytes: int
    files: dict[str, str] = Field(description="sha256 of each file, by name")
    reasons: list[str] = Field(examples=[["best", "last"]])


class DigestFacts(Model):
    """Hashes of the state at a step: equal ones mean equal bits."""

    epoch: int
    step: int
    parameters: str
    optimizer: str


class ReproductionFacts(Model):
    """What came of running an experiment again, and where the two runs part."""

    original_run_id: str
    new_run_id: str
    verdict: str
    num_digests: int
    epoch: int | None
    step: int | None
    tensor: str | None


class TableFacts(Model):
    """The latest value of a metric that is no number, such as a confusion matrix."""

    key: str = Field(examples=["val/confusion_matrix"])
    epoch: int
    step: int
    values: list[list[float | None]] = Field(description="(rows, columns)")


class MetricFacts(Model):
    """A metric of one experiment."""

    key: str
    direction: Direction
    num_points: int
    latest: MetricValue
    best: MetricValue | None


class ExperimentDetail(ExperimentRow):
    """Everything about an experiment but the points of its metrics and its log lines."""

    run_id: str
    at: int
    config: dict[str, Any] = Field(description="resolved, sweep-free, every default filled in")
    metrics: list[MetricFacts]
    tables: list[TableFacts]
    checkpoints: list[CheckpointFacts]
    digest: DigestFacts | None
    reproduction: ReproductionFacts | None
    stacktrace: str | None
    log_tail: list[str] = Field(description="the last lines it printed, where it could not tell its own end")
    lineage: int
    num_parameters: int | None


class Change(Model):
    """One key in which two configs differ."""

    key: str = Field(examples=["optimizer.lr"])
    kind: Literal["added", "removed", "changed"]
    old: Any = None
    new: Any = None


class ConfigDiff(Model):
    """What differs between the configs of two experiments."""

    a: str = Field(examples=[f"{RUN_ID}/3"])
    b: str = Field(examples=[f"{RUN_ID}/7"])
    changes: list[Change]
