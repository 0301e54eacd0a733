"""The experiments of a run as a table: its columns, its rows, and the order that somebody asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import msgspec

from mlgym.events import ExperimentState, MetricPoint, RunState, finite
from mlgym.names import Best, did_you_mean
from mlgym.server.api.filter import Condition, is_number, text_of
from mlgym.server.api.standings import Standing, standings_of
from mlgym.server.projection.projection import View
from mlgym.validation import Selection, default_selection, rank, smaller_is_better
from mlgym.validation.ranking import watched

_OF_METRIC: Final = re.compile(r"(latest|best)(?::|(\())(.+?)(?(2)\))", re.DOTALL)
"""`latest(val/loss)`, or `latest:val/loss`, which a filter could not take."""
_ALIASES: Final = {"id": "experiment_id", "duration": "duration_s"}
_TRIAL: Final = "trial."


class _Fact(NamedTuple):
    type: str
    of: Callable[[Table, ExperimentState], Any]


class Table:
    """The experiments of a view by their number.

    Args:
        view: the run; its projection is held while this is used.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.experiments: Sequence[ExperimentState] = [one for _, one in sorted(view.state.experiments.items())]

    @classmethod
    def of(cls, view: View) -> Table:
        """Gives the table of a view, the one from last time where nothing happened since."""
        key = (view.at, view.is_crashed)
        before: tuple[tuple[int, bool], Table] | None = view.memory.get("table")
        if before is None or before[0] != key:
            view.memory["table"] = before = (key, cls(view))
        return before[1]

    def __len__(self) -> int:
        return len(self.experiments)

    @cached_property
    def metrics(self) -> list[str]:
        """The keys of all metrics, the one that the run selects by first."""
        keys = self.view.state.metric_keys
        first = self.selection.metric if self.selection else None
        return sorted(keys, key=lambda key: key != first)

    @cached_property
    def selection(self) -> Selection | None:
        """What the run itself selects by."""
        return default_selection(self.view.state)

    @cached_property
    def swept(self) -> list[str]:
        """The keys of swept parameters."""
        return _keys(one.swept for one in self.experiments)

    @cached_property
    def trial(self) -> list[str]:
        """What experiments say about their place in the validation."""
        return _keys({key: None for key, value in one.trial.items() if value is not None} for one in self.experiments)

    @cached_property
    def ranks(self) -> dict[int, int | None]:
        """Ranks by experiment."""
        return {one.experiment.experiment_id: one.rank for one in rank(self.view.state, self.selection)}

    @cached_property
    def standings(self) -> dict[int, Standing]:
        """How the trials of a search stand, by their number."""
        return standings_of(self.view.state)

    def standing_of(self, experiment: ExperimentState) -> Standing | None:
        """Gives how the trial of an experiment stands in the search; None where there is none."""
        number = experiment.trial.get("configuration") if self.standings else None
        found = self.standings.get(number) if type(number) is int else None
        is_early = found is not None and found.standing == "complete" and experiment.stop_reason is not None
        return found._replace(standing="stopped early") if found is not None and is_early else found

    @cached_property
    def directions(self) -> dict[str, Best]:
        """Which end of each metric is the good one: what a config says, else what is usual for its name."""
        found = directions_of(self.view, self.metrics)
        before: dict[str, Best] | None = self.view.memory.get("directions")
        if found != before:
            self.view.memory["directions"] = before = found
        return before

    def status_of(self, experiment: ExperimentState) -> str:
        """Gives the status; an experiment that ran when its run died is interrupted."""
        if self.view.is_crashed and experiment.status == "running":
            return "interrupted"
        return experiment.status

    def duration_of(self, experiment: ExperimentState) -> float | None:
        """Gives how long all attempts took together, in s; up to the last event about it while it runs."""
        if experiment.status == "running":
            return experiment.spent_s(experiment.event_at or 0.0)
        return experiment.duration_s

    def values(self, key: str) -> list[Any]:
        """Gives a column; see `filter.Columns`.

        Raises:
            KeyError: there is none of that key; its argument is a sentence that says so.
        """
        found = self._metric_column(key)
        if found is not None:
            return found
        name = _ALIASES.get(key, key)
        if name in _FACTS:
            return [_FACTS[name].of(self, one) for one in self.experiments]
        if key.startswith("config."):
            steps = key.split(".")[1:]
            return [_at(one.config, steps) for one in self.experiments]
        whole = self._whole_key(key)
        if whole in self.swept:
            return [one.swept.get(whole) for one in self.experiments]
        found = self._metric_column(whole)
        if found is not None:
            return found
        trial = key.removeprefix(_TRIAL)
        if trial in self.trial:
            return [one.trial.get(trial) for one in self.experiments]
        if not self.experiments or (not self.metrics and "/" in key):
            return [None] * len(self)  # what a run will have is not known yet
        # Elsewhere `-key` sorts downwards.
        raise KeyError(f"no experiment has `{key}`{did_you_mean(key.removeprefix('-'), self._known())}")

    def texts(self) -> list[str]:
        """Gives what words are looked for in: status, device, error, swept values."""
        return [
            " ".join(
                [
                    str(one.experiment_id),
                    self.status_of(one),
                    *filter(None, (one.device, one.error, one.exit_signal, one.stop_reason)),
                    *(f"{key}={text_of(value)}" for key, value in one.swept.items()),
                ]
            ).casefold()
            for one in self.experiments
        ]

    def chosen(self, condition: Condition, sort: str, order: str) -> list[ExperimentState]:
        """Gives the experiments for which a condition holds, in order; those without a value come last.

        Raises:
            KeyError: there is no column to sort by.
            RefusedError: the condition asks for what is not there.
        """
        matching = condition.matches(self)
        some: list[tuple[tuple[int, Any], ExperimentState]] = []
        others: list[ExperimentState] = []
        for value, one, is_wanted in zip(self.values(sort), self.experiments, matching, strict=True):
            if is_wanted:
                key = _order_of(value)
                if key is None:
                    others.append(one)
                else:
                    some.append((key, one))
        some.sort(key=lambda item: item[0], reverse=order == "desc")
        return [one for _, one in some] + others

    @cached_property
    def columns(self) -> list[dict[str, Any]]:
        """What rows have, for `Column`."""
        described: list[dict[str, Any]] = [
            {"key": key, "kind": "fact", "type": fact.type} for key, fact in _FACTS.items()
        ]
        for key in self.swept:
            values = [one.swept[key] for one in self.experiments if key in one.swept]
            num_distinct = len({(type(value), _hashable(value)) for value in values})
            described.append({"key": key, "kind": "swept", "type": _type_of(values), "num_distinct": num_distinct})
        for key in self.trial:
            values = [one.trial[key] for one in self.experiments if one.trial.get(key) is not None]
            described.append({"key": f"{_TRIAL}{key}", "kind": "trial", "type": _type_of(values)})
        for key in self.metrics:
            described.append({"key": key, "kind": "metric", "type": "number", "direction": self.directions[key]})
        return [{"direction": None, "num_distinct": None} | one for one in described]

    def encoded_row(self, experiment: ExperimentState) -> msgspec.Raw:
        """Gives an `ExperimentRow` with all metrics as JSON, which is made anew only when something happened."""
        facts = self.status_of(experiment), self.ranks[experiment.experiment_id], self.duration_of(experiment)
        key = (experiment.event_id, id(self.directions), self.standing_of(experiment), *facts)
        known = self.view.memory.setdefault("rows", {})
        before = known.get(experiment.experiment_id)
        if before is None or before[0] != key:
            # The directions are kept as long as their `id` is.
            row = msgspec.Raw(msgspec.json.encode(self.row(experiment)))
            known[experiment.experiment_id] = before = (key, self.directions, row)
        found: msgspec.Raw = before[2]
        return found

    def row(self, experiment: ExperimentState, metrics: Iterable[str] | None = None) -> dict[str, Any]:
        """Gives an `ExperimentRow`.

        Args:
            experiment: one of them.
            metrics: the metrics that it has; None for all.
        """
        latest, best = self._values_of(experiment) if metrics is None else self._encoded_values(experiment, metrics)
        standing = self.standing_of(experiment)
        return {
            "experiment_id": experiment.experiment_id,
            "status": self.status_of(experiment),
            "swept": experiment.swept,
            "trial": experiment.trial,
            "latest": latest,
            "best": best,
            "rank": self.ranks[experiment.experiment_id],
            "progress": _progress_of(experiment),
            "device": experiment.device,
            "attempt": experiment.attempt,
            "error": experiment.error,
            "exit_signal": experiment.exit_signal,
            "stop_reason": experiment.stop_reason,
            "started_at": experiment.started_at,
            "attempt_started_at": experiment.attempt_started_at,
            "finished_at": experiment.finished_at,
            "duration_s": self.duration_of(experiment),
            "earlier_s": experiment.earlier_s,
            "steps_per_s": experiment.steps_per_s,
            "rss_bytes": experiment.rss_bytes,
            "num_checkpoints": len(experiment.checkpoints),
            "verdict": _verdict_of(experiment),
            "rung": None if standing is None else standing.rung,
            "standing": None if standing is None else standing.standing,
            "decision": None if standing is None else standing.decision or None,
        }

    def _values_of(self, experiment: ExperimentState) -> tuple[msgspec.Raw, msgspec.Raw]:
        """Gives `latest` and `best` of all metrics; the time that a row needs goes here, and little of it changes."""
        key = (experiment.event_id, id(self.directions))
        known = self.view.memory.setdefault("values", {})
        before = known.get(experiment.experiment_id)
        if before is None or before[0] != key:
            values = self._encoded_values(experiment, experiment.metrics)
            known[experiment.experiment_id] = before = (key, self.directions, values)
        found: tuple[msgspec.Raw, msgspec.Raw] = before[2]
        return found

    def _encoded_values(self, experiment: ExperimentState, metrics: Iterable[str]) -> tuple[msgspec.Raw, msgspec.Raw]:
        keys = [key for key in metrics if key in experiment.metrics]
        latest = {key: point for key in keys if (point := experiment.latest(key)) is not None}
        best = {key: point for key in keys if (point := experiment.best(key, self.directions[key])) is not None}
        encoded = [
            msgspec.json.encode({key: value_of(point) for key, point in points.items()}) for points in (latest, best)
        ]
        return msgspec.Raw(encoded[0]), msgspec.Raw(encoded[1])

    def _metric_column(self, key: str) -> list[Any] | None:
        match = _OF_METRIC.fullmatch(key)
        way, metric = (match[1], self._whole_key(match[3].strip())) if match else ("best", key)
        if metric not in self.directions:
            return None
        points = [
            one.latest(metric) if way == "latest" else one.best(metric, self.directions[metric])
            for one in self.experiments
        ]
        # An experiment that never measured a finite value has one all the same.
        points = [
            one.latest(metric) if point is None else point for point, one in zip(points, self.experiments, strict=True)
        ]
        return [None if point is None else point.value for point in points]

    def _whole_key(self, key: str) -> str:
        """Gives the metric or swept parameter that a key means: itself, or the only one that ends so."""
        known = [*self.metrics, *self.swept]
        ending = [one for one in known if one.endswith((f".{key}", f"/{key}"))] if key not in known else []
        if len(ending) > 1:
            raise KeyError(f"`{key}` may be {' or '.join(f'`{one}`' for one in ending)}")
        return ending[0] if ending else key

    def _known(self) -> list[str]:
        short = [re.split(r"[./]", key)[-1] for key in (*self.metrics, *self.swept)]
        return [*self.metrics, *self.swept, *short, *(f"{_TRIAL}{key}" for key in self.trial), *_FACTS]


