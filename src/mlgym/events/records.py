"""What a fold over a log keeps of single events: progress, checkpoints, digests, selections, log lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an experiment stands within its training.

    Args:
        phase: `train` or `evaluation`.
        epoch: the current epoch, from 0.
        num_epochs: how many there will be.
        batch: batches done in this split.
        num_batches: batches of this split.
        split: the current split.
        reported_at: when, in s since the epoch.
    """

    phase: str
    epoch: int
    num_epochs: int
    batch: int
    num_batches: int
    split: str
    reported_at: float


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """A checkpoint that stands; `path` is relative to the run folder."""

    epoch: int
    step: int
    path: str
    num_bytes: int
    sha256: dict[str, str]
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """A figure, text or file that was logged; `path` is its folder, relative to the run folder."""

    name: str
    kind: str
    version: int
    epoch: int
    step: int
    path: str
    num_bytes: int
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """How large the model is; as `model_summary` says."""

    name: str
    num_parameters: int
    num_trainable_parameters: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class DigestRecord:
    """Hashes (sha256, hex) of the state at a step."""

    epoch: int
    step: int
    parameters: str
    optimizer: str


@dataclass(frozen=True, slots=True)
class ReproductionRecord:
    """What came of running an experiment again: `verdict` is `identical`, `within_tolerance` or `diverged`.

    `epoch`, `step` and `tensor` say where the two runs part, as far as it is known; `decisions` what came of deciding
    again what the whole run decided on its way, in a line.
    """

    original_run_id: str
    new_run_id: str
    verdict: str
    num_digests: int
    epoch: int | None
    step: int | None
    tensor: str | None
    decisions: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigurationRecord:
    """What a configuration scored on the inner folds of an outer one.

    Args:
        configuration: number of the point of the grid, from 0.
        mean: over its inner experiments; None where one of them has no score.
        sd: standard deviation (n - 1) of the same; None where there are fewer than two.
        num_scored: inner experiments with a score.
        num_failed: those without.
    """

    configuration: int
    mean: float | None
    sd: float | None
    num_scored: int
    num_failed: int


@dataclass(frozen=True, slots=True)
class SelectionRecord:
    """Which configuration won an outer fold.

    Args:
        outer_fold: from 0, over all repeats.
        experiment_id: the first experiment that fits the winner on the outer training part; None where unknown.
        configuration: the winner; None where there is none.
        metric: what decided, such as `val/f1_macro`.
        best: `min` or `max`.
        rule: `best` or `one_standard_error`.
        score: mean of the winner over its inner experiments.
        num_failed: inner experiments of this outer fold without a score.
        num_configurations: how many there are.
        scores: of the configurations, the best first; not all where they are many.
    """

    outer_fold: int
    experiment_id: int | None
    configuration: int | None
    metric: str
    best: str
    rule: str
    score: float | None
    num_failed: int
    num_configurations: int
    scores: list[ConfigurationRecord]


@dataclass(frozen=True, slots=True)
class SearchStep:
    """Something that the strategy of a search said or was told; see `SearchDecision` and `SearchResult`.

    Args:
        action: `try`, `promote`, `stop` or `finish`; `result` for what it was told.
        at: when, in s since the epoch.
        trial: which one; None for the end.
        epochs: how many it has behind it then; None for all of its config.
        rung: the place of these among those at which trials are compared; None where there are none.
        choices: of a new configuration, the number of each value by its parameter.
        parameters: the same as values, by short key.
        score: of the trial; None where it has none.
        state: of a result, `paused`, `ended` or `failed`; empty for a decision.
        reason: why, in words.
    """

    action: str
    at: float
    trial: int | None = None
    epochs: int | None = None
    rung: int | None = None
    choices: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    score: float | None = None
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TableRecord:
    """The latest value of a metric that is no number, (rows, columns)."""

    epoch: int
    step: int
    values: list[list[float]]


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that somebody logged or printed; `logged_at` in s since the epoch."""

    logged_at: float
    level: str
    logger: str
    message: str
