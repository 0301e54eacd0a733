"""The state of a run as a fold over its log: what tables, reports, `show` and resuming look at.

It is total: whatever a log holds - events of older or newer versions, of a run that still goes on or died, fields that
are missing or of the wrong type - is taken as far as it can be understood, and the rest is passed over.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from mlgym.errors import EventLogError
from mlgym.events.codec import decode
from mlgym.events.fields import Fields
from mlgym.events.history import Measurements, MetricHistory, MetricPoint
from mlgym.events.quick import Evaluation, evaluation_line, named
from mlgym.events.records import (
    ArtifactRecord,
    CheckpointRecord,
    ConfigurationRecord,
    DigestRecord,
    LogLine,
    ModelRecord,
    Progress,
    ReproductionRecord,
    SearchStep,
    SelectionRecord,
    TableRecord,
)
from mlgym.events.scan import whole_lines
from mlgym.names import Best

ExperimentStatusName = Literal["waiting", "running", "done", "failed", "interrupted"]
RunStatusName = Literal["running", "finished", "interrupted", "crashed"]
MAX_RECENT_LOGS: Final = 200


def _recent_logs() -> deque[LogLine]:
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
        started_at, finished_at: s since the epoch, of the last attempt.
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
    finished_at: float | None = None
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
    recent_logs: deque[LogLine] = field(default_factory=_recent_logs)
    _lineage_began: tuple[int, int, int] | None = None  # lineage, epoch, step

    def latest(self, key: str) -> MetricPoint | None:
        """Gives the last value of a metric such as `val/loss`, or None where there is none."""
        history = self.metrics.get(key)
        return history[-1] if history else None

    def best(self, key: str, best: Best) -> MetricPoint | None:
        """Gives the best value of a metric and when it was first reached; NaN is never the best."""
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
        """How long the last attempt took, in s; None until it ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, self.finished_at - self.started_at)


