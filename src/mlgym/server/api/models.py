"""What the read side answers with: the models behind `/api/v1/openapi.json`, from which the board's types are made.

Times are s since the epoch, UTC; durations s. A metric's key is `split/metric`. A value that is not finite is `null`
with its name in `non_finite`. `at` is the number of events that the answer takes into account.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RunStatus = Literal["running", "finished", "interrupted", "crashed"]
ExperimentStatusName = Literal["waiting", "running", "done", "failed", "interrupted"]
Direction = Literal["min", "max"]
NonFinite = Literal["nan", "inf", "-inf"]
Order = Literal["asc", "desc"]
Verdict = Literal["identical", "within_tolerance", "diverged"]
SearchStanding = Literal["running", "paused", "left", "stopped", "complete", "stopped early", "failed"]

_RUN_ID = "2026-11-23--16-14-30"
_POINT: dict[str, Any] = {"value": 0.9712, "epoch": 8, "step": 1920}


class Model(BaseModel):
    """Base of all answers: what is not said here is not sent."""

    model_config = ConfigDict(extra="forbid")


class Problem(Model):
    """What went wrong: a word for programs, a sentence for people, the part of the request it is about."""

    code: str = Field(examples=["not_found"])
    message: str = Field(examples=["there is no run `2026-11-23--16-14-31`"])
    path: str | None = Field(default=None, examples=["filter"])


class ErrorAnswer(Model):
    """Every error of `/api/v1` looks like this."""

    error: Problem


class MetricValue(Model):
    """One value of a metric and when in training it was measured; `step` is -1 where unknown."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_POINT]})

    value: float | None
    epoch: int
    step: int
    non_finite: NonFinite | None = None


class RunMetric(Model):
    """A metric over all experiments of a run: the last value that was measured, and the best one."""

    key: str = Field(examples=["val/f1_macro"])
    direction: Direction = Field(description="which end of the metric is the good one", examples=["max"])
    latest: MetricValue
    latest_experiment: int
    best: MetricValue | None = Field(description="null where every value is NaN")
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


class RunSummary(Model):
    """A run in the list of runs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "run_id": _RUN_ID,
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
                            "best": {**_POINT, "non_finite": None},
                            "best_experiment": 7,
                        }
                    ],
                    "is_trashed": False,
                    "problem": None,
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
    problem: str | None = Field(default=None, description="why the log cannot be read, where that is so")


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
    metric_keys: list[str]
    swept_keys: list[str]
    config_text: str | None = Field(description="the config as it was written; null where the folder has none")


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
                    "finished_at": None,
                    "duration_s": 72.8,
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
    best: dict[str, MetricValue] = Field(description="by metric; left out where every value is NaN")
    rank: int | None = Field(description="by the metric the run selects by, from 1")
    progress: ProgressFacts | None
    device: str | None
    attempt: int
    error: str | None
    exit_signal: str | None
    stop_reason: str | None = Field(description="why training ended before its last epoch")
    started_at: float | None
    finished_at: float | None
    duration_s: float | None = Field(description="of the last attempt; up to the last event about it while it runs")
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


class MetricQuery(Model):
    """Which curves, and how finely."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"keys": ["val/f1_macro", "val/loss"], "experiments": [3, 7], "points": 500}],
        },
    )

    keys: list[Annotated[str, Field(max_length=500)]] = Field(
        default=[], max_length=1000, description="metrics; empty for all, or for those that `match` finds"
    )
    match: str | None = Field(default=None, max_length=500, description="a regular expression over metrics")
    experiments: list[Annotated[int, Field(ge=0)]] | None = Field(
        default=None, max_length=100_000, description="null for all"
    )
    points: int = Field(default=1000, ge=8, le=1_000_000, description="at most so many of each curve")
    method: Literal["minmax", "lttb"] = Field(
        default="minmax", description="how curves are thinned; both keep first, last, smallest and largest point"
    )
    format: Literal["json", "binary"] = "json"
    at: int | None = Field(default=None, ge=0, description="as of so many events; null for now")


class Series(Model):
    """A metric of one experiment, as columns of equal length in the order of training."""

    experiment_id: int
    key: str
    num_points: int = Field(description="before thinning")
    epochs: list[int]
    steps: list[int] = Field(description="-1 where unknown")
    times: list[float] = Field(description="when each was measured")
    values: list[float | None] = Field(description="null where not finite; see `non_finite`")
    non_finite: dict[NonFinite, list[int]] = Field(
        default={}, description="positions in `values`, by what stands there"
    )


