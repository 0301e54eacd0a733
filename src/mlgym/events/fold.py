"""The state of a run as a fold over its log: what tables, reports, `show` and resuming look at.

It is total: whatever a log holds - events of older or newer versions, of a run that still goes on or died, fields that
are missing or of the wrong type - is taken as far as it can be understood, and the rest is passed over.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from mlgym.errors import EventLogError
from mlgym.events.codec import decode
from mlgym.events.damage import Damage, damage_after
from mlgym.events.experiment_fold import ON_EXPERIMENT_EVENT, ExperimentState, ExperimentStatusName, recent_logs
from mlgym.events.fields import Fields
from mlgym.events.quick import evaluation_line
from mlgym.events.records import (
    ConfigurationRecord,
    LogLine,
    SearchStep,
    SelectionRecord,
)
from mlgym.events.scan import whole_lines

RunStatusName = Literal["running", "finished", "interrupted", "crashed"]


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
        damage: where the log is damaged, so that there is more than could be folded in; None where it is not.
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
    recent_logs: deque[LogLine] = field(default_factory=recent_logs)
    damage: Damage | None = None

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
        elif event_type in ON_EXPERIMENT_EVENT:
            experiment_id = payload.integer("experiment_id")
            if experiment_id is not None and experiment_id >= 0:
                experiment = self._experiment(experiment_id)
                experiment.event_id = event_id
                ON_EXPERIMENT_EVENT[event_type](experiment, payload, at)
                experiment.event_at = at  # until now, of the last that was heard of it before

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
                experiment.finished_at = experiment.event_at
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
    state, num_bytes = RunState(), 0
    try:
        with Path(path).open("rb", buffering=2**20) as file:
            for event_id, line in enumerate(whole_lines(file)):
                state.apply_line(event_id, line)
                num_bytes += len(line)
            state.damage = damage_after(file, state.num_events, num_bytes)
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
