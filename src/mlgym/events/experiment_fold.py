"""The state of one experiment as a fold over the events that tell of it; see `fold`, which has that of the run."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mlgym.events.fields import Fields, named
from mlgym.events.history import Measurements, MetricHistory, MetricPoint
from mlgym.events.quick import Evaluation
from mlgym.events.records import (
    ArtifactRecord,
    CheckpointRecord,
    DigestRecord,
    LogLine,
    ModelRecord,
    Progress,
    ReproductionRecord,
    TableRecord,
)
from mlgym.names import Best

ExperimentStatusName = Literal["waiting", "running", "done", "failed", "interrupted"]


MAX_RECENT_LOGS: Final = 200


def recent_logs() -> deque[LogLine]:
    """Gives room for the last lines."""
    return deque(maxlen=MAX_RECENT_LOGS)


@dataclass(slots=True)
class ExperimentState:
    """What is known of one experiment.

    Args:
        experiment_id: its number in the run, from 0.
        event_id: the last event that changed anything here but `recent_logs`; -1 for none.
        event_at: when the last event about it was made, in s since the epoch.
        status: `failed` where its last attempt ended in an error.
        config: the resolved, sweep-free config.
        swept: the swept values, by short key.
        trial: what it is for, as `experiment_config` has it; empty in old logs.
        until_epoch: where its last job was to end, before the last epoch; None for all epochs.
        sizes: number of samples by split, as far as its process told them.
        classes: samples of each class by split, where they were counted.
        model: how large the model is; None where nobody told.
        fingerprints: hash (hex) of the samples by split, the same; two of the same hash are the same samples.
        device: where it runs or ran.
        attempt: how often it was started again, from 0.
        lineage: how often it went on in a way that need not repeat what came before, from 0.
        error: what failed, with `stacktrace`, `exit_signal` and the last lines it printed, `log_tail`.
        stop_reason: why training ended before its last epoch; None where it did not.
        started_at: of the first attempt, s since the epoch; what it says with `finished_at` includes the time between
            attempts, which `duration_s` leaves out.
        attempt_started_at, finished_at: of the last attempt, s since the epoch; for one that died with its driver, the
            end is the last that was heard of it.
        earlier_s: how long the attempts before the last one took together, in s.
        progress: where it stands.
        measured: when it was evaluated.
        metrics: histories by key `split/metric`; losses are among them.
        checkpoints: those that stand, by path, oldest first.
        artifacts: figures, texts and files that were logged, by path, oldest first.
        digest: the last one.
        reproduction: the last verdict of running it again; None where that was not done.
        tables: latest tables by key `split/metric`.
        steps_per_s, rss_bytes: the last load reported.
        recent_logs: the last `MAX_RECENT_LOGS` lines.
    """

    experiment_id: int
    event_id: int = -1
    event_at: float | None = None
    status: ExperimentStatusName = "waiting"
    config: dict[str, Any] = field(default_factory=dict)
    swept: dict[str, Any] = field(default_factory=dict)
    trial: dict[str, Any] = field(default_factory=dict)
    until_epoch: int | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    model: ModelRecord | None = None
    device: str | None = None
    attempt: int = 0
    lineage: int = 0
    error: str | None = None
    stacktrace: str | None = None
    exit_signal: str | None = None
    log_tail: list[str] = field(default_factory=list)
    stop_reason: str | None = None
    started_at: float | None = None
    attempt_started_at: float | None = None
    finished_at: float | None = None
    earlier_s: float = 0.0
    progress: Progress | None = None
    measured: Measurements = field(default_factory=Measurements)
    metrics: dict[str, MetricHistory] = field(default_factory=dict)
    checkpoints: dict[str, CheckpointRecord] = field(default_factory=dict)
    artifacts: dict[str, ArtifactRecord] = field(default_factory=dict)
    digest: DigestRecord | None = None
    reproduction: ReproductionRecord | None = None
    tables: dict[str, TableRecord] = field(default_factory=dict)
    steps_per_s: float | None = None
    rss_bytes: int | None = None
    recent_logs: deque[LogLine] = field(default_factory=recent_logs)
    _lineage_began: tuple[int, int, int] | None = None  # lineage, epoch, step

    def latest(self, key: str) -> MetricPoint | None:
        """Gives the last value of a metric such as `val/loss`, or None where there is none."""
        history = self.metrics.get(key)
        return history[-1] if history else None

    def best(self, key: str, best: Best) -> MetricPoint | None:
        """Gives the best value of a metric and when it was first reached; only a finite one is."""
        history = self.metrics.get(key)
        place = None if history is None else history.best(best)
        return None if history is None or place is None else history[place]

    def measure(self, payload: Evaluation, at: float) -> None:
        """Takes the values of an evaluation in, which came at a time (s since the epoch)."""
        row = self.measured.add(self.event_id, at, payload.epoch, payload.step)
        metrics, steps, step = self.metrics, self.measured.steps, payload.step
        # Most of what a fold does is done here: `MetricHistory.put`, without the calls.
        for score in payload.metric_scores:
            history = metrics.get(key := f"{score.split}/{score.metric}")
            if history is None:
                history = self._history(key)
            rows = history.rows
            if rows and not 0 <= steps[rows[-1]] < step:
                history.forget_from(row)
            rows.append(row)
            history.values.append(named(score.non_finite) if score.score is None else score.score)
        for loss in payload.loss_scores:
            history = metrics.get(key := f"{loss.split}/{loss.loss}")
            if history is None:
                history = self._history(key)
            rows = history.rows
            if rows and not 0 <= steps[rows[-1]] < step:
                history.forget_from(row)
            rows.append(row)
            history.values.append(named(loss.non_finite) if loss.score is None else loss.score)

    def _history(self, key: str) -> MetricHistory:
        history = self.metrics.get(key)
        if history is None:
            history = self.metrics[key] = MetricHistory(self.measured)
        return history

    @property
    def duration_s(self) -> float | None:
        """How long all its attempts took together, in s; None while it runs, and where it never did."""
        if self.attempt_started_at is None:
            return self.earlier_s or None
        return None if self.finished_at is None else self.spent_s(self.finished_at)

    def spent_s(self, now: float) -> float:
        """Gives how long all its attempts took together until a time (s since the epoch), in s."""
        return self.earlier_s + (0.0 if self.attempt_started_at is None else max(0.0, now - self.attempt_started_at))

    def begin_attempt(self) -> None:
        """Puts the time of the attempt so far to that of earlier ones."""
        end = self.event_at if self.finished_at is None else self.finished_at
        self.earlier_s = self.spent_s(end or 0.0)
        self.attempt_started_at = self.finished_at = None


def _on_config(experiment: ExperimentState, payload: Fields, at: float) -> None:
    experiment.config = payload.mapping("config")
    experiment.swept = payload.mapping("swept")
    experiment.lineage = payload.integer("lineage") or 0
    experiment.trial = payload.mapping("trial") or experiment.trial


def _on_data_fingerprint(experiment: ExperimentState, payload: Fields, at: float) -> None:
    split, num_samples = payload.text("split"), payload.integer("num_samples")
    if split is not None and num_samples is not None:
        experiment.sizes[split] = num_samples
        experiment.fingerprints[split] = payload.text("sha256") or ""
        classes = payload.inner("classes")
        counts = {name: classes.integer(name) for name in payload.mapping("classes")}
        experiment.classes[split] = {name: count for name, count in counts.items() if count is not None}


def _on_model_summary(experiment: ExperimentState, payload: Fields, at: float) -> None:
    experiment.model = ModelRecord(
        name=payload.text("name") or "",
        num_parameters=payload.integer("num_parameters") or 0,
        num_trainable_parameters=payload.integer("num_trainable_parameters") or 0,
        num_bytes=payload.integer("num_bytes") or 0,
    )


def _on_job_status(experiment: ExperimentState, payload: Fields, at: float) -> None:
    status = payload.text("status")
    if status not in ("INIT", "RUNNING", "DONE"):
        return
    attempt = payload.integer("attempt") or 0
    if status == "INIT":
        experiment.until_epoch = payload.integer("until_epoch")
    if status != "DONE":
        experiment.progress = None
        if status == "INIT" or attempt != experiment.attempt or experiment.finished_at is not None:
            experiment.begin_attempt()
    experiment.error = payload.text("error")
    experiment.stacktrace = payload.text("stacktrace")
    experiment.exit_signal = payload.text("exit_signal")
    experiment.log_tail = payload.texts("log_tail")
    experiment.device = payload.text("device") or experiment.device
    experiment.attempt = attempt
    experiment.attempt_started_at = payload.time("starting_time") or experiment.attempt_started_at
    experiment.finished_at = (payload.time("finishing_time") or at) if status == "DONE" else None
    if status == "RUNNING":
        experiment.attempt_started_at = experiment.attempt_started_at or at
    if experiment.started_at is None:
        experiment.started_at = experiment.attempt_started_at
    experiment.status = _status_of(status, payload)


def _status_of(status: str, payload: Fields) -> ExperimentStatusName:
    if status != "DONE":
        return "waiting" if status == "INIT" else "running"
    if payload.says("interrupted"):
        return "interrupted"
    # An error that is there at all is a failure, also where an old log has something else than text in it.
    return "failed" if payload.has("error") else "done"


def _on_progress(experiment: ExperimentState, payload: Fields, at: float) -> None:
    experiment.progress = Progress(
        phase=payload.text("status") or "train",
        epoch=payload.integer("current_epoch") or 0,
        num_epochs=payload.integer("num_epochs") or 0,
        batch=payload.integer("current_batch") or 0,
        num_batches=payload.integer("num_batches") or 0,
        split=payload.text("current_split") or "",
        reported_at=at,
    )


def _on_evaluation(experiment: ExperimentState, payload: Fields, at: float) -> None:
    epoch, step = _when(payload)
    row = experiment.measured.add(experiment.event_id, at, epoch, step)
    for kind, list_key in (("metric", "metric_scores"), ("loss", "loss_scores")):
        for score in payload.items(list_key):
            key = _metric_key(score, kind)
            if key is not None:
                value = score["score"] if type(score.get("score")) is float else Fields(score).score()
                experiment._history(key).put(row, value)
    for table in payload.items("tables"):
        key = _metric_key(table, "metric")
        if key is not None:
            experiment.tables[key] = TableRecord(epoch, step, [_row(row) for row in Fields(table).items("values")])


def _when(payload: Fields) -> tuple[int, int]:
    epoch, step = payload.integer("epoch"), payload.integer("step")
    return epoch or 0, -1 if step is None else step


def _metric_key(score: Any, kind: str) -> str | None:
    # Plain look-ups: most of what a fold does is done here.
    if not isinstance(score, dict):
        return None
    name, split = score.get(kind), score.get("split")
    return f"{split}/{name}" if name and split and isinstance(name, str) and isinstance(split, str) else None


def _row(row: Any) -> list[float]:
    cells = row if isinstance(row, list) else []
    if all(type(cell) is float for cell in cells):
        return cells
    return [math.nan if (number := Fields({"cell": cell}).number("cell")) is None else number for cell in cells]


def _on_checkpoint_saved(experiment: ExperimentState, payload: Fields, at: float) -> None:
    path = payload.text("path")
    if path is None:
        return
    epoch, step = _when(payload)
    # Saved again, it is the newest.
    experiment.checkpoints.pop(path, None)
    experiment.checkpoints[path] = CheckpointRecord(
        epoch, step, path, payload.integer("bytes") or 0, _hashes(payload), payload.texts("reasons")
    )


def _on_artifact_saved(experiment: ExperimentState, payload: Fields, at: float) -> None:
    path = payload.text("path")
    if path is None:
        return
    epoch, step = _when(payload)
    experiment.artifacts[path] = ArtifactRecord(
        name=payload.text("name") or path,
        kind=payload.text("kind") or "file",
        version=payload.integer("version") or 0,
        epoch=epoch,
        step=step,
        path=path,
        num_bytes=payload.integer("bytes") or 0,
        sha256=_hashes(payload),
    )


def _hashes(payload: Fields) -> dict[str, str]:
    return {file: digest for file, digest in payload.mapping("sha256").items() if isinstance(digest, str)}


def _on_checkpoint_deleted(experiment: ExperimentState, payload: Fields, at: float) -> None:
    experiment.checkpoints.pop(payload.text("path") or "", None)


def _on_digest(experiment: ExperimentState, payload: Fields, at: float) -> None:
    epoch, step = _when(payload)
    parameters, optimizer = payload.text("parameters") or "", payload.text("optimizer") or ""
    experiment.digest = DigestRecord(epoch, step, parameters, optimizer)


def _on_training_stopped(experiment: ExperimentState, payload: Fields, at: float) -> None:
    experiment.stop_reason = payload.text("reason") or "no reason given"


def _on_experiment_resumed(experiment: ExperimentState, payload: Fields, at: float) -> None:
    experiment.lineage = payload.integer("lineage") or 0
    epoch, step = _when(payload)
    began = (experiment.lineage, epoch, step)
    if payload.says("replaces_later") and began != experiment._lineage_began:
        experiment._lineage_began = began
        experiment.stop_reason = None
        for history in experiment.metrics.values():
            history.cut_after(epoch, step, experiment.event_id)


def _on_reproduction_verdict(experiment: ExperimentState, payload: Fields, at: float) -> None:
    experiment.reproduction = ReproductionRecord(
        original_run_id=payload.text("original_run_id") or "",
        new_run_id=payload.text("new_run_id") or "",
        verdict=payload.text("verdict") or "",
        num_digests=payload.integer("num_digests") or 0,
        epoch=payload.integer("epoch"),
        step=payload.integer("step"),
        tensor=payload.text("tensor"),
        decisions=payload.text("decisions"),
    )


def _on_system_metrics(experiment: ExperimentState, payload: Fields, at: float) -> None:
    experiment.steps_per_s = payload.number("steps_per_s")
    experiment.rss_bytes = payload.integer("rss_bytes")


ON_EXPERIMENT_EVENT: Final[dict[str, Callable[[ExperimentState, Fields, float], None]]] = {
    "experiment_config": _on_config,
    "job_status": _on_job_status,
    "experiment_status": _on_progress,
    "evaluation_result": _on_evaluation,
    "checkpoint_saved": _on_checkpoint_saved,
    "checkpoint_deleted": _on_checkpoint_deleted,
    "artifact_saved": _on_artifact_saved,
    "data_fingerprint": _on_data_fingerprint,
    "digest": _on_digest,
    "model_summary": _on_model_summary,
    "experiment_resumed": _on_experiment_resumed,
    "reproduction_verdict": _on_reproduction_verdict,
    "training_stopped": _on_training_stopped,
    "system_metrics": _on_system_metrics,
}
"""What each type of event changes: called with the state, the payload, and when the event was made."""