@dataclass(slots=True)
class RunState:
    """What is known of a run.

    Args:
        run_id: as the events say.
        name: the config's name.
        command: how it was launched.
        versions: of python and packages, by name.
        validation_mode: `grid_search`, `cross_validation`, ...
        validation: the config's section with its defaults, and `num_configurations`; empty in old logs.
        selections: which configuration won each outer fold, by fold, as far as it is decided.
        search: what the strategy of a search said and was told, in this order; empty where there is none.
        num_experiments: how many there will be; None in old logs. Of a search that goes on, at most.
        reproduces: the run whose results this one is to reproduce; None for none.
        started_at, finished_at: s since the epoch; `finished_at` is None while it goes on.
        num_starts: how often it was started or resumed.
        num_jobs: how many jobs it had so far, those that did not end included.
        final_counts: what the end of the run said: `succeeded`, `failed`, `interrupted`, `not_started`.
        environment: what `environment.json` holds.
        experiments: by id, as far as events told of them.
        is_crashed: see `mark_crashed`.
        num_events: how many were folded in.
        first_event_at, last_event_at: creation of the first and of the latest event, s since the epoch.
        recent_logs: the driver's last `MAX_RECENT_LOGS` lines.
    """

    run_id: str | None = None
    name: str | None = None
    command: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    validation_mode: str | None = None
    validation: dict[str, Any] = field(default_factory=dict)
    selections: dict[int, SelectionRecord] = field(default_factory=dict)
    search: list[SearchStep] = field(default_factory=list)
    num_experiments: int | None = None
    reproduces: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    num_starts: int = 0
    num_jobs: int = 0
    final_counts: dict[str, int] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    experiments: dict[int, ExperimentState] = field(default_factory=dict)
    is_crashed: bool = False
    num_events: int = 0
    first_event_at: float | None = None
    last_event_at: float | None = None
    recent_logs: deque[LogLine] = field(default_factory=_recent_logs)

    @property
    def status(self) -> RunStatusName:
        """Whether the run goes on, ended, was interrupted, or died."""
        if self.is_crashed:
            return "crashed"
        if not self._has_ended():
            return "running"
        unfinished = self.final_counts.get("interrupted", 0) + self.final_counts.get("not_started", 0)
        return "interrupted" if unfinished else "finished"

    @property
    def counts(self) -> dict[ExperimentStatusName, int]:
        """How many experiments are in each status; those that no event told of yet are waiting."""
        counted = Counter(experiment.status for experiment in self.experiments.values())
        counted["waiting"] += max(0, (self.num_experiments or 0) - len(self.experiments))
        order: tuple[ExperimentStatusName, ...] = ("waiting", "running", "done", "failed", "interrupted")
        return {status: counted[status] for status in order}

    @property
    def metric_keys(self) -> list[str]:
        """The keys `split/metric` that any experiment has, in the order they came up."""
        return list(dict.fromkeys(key for experiment in self.experiments.values() for key in experiment.metrics))

    def apply(self, event_id: int, event: Any) -> None:
        """Takes one event in, in the order of their ids; never raises.

        Args:
            event_id: the number of its line, from 0.
            event: plain data as `read_log` gives it.
        """
        self.num_events = max(self.num_events, event_id + 1)
        fields = Fields(event)
        payload = fields.inner("payload")
        at = (fields.integer("creation_ts") or 0) / 1e6
        if self.last_event_at is None:
            self.first_event_at = at
        self.last_event_at = max(self.last_event_at or 0.0, at)
        self.run_id = self.run_id or payload.text("grid_search_id")
        event_type = fields.text("event_type") or ""
        if event_type == "job_status" and payload.text("status") == "INIT":
            self.num_jobs += 1
        if event_type in _OF_RUN:
            _OF_RUN[event_type](self, payload, at)
        elif event_type in _OF_EXPERIMENT:
            experiment_id = payload.integer("experiment_id")
            if experiment_id is not None and experiment_id >= 0:
                experiment = self._experiment(experiment_id)
                experiment.event_id, experiment.event_at = event_id, at
                _OF_EXPERIMENT[event_type](experiment, payload, at)

    def apply_line(self, event_id: int, line: bytes, *, with_values: bool = True) -> dict[str, Any] | None:
        """Takes one whole line of a log in, in the order of their ids; never raises.

        Args:
            event_id: its number, from 0.
            line: as `whole_lines` gives it.
            with_values: whether histories are wanted; where not, they are left incomplete.

        Returns:
            The event as plain data; None for the values of an evaluation, which are taken in without making any.
        """
        quick = evaluation_line(line)
        if quick is None:
            event = decode(line)
            self.apply(event_id, event)
            return event
        at = quick.creation_ts / 1e6
        if event_id >= self.num_events:
            self.num_events = event_id + 1
        if self.last_event_at is None:
            self.first_event_at, self.last_event_at = at, max(at, 0.0)
        elif at > self.last_event_at:
            self.last_event_at = at
        self.run_id = self.run_id or quick.payload.grid_search_id
        experiment = self.experiments.get(quick.payload.experiment_id) or self._experiment(quick.payload.experiment_id)
        experiment.event_id, experiment.event_at = event_id, at
        if with_values:
            experiment.measure(quick.payload, at)
        return None

    def mark_crashed(self) -> None:
        """Notes that nobody writes the log any more although the run has not ended; a log cannot say that itself."""
        if not self._has_ended():
            self.is_crashed = True
            self._interrupt_running()

    def _interrupt_running(self) -> None:
        for experiment in self.experiments.values():
            if experiment.status == "running":
                experiment.status = "interrupted"
                experiment.event_id = self.num_events - 1

    def _experiment(self, experiment_id: int) -> ExperimentState:
        if experiment_id not in self.experiments:
            self.experiments[experiment_id] = ExperimentState(experiment_id)
        return self.experiments[experiment_id]

    def _has_ended(self) -> bool:
        if self.num_starts or self.finished_at is not None:
            return self.finished_at is not None
        # Old logs do not say when a run starts and ends.
        return bool(self.experiments) and all(one.finished_at is not None for one in self.experiments.values())


def fold(events: Iterable[tuple[int, Any]]) -> RunState:
    """Gives the state of a run after the events, as `read_log` yields them."""
    state = RunState()
    for event_id, event in events:
        state.apply(event_id, event)
    return state


def fold_log(path: Path | str) -> RunState:
    """Gives the state of a run as its log stands at this moment; as `fold` over `read_log`, in half the time.

    Raises:
        EventLogError: there is no such file or it cannot be read.
    """
    state = RunState()
    try:
        with Path(path).open("rb", buffering=2**20) as file:
            for event_id, line in enumerate(whole_lines(file)):
                state.apply_line(event_id, line)
    except OSError as error:
        raise EventLogError(f"`{path}` cannot be read: {error.strerror}") from error
    return state


def _on_run_started(run: RunState, payload: Fields, at: float) -> None:
    run.num_starts += 1
    # What an earlier driver left running died with it.
    run._interrupt_running()
    run.name = payload.text("name") or run.name
    run.command = payload.texts("command") or run.command
    run.versions = payload.mapping("versions") or run.versions
    run.validation_mode = payload.text("validation_mode") or run.validation_mode
    run.validation = payload.mapping("validation") or run.validation
    run.num_experiments = payload.integer("num_experiments") or run.num_experiments
    run.reproduces = payload.text("reproduces") or run.reproduces
    run.started_at = at if run.started_at is None else run.started_at
    run.finished_at = None
    run.final_counts = {}


