"""Which experiment of a run is the best: the metric that decides, and the order that follows from it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from mlgym.errors import RunError
from mlgym.events import ExperimentState, MetricPoint, RunState
from mlgym.names import Best, did_you_mean

_SMALLER_IS_BETTER: Final = frozenset(
    """
    loss losses error errors mse rmse msle rmsle mae medae mape smape nll bce ce logloss l1 lp huber hinge
    brier calibration ece perplexity ppl wer cer eer fid
    """.split()  # noqa: SIM905 - one long list reads better as text
)
_SMALLER_TOGETHER: Final = ("cross_entropy", "kl_divergence")
_PREFERRED_SPLITS: Final = ("val", "validation", "test", "train")


@dataclass(frozen=True, slots=True)
class Selection:
    """What decides: a metric by `split/metric`, and whether its smallest or largest value is the best.

    Args:
        metric: such as `val/f1_macro`.
        best: the direction.
        at: which epoch of an experiment counts: the one with the best value, or the last.
    """

    metric: str
    best: Best
    at: Literal["best", "last"] = "best"

    @property
    def split(self) -> str:
        """The split that decides."""
        return self.metric.partition("/")[0]

    def point_of(self, experiment: ExperimentState) -> MetricPoint | None:
        """Gives the value that an experiment is judged by, and when it was measured; None where no finite one is."""
        if self.at == "best":
            return experiment.best(self.metric, self.best)
        point = experiment.latest(self.metric)
        return None if point is None or not math.isfinite(point.value) else point


@dataclass(frozen=True, slots=True)
class Ranked:
    """One experiment with its rank, from 1; both are None where it has no value that counts."""

    experiment: ExperimentState
    rank: int | None
    best: MetricPoint | None


def default_selection(state: RunState) -> Selection | None:
    """Gives what the run itself selects by.

    That is what the section `validation` selects by; else the metric that checkpoints or early stopping watch; else the
    first metric of the validation split, losses last; of another split where there is none. None where nothing was
    measured.
    """
    select = state.validation.get("select")
    for metric, best in watched(select):
        return Selection(metric, best, _epoch_that_counts(select))
    for experiment in state.experiments.values():
        for metric, best in watched(experiment.config):
            return Selection(metric, best)
    keys = state.metric_keys
    for split in dict.fromkeys([*_PREFERRED_SPLITS, *(key.partition("/")[0] for key in keys)]):
        of_split = [key for key in keys if key.startswith(f"{split}/")]
        chosen = next((key for key in of_split if not smaller_is_better(key)), next(iter(of_split), None))
        if chosen is not None:
            return Selection(chosen, "min" if smaller_is_better(chosen) else "max")
    return None


def selection_of(state: RunState, metric: str | None = None, best: Best | None = None) -> Selection | None:
    """Gives the selection by `metric`, or the run's own where None.

    Args:
        state: the run.
        metric: `split/metric`; None for what the run selects by.
        best: the direction; None for the one that the config names for the metric, else the usual one of its kind.

    Raises:
        RunError: nobody measured that metric.
    """
    if metric is None:
        own = default_selection(state)
        return own if own is None or best is None else replace(own, best=best)
    if metric not in state.metric_keys:
        raise RunError(f"no experiment has the metric `{metric}`{did_you_mean(metric, state.metric_keys)}")
    if best is None:
        sections = [state.validation.get("select"), *(one.config for one in state.experiments.values())]
        ways = [way for section in sections for key, way in watched(section) if key == metric]
        best = ways[0] if ways else "min" if smaller_is_better(metric) else "max"
    return Selection(metric, best, _epoch_that_counts(state.validation.get("select")))


def _epoch_that_counts(select: Any) -> Literal["best", "last"]:
    return "last" if isinstance(select, dict) and select.get("at") == "last" else "best"


def smaller_is_better(metric: str) -> bool:
    """Says whether a metric is, by its name, one that training makes smaller."""
    # That of a single class is called by its number: `val/brier_score/2`.
    name = next((part for part in reversed(metric.lower().split("/")) if not part.isdigit()), "")
    words = re.split(r"[^a-z0-9]+", name)
    return not _SMALLER_IS_BETTER.isdisjoint(words) or any(part in name for part in _SMALLER_TOGETHER)


def rank(state: RunState, selection: Selection | None) -> list[Ranked]:
    """Gives experiments, the best first, of equals the lower id; failed ones and those without a finite value last."""
    scored: list[tuple[float, int, ExperimentState, MetricPoint]] = []
    unscored: list[ExperimentState] = []
    for experiment in state.experiments.values():
        point = selection.point_of(experiment) if selection else None
        if selection is None or point is None or experiment.status == "failed":
            unscored.append(experiment)
        else:
            sign = 1.0 if selection.best == "min" else -1.0
            scored.append((sign * point.value, experiment.experiment_id, experiment, point))
    scored.sort(key=lambda one: one[:2])
    ranked = [Ranked(experiment, place, point) for place, (_, _, experiment, point) in enumerate(scored, start=1)]
    unscored.sort(key=lambda one: one.experiment_id)
    for experiment in unscored:
        point = selection.point_of(experiment) if selection else None
        ranked.append(Ranked(experiment, None, point))
    return ranked


def watched(config: Any) -> Iterator[tuple[str, Best]]:
    """Gives (metric, direction) of each component that names both, those of the experiment itself first."""
    if isinstance(config, dict):
        metric, best = config.get("metric"), config.get("best")
        if isinstance(metric, str) and best in ("min", "max"):
            yield metric, best
        for value in sorted(config.items(), key=lambda item: item[0] != "experiment"):
            yield from watched(value[1])
    elif isinstance(config, list):
        for value in config:
            yield from watched(value)
