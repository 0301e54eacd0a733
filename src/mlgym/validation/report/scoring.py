"""What the score of an experiment is: which metric, on which data, at which epoch, by what it was for."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Literal

from mlgym.events import ExperimentState, MetricHistory, MetricPoint, RunState
from mlgym.names import Best
from mlgym.validation.ranking import Selection, default_selection, selection_of


@dataclass(frozen=True, slots=True)
class Score:
    """A metric, read at the epoch that a metric chose: the same one, or one of data that may decide.

    Args:
        metric: `split/metric`.
        chosen_by: what chose the epoch.
    """

    metric: str
    chosen_by: Selection

    @property
    def split(self) -> str:
        """The data that it is measured on."""
        return self.metric.partition("/")[0]

    def point_of(self, experiment: ExperimentState) -> MetricPoint | None:
        """Gives the score and when it was measured; None where there is none, or none that is finite."""
        chosen = self.chosen_by.point_of(experiment)
        if chosen is None or self.metric == self.chosen_by.metric:
            return chosen
        history = experiment.metrics.get(self.metric)
        point = None if history is None else at_epoch(history, chosen.epoch)
        return None if point is None or not math.isfinite(point.value) else point


@dataclass(frozen=True, slots=True)
class Scoring:
    """What experiments of a run are judged by.

    Args:
        selection: what ranks configurations.
        score: what the report gives of each experiment; not the same where the data held out decide nothing.
        outer: the same of the fits of winners in a nested cross validation.
    """

    selection: Selection
    score: Score
    outer: Score

    def of(self, role: str) -> Score:
        """Gives the score of experiments by their role."""
        return self.outer if role == "outer" else self.score


def scoring_of(state: RunState, metric: str | None = None, best: Best | None = None) -> Scoring | None:
    """Gives what judges the experiments of a run; None where nothing was measured.

    Args:
        state: the run.
        metric: `split/metric` wanted instead of the run's own.
        best: its direction; None for the one that the config names, or the usual one.

    Raises:
        RunError: nobody measured that metric.
    """
    selection = selection_of(state, metric, best)
    if selection is None:
        return None
    told = state.validation.get("score")
    epoch = _epoch_of(told, state)
    if not isinstance(told, dict) or epoch is None:
        own = Score(selection.metric, selection)
        return Scoring(selection, own, own)
    held_out = str(told.get("metric") or selection.metric)
    if "outer_part" in state.validation:
        own = Score(selection.metric, selection if metric is None else default_selection(state) or selection)
        return Scoring(selection, own, Score(_on(held_out, metric), epoch))
    own = Score(held_out if metric is None else metric, epoch)
    return Scoring(selection, own, own)


def _on(held_out: str, metric: str | None) -> str:
    """Gives the metric wanted on the data that were held out."""
    return held_out if metric is None else f"{held_out.partition('/')[0]}/{metric.partition('/')[2]}"


def _epoch_of(told: Any, state: RunState) -> Selection | None:
    own = default_selection(state)
    if not isinstance(told, dict) or own is None:
        return None
    at: Literal["best", "last"] = "last" if told.get("at") == "last" else "best"
    return Selection(str(told.get("epoch_by") or own.metric), own.best, at)


def at_epoch(history: MetricHistory, epoch: int) -> MetricPoint | None:
    """Gives the value after an epoch; None where none was measured then."""
    place = bisect_left(range(len(history)), epoch, key=lambda index: history[index].epoch)
    return history[place] if place < len(history) and history[place].epoch == epoch else None
