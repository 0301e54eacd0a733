"""The events that MLgym writes: one typed payload per event type, and the envelope around it.

What is read back may be older or newer than this: readers (`fold`) take plain dicts and keep what they don't know.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import msgspec


class Payload(msgspec.Struct, kw_only=True, frozen=True):
    """Base of all payloads; a subclass says its `event_type`."""

    event_type: ClassVar[str]


class RunStarted(Payload, kw_only=True, frozen=True):
    """A run begins (`run_started`) on a fresh folder."""

    event_type: ClassVar[str] = "run_started"
    grid_search_id: str
    name: str
    command: list[str]
    versions: dict[str, str]
    num_experiments: int
    validation_mode: str


class RunFinished(Payload, kw_only=True, frozen=True):
    """A run ended; the counts add up to the number of experiments."""

    event_type: ClassVar[str] = "run_finished"
    grid_search_id: str
    num_succeeded: int
    num_failed: int
    num_interrupted: int
    num_not_started: int


class Environment(Payload, kw_only=True, frozen=True):
    """What `environment.json` holds."""

    event_type: ClassVar[str] = "environment"
    grid_search_id: str
    environment: dict[str, Any]


class ExperimentConfig(Payload, kw_only=True, frozen=True):
    """The resolved, sweep-free config of one experiment."""

    event_type: ClassVar[str] = "experiment_config"
    grid_search_id: str
    experiment_id: int
    job_id: str
    config: dict[str, Any]
    swept: dict[str, Any] = {}


class JobStatus(Payload, kw_only=True, frozen=True):
    """A job changed its state. A failed job is DONE with an error; times are s since the epoch, -1 for not yet."""

    event_type: ClassVar[str] = "job_status"
    job_id: str
    job_type: int = 1
    status: Literal["INIT", "RUNNING", "DONE"]
    grid_search_id: str
    experiment_id: int
    starting_time: float = -1.0
    finishing_time: float = -1.0
    error: str | None = None
    stacktrace: str | None = None
    device: str | None = None
    exit_signal: str | None = None
    attempt: int = 0
    log_tail: list[str] = []
    interrupted: bool = False


class ExperimentStatus(Payload, kw_only=True, frozen=True):
    """Progress within an epoch; at most 10 an epoch and one every 0.2 s."""

    event_type: ClassVar[str] = "experiment_status"
    grid_search_id: str
    experiment_id: int
    status: Literal["train", "evaluation"]
    num_epochs: int
    current_epoch: int
    splits: list[str]
    current_split: str
    num_batches: int
    current_batch: int


class MetricScore(msgspec.Struct, frozen=True, omit_defaults=True):
    """One metric on one split; a non-finite score is null with its name beside it."""

    metric: str
    split: str
    score: float | None
    non_finite: Literal["nan", "inf", "-inf"] | None = None


class LossScore(msgspec.Struct, frozen=True, omit_defaults=True):
    """One loss on one split; a non-finite score is null with its name beside it."""

    loss: str
    split: str
    score: float | None
    non_finite: Literal["nan", "inf", "-inf"] | None = None


class MetricTable(msgspec.Struct, frozen=True):
    """A metric that is no number, such as a confusion matrix: (rows, columns)."""

    metric: str
    split: str
    values: list[list[float]]


class EvaluationResult(Payload, kw_only=True, frozen=True):
    """What an evaluation measured, on one split or several; `epoch` counts finished epochs (0: before training)."""

    event_type: ClassVar[str] = "evaluation_result"
    grid_search_id: str
    experiment_id: int
    epoch: int
    step: int
    metric_scores: list[MetricScore]
    loss_scores: list[LossScore]
    tables: list[MetricTable] = []


class CheckpointSaved(Payload, kw_only=True, frozen=True):
    """A checkpoint stands on disk; `path` is relative to the run folder."""

    event_type: ClassVar[str] = "checkpoint_saved"
    grid_search_id: str
    experiment_id: int
    epoch: int
    step: int
    path: str
    bytes: int
    sha256: dict[str, str]
    reasons: list[str]


class CheckpointDeleted(Payload, kw_only=True, frozen=True):
    """A checkpoint was removed by the strategy."""

    event_type: ClassVar[str] = "checkpoint_deleted"
    grid_search_id: str
    experiment_id: int
    epoch: int
    step: int
    path: str


class Digest(Payload, kw_only=True, frozen=True):
    """Hashes (sha256, hex) of the parameters and buffers and of the optimizer state at a step."""

    event_type: ClassVar[str] = "digest"
    grid_search_id: str
    experiment_id: int
    epoch: int
    step: int
    parameters: str
    optimizer: str


class TrainingStopped(Payload, kw_only=True, frozen=True):
    """Training ended before its last epoch, with the reason that early stopping gave."""

    event_type: ClassVar[str] = "training_stopped"
    grid_search_id: str
    experiment_id: int
    epoch: int
    step: int
    reason: str


class Log(Payload, kw_only=True, frozen=True):
    """A line that somebody logged or printed; `experiment_id` is null for the driver."""

    event_type: ClassVar[str] = "log"
    grid_search_id: str
    experiment_id: int | None
    level: str
    logger: str
    message: str


class SystemMetrics(Payload, kw_only=True, frozen=True):
    """Load of one experiment's process."""

    event_type: ClassVar[str] = "system_metrics"
    grid_search_id: str
    experiment_id: int
    steps_per_s: float
    rss_bytes: int


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The envelope: one JSON object a line.

    Args:
        event_type: which payload this is.
        creation_ts: microseconds since the epoch, UTC.
        payload: the payload, as JSON-able data.
        producer: uuid (hex) of the process that made the event; old events have none.
        seq: 0, 1, 2 ... per producer.
    """

    event_type: str
    creation_ts: int
    payload: Any
    producer: str | None = None
    seq: int | None = None


def finite(score: float) -> tuple[float | None, Literal["nan", "inf", "-inf"] | None]:
    """Gives (score, None) for a number, and (None, its name) for NaN and infinities, which JSON cannot carry."""
    if math.isfinite(score):
        return score, None
    return None, "nan" if math.isnan(score) else "inf" if score > 0 else "-inf"