def _on_run_finished(run: RunState, payload: Fields, at: float) -> None:
    run.finished_at = at
    kinds = ("succeeded", "failed", "interrupted", "not_started")
    run.final_counts = {kind: payload.integer(f"num_{kind}") or 0 for kind in kinds}


def _on_selection_made(run: RunState, payload: Fields, at: float) -> None:
    outer_fold = payload.integer("outer_fold")
    if outer_fold is None:
        return
    run.selections[outer_fold] = SelectionRecord(
        outer_fold=outer_fold,
        experiment_id=payload.integer("experiment_id"),
        configuration=payload.integer("configuration"),
        metric=payload.text("metric") or "",
        best=payload.text("best") or "",
        rule=payload.text("rule") or "",
        score=payload.number("score"),
        num_failed=payload.integer("num_failed") or 0,
        num_configurations=payload.integer("num_configurations") or 0,
        scores=[_configuration(Fields(score)) for score in payload.items("scores")],
    )


def _configuration(fields: Fields) -> ConfigurationRecord:
    return ConfigurationRecord(
        configuration=-1 if (number := fields.integer("configuration")) is None else number,
        mean=fields.number("mean"),
        sd=fields.number("sd"),
        num_scored=fields.integer("num_scored") or 0,
        num_failed=fields.integer("num_failed") or 0,
    )


def _on_search_decision(run: RunState, payload: Fields, at: float) -> None:
    action = payload.text("action")
    if action not in ("try", "promote", "stop", "finish"):
        return
    run.search.append(
        SearchStep(
            action=action,
            at=at,
            trial=payload.integer("trial"),
            epochs=payload.integer("epochs"),
            rung=payload.integer("rung"),
            choices={name: place for name, place in payload.mapping("choices").items() if type(place) is int},
            parameters=payload.mapping("parameters"),
            score=payload.number("score"),
            reason=payload.text("reason") or "",
        )
    )
    if action == "finish":
        # Only now it is known how many there are.
        run.num_experiments = len(run.experiments)
        num_tried = sum(step.action == "try" for step in run.search)
        run.validation = {**run.validation, "num_configurations": num_tried}


def _on_search_result(run: RunState, payload: Fields, at: float) -> None:
    trial, state = payload.integer("trial"), payload.text("state")
    if trial is None or state not in ("paused", "ended", "failed"):
        return
    run.search.append(
        SearchStep(
            action="result",
            at=at,
            trial=trial,
            epochs=payload.integer("epochs"),
            score=payload.number("score"),
            state=state,
        )
    )


def _on_environment(run: RunState, payload: Fields, at: float) -> None:
    run.environment = payload.mapping("environment")


def _on_log(run: RunState, payload: Fields, at: float) -> None:
    experiment_id = payload.integer("experiment_id")
    of_driver = experiment_id is None or experiment_id < 0
    logs = run.recent_logs if of_driver else run._experiment(experiment_id or 0).recent_logs
    message = payload.text("message") or ""
    logs.append(LogLine(at, payload.text("level") or "", payload.text("logger") or "", message))


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
    if status == "INIT":
        experiment.until_epoch = payload.integer("until_epoch")
    if status != "DONE":
        experiment.progress = None
    experiment.error = payload.text("error")
    experiment.stacktrace = payload.text("stacktrace")
    experiment.exit_signal = payload.text("exit_signal")
    experiment.log_tail = payload.texts("log_tail")
    experiment.device = payload.text("device") or experiment.device
    experiment.attempt = payload.integer("attempt") or 0
    experiment.started_at = payload.time("starting_time") or (experiment.started_at if status == "DONE" else None)
    experiment.finished_at = (payload.time("finishing_time") or at) if status == "DONE" else None
    if status == "RUNNING":
        experiment.started_at = experiment.started_at or at
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
    )


def _on_system_metrics(experiment: ExperimentState, payload: Fields, at: float) -> None:
    experiment.steps_per_s = payload.number("steps_per_s")
    experiment.rss_bytes = payload.integer("rss_bytes")


_OF_RUN: Final[dict[str, Callable[[RunState, Fields, float], None]]] = {
    "run_started": _on_run_started,
    "run_resumed": _on_run_started,
    "run_finished": _on_run_finished,
    "environment": _on_environment,
    "selection_made": _on_selection_made,
    "search_decision": _on_search_decision,
    "search_result": _on_search_result,
    "log": _on_log,
}
_OF_EXPERIMENT: Final[dict[str, Callable[[ExperimentState, Fields, float], None]]] = {
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