def directions_of(view: View, metrics: Iterable[str]) -> dict[str, Best]:
    """Gives which end of each metric is the good one.

    Args:
        view: the run whose configs may say so.
        metrics: their keys.
    """
    said: dict[str, Best] = {}
    known: dict[int, tuple[Any, list[tuple[str, Best]]]] = view.memory.setdefault("watched", {})
    for number, section in [(-1, view.state.validation.get("select")), *_configs(view.state)]:
        before = known.get(number)
        if before is None or before[0] is not section:
            known[number] = before = (section, list(watched(section)))
        for key, best in before[1]:
            said.setdefault(key, best)
    return {key: said.get(key) or ("min" if smaller_is_better(key) else "max") for key in metrics}


def _configs(state: RunState) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, experiment in state.experiments.items():
        yield number, experiment.config


def value_of(point: MetricPoint) -> dict[str, Any]:
    """Gives a `MetricValue`."""
    value, name = finite(point.value)
    return {"value": value, "epoch": point.epoch, "step": point.step, "non_finite": name}


def _keys(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _hashable(value: Any) -> Any:
    return msgspec.json.encode(value) if isinstance(value, list | dict) else value


def _type_of(values: Sequence[Any]) -> str:
    if all(isinstance(value, bool) for value in values):
        return "boolean"
    if all(map(is_number, values)):
        return "number"
    return "text" if all(isinstance(value, str) for value in values) else "mixed"


def _at(config: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(config, list) and step.isdecimal() and int(step[:9]) < len(config):
            config = config[int(step[:9])]
        elif isinstance(config, dict):
            config = config.get(step)
        else:
            return None
    return config


def _order_of(value: Any) -> tuple[int, Any] | None:
    """Gives what a value is sorted by; None for no value, which no sorting puts first. NaN and infinities are none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return (0, value) if is_number(value) else (1, text_of(value).casefold())


def _progress_of(experiment: ExperimentState) -> dict[str, Any] | None:
    progress = experiment.progress
    if progress is None:
        return None
    within = progress.batch / progress.num_batches if progress.num_batches > 0 and progress.phase == "train" else 0.0
    fraction = (progress.epoch + within) / progress.num_epochs if progress.num_epochs > 0 else 0.0
    names = ("phase", "epoch", "num_epochs", "batch", "num_batches", "split", "reported_at")
    return {name: getattr(progress, name) for name in names} | {"fraction": min(1.0, max(0.0, fraction))}


def _verdict_of(experiment: ExperimentState) -> str | None:
    verdict = experiment.reproduction.verdict if experiment.reproduction else None
    return verdict if verdict in ("identical", "within_tolerance", "diverged") else None


def _of_standing(table: Table, experiment: ExperimentState, name: str) -> Any:
    return getattr(table.standing_of(experiment), name, None)


def _fraction_of(table: Table, experiment: ExperimentState) -> float | None:
    progress = _progress_of(experiment)
    return progress["fraction"] if progress else None


def _epoch_of(table: Table, experiment: ExperimentState) -> int | None:
    return max((history[-1].epoch for history in experiment.metrics.values() if len(history)), default=None)


_FACTS: Final[dict[str, _Fact]] = {
    "experiment_id": _Fact("number", lambda table, one: one.experiment_id),
    "status": _Fact("text", Table.status_of),
    "rank": _Fact("number", lambda table, one: table.ranks[one.experiment_id]),
    "progress": _Fact("number", _fraction_of),
    "epoch": _Fact("number", _epoch_of),
    "device": _Fact("text", lambda table, one: one.device),
    "attempt": _Fact("number", lambda table, one: one.attempt),
    "error": _Fact("text", lambda table, one: one.error),
    "exit_signal": _Fact("text", lambda table, one: one.exit_signal),
    "stop_reason": _Fact("text", lambda table, one: one.stop_reason),
    "started_at": _Fact("number", lambda table, one: one.started_at),
    "finished_at": _Fact("number", lambda table, one: one.finished_at),
    "duration_s": _Fact("number", lambda table, one: table.duration_of(one)),
    "steps_per_s": _Fact("number", lambda table, one: one.steps_per_s),
    "rss_bytes": _Fact("number", lambda table, one: one.rss_bytes),
    "num_checkpoints": _Fact("number", lambda table, one: len(one.checkpoints)),
    "verdict": _Fact("text", lambda table, one: _verdict_of(one)),
    "rung": _Fact("number", lambda table, one: _of_standing(table, one, "rung")),
    "standing": _Fact("text", lambda table, one: _of_standing(table, one, "standing")),
}