class MetricColumns(Model):
    """Curves of many experiments at once."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "run_id": _RUN_ID,
                    "at": 2310,
                    "series": [
                        {
                            "experiment_id": 7,
                            "key": "val/loss",
                            "num_points": 3,
                            "epochs": [1, 2, 3],
                            "steps": [240, 480, 720],
                            "times": [1795450851.0, 1795450862.1, 1795450873.0],
                            "values": [0.31, None, 0.12],
                            "non_finite": {"nan": [1]},
                        }
                    ],
                }
            ]
        },
    )

    run_id: str
    at: int
    series: list[Series]


class SystemSeries(Model):
    """One thing that a process used over time, as columns of equal length."""

    key: Literal["steps_per_s", "cpu_percent", "rss_bytes", "gpu_percent", "gpu_memory_bytes"]
    unit: Literal["steps/s", "percent", "bytes"]
    num_points: int = Field(description="before thinning")
    times: list[float]
    values: list[float]


class SystemMetricColumns(Model):
    """What the process of an experiment used, all its attempts; what nobody told is left out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "at": 2310,
                    "experiment_id": 7,
                    "series": [
                        {
                            "key": "cpu_percent",
                            "unit": "percent",
                            "num_points": 2,
                            "times": [1795450851.0, 1795450856.0],
                            "values": [98.2, 99.7],
                        }
                    ],
                }
            ]
        },
    )

    at: int
    experiment_id: int
    series: list[SystemSeries]


class LogEntry(Model):
    """A line that somebody logged or printed."""

    event_id: int
    logged_at: float
    experiment_id: int | None = Field(description="null for the driver")
    level: str = Field(examples=["warning"])
    logger: str = Field(examples=["stderr"])
    message: str


class LogLines(Model):
    """Lines of the log, oldest first; `next_before` asks for the ones before them, null where there are none.

    A search gives up for the time being after 50,000 lines: there may be fewer lines than asked for, and more before.
    """

    at: int
    lines: list[LogEntry]
    next_before: int | None


class Change(Model):
    """One key in which two configs differ."""

    key: str = Field(examples=["optimizer.lr"])
    kind: Literal["added", "removed", "changed"]
    old: Any = None
    new: Any = None


class ConfigDiff(Model):
    """What differs between the configs of two experiments."""

    a: str = Field(examples=[f"{_RUN_ID}/3"])
    b: str = Field(examples=[f"{_RUN_ID}/7"])
    changes: list[Change]


class TimelineMark(Model):
    """An event worth a mark on the slider."""

    event_id: int
    created_at: float
    kind: Literal[
        "run_started",
        "run_resumed",
        "run_finished",
        "experiment_started",
        "experiment_done",
        "experiment_failed",
        "experiment_interrupted",
        "training_stopped",
    ]
    experiment_id: int | None


class Timeline(Model):
    """Event numbers against wall time: after `event_ids[i]` events it was `times[i]`."""

    at: int
    event_ids: list[int] = Field(description="growing; at most as many as asked for")
    times: list[float]
    marks: list[TimelineMark] = Field(description="starts and ends, oldest first; at most 2,000")


class CardModel(Model):
    """The model of a model card."""

    name: str | None = Field(description="name of the component", examples=["conv_net"])
    config: Any
    num_parameters: int | None
    num_trainable_parameters: int | None
    num_bytes: int | None = Field(description="of the parameters and buffers in memory")


class CardSplit(Model):
    """A split of the data."""

    name: str = Field(examples=["train"])
    num_samples: int | None
    classes: dict[str, int] | None = Field(description="samples of each class; null where there are no classes")
    sha256: str | None = Field(description="fingerprint of the samples in their order")


class CardMetric(Model):
    """A metric with the split it was computed on."""

    split: str
    metric: str
    direction: Direction
    latest: MetricValue
    best: MetricValue | None


class CardData(Model):
    """The data of a model card."""

    name: str | None
    config: Any
    splits: list[CardSplit]


class CardTraining(Model):
    """How it was trained."""

    status: ExperimentStatusName
    num_epochs: int | None = Field(description="finished epochs")
    num_steps: int | None
    seed: Any
    swept: dict[str, Any]
    trial: dict[str, Any] = Field(description="its place in the validation, such as its fold")
    optimizer: Any
    loss: Any
    lr_scheduler: Any
    batch_size: Any
    started_at: float | None
    finished_at: float | None
    duration_s: float | None
    device: str | None
    stop_reason: str | None


class CardEnergy(Model):
    """What `codecarbon` measured."""

    energy_kwh: float | None
    emissions_kg: float | None = Field(description="CO2 equivalent")
    duration_s: float | None
    country: str | None
    source: str = Field(examples=["codecarbon 3.0.1"])


class ModelCard(Model):
    """What somebody who gets the model should know; every value was recorded, none is estimated here."""

    run_id: str
    experiment_id: int
    at: int
    run_name: str | None
    model: CardModel
    data: CardData
    training: CardTraining
    metrics: list[CardMetric]
    environment: dict[str, Any] = Field(description="of the machine that trained")
    energy: CardEnergy | None = Field(description="null where nobody measured it")
    checkpoints: list[CheckpointFacts]
    command: list[str]
    versions: dict[str, str]
    reproduction: ReproductionFacts | None
    config_sha256: str | None
    config: dict[str, Any]
