"""Experiments as a report sees them: what each was for, its score, and the data that it had."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mlgym.events import ExperimentState, MetricPoint, RunState
from mlgym.validation.report.facts import ScoreFacts, SpreadFacts
from mlgym.validation.report.scoring import Scoring, at_epoch
from mlgym.validation.statistics import mean_of, sd_of

ENDED: Final = ("done", "failed", "interrupted")
TRAIN: Final = "train"


class Cell(NamedTuple):
    """The data that an experiment held out: two of the same cell are judged on the same samples."""

    repeat: int
    outer_fold: int
    fold: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One experiment with what it was for.

    Args:
        experiment: the experiment.
        configuration: number of the point of the grid.
        role: `grid`, `fold`, `inner` or `outer`.
        outer_fold, fold, repeat, seed: where it belongs; None where it belongs to none.
        point: its score; None where it failed or has none yet.
        ranked_by: the value that ranks it, which is the score unless the data held out decide nothing.
        num_train, num_held_out: samples it was trained and judged on; None where the log does not say.
        fingerprint: of the samples it was judged on; None where the log has none.
    """

    experiment: ExperimentState
    configuration: int
    role: str
    outer_fold: int | None
    fold: int | None
    repeat: int | None
    seed: int | None
    point: MetricPoint | None
    ranked_by: float | None
    num_train: int | None
    num_held_out: int | None
    fingerprint: str | None

    @property
    def cell(self) -> Cell:
        """The data that it held out."""
        # What an outer fit holds out is the fold of a plain cross validation.
        is_outer = self.role == "outer"
        outer_fold, fold = (None, self.outer_fold) if is_outer else (self.outer_fold, self.fold)
        return Cell(*(-1 if part is None else part for part in (self.repeat, outer_fold, fold)))

    @property
    def is_lost(self) -> bool:
        """Whether it has ended without a score that counts."""
        return self.point is None and self.experiment.status in ("done", "failed")

    @property
    def is_settled(self) -> bool:
        """Whether its score is its last word: it is done, not under way or interrupted."""
        return self.point is not None and self.experiment.status == "done"

    @property
    def facts(self) -> ScoreFacts:
        """Gives it as the report has it."""
        return ScoreFacts(
            experiment_id=self.experiment.experiment_id,
            status=self.experiment.status,
            outer_fold=self.outer_fold,
            fold=self.fold,
            repeat=self.repeat,
            seed=self.seed,
            value=self.point.value if self.point else None,
            epoch=self.point.epoch if self.point else None,
            num_train=self.num_train,
            num_held_out=self.num_held_out,
        )


def trials_of(state: RunState, scoring: Scoring | None) -> list[Trial]:
    """Gives all experiments of a run, by id; those of old logs are configurations of their own."""
    return [_trial(state.experiments[key], scoring) for key in sorted(state.experiments)]


def _trial(experiment: ExperimentState, scoring: Scoring | None) -> Trial:
    told = experiment.trial
    configuration = _whole(told.get("configuration"))
    role = told.get("role") if told.get("role") in ("grid", "fold", "inner", "outer") else "grid"
    score = scoring.of(str(role)) if scoring else None
    counts = scoring is not None and experiment.status != "failed"
    point = score.point_of(experiment) if score and counts else None
    ranked_by = point
    if scoring is not None and score is not None and counts and score.metric != scoring.selection.metric:
        ranked_by = scoring.selection.point_of(experiment)
    split = score.split if score else ""
    return Trial(
        experiment=experiment,
        configuration=experiment.experiment_id if configuration is None else configuration,
        role=str(role),
        outer_fold=_whole(told.get("outer_fold")),
        fold=_whole(told.get("fold")),
        repeat=_whole(told.get("repeat")),
        seed=_seed(experiment),
        point=point,
        ranked_by=ranked_by.value if ranked_by else None,
        num_train=experiment.sizes.get(TRAIN),
        num_held_out=experiment.sizes.get(split),
        fingerprint=experiment.fingerprints.get(split),
    )


def _seed(experiment: ExperimentState) -> int | None:
    seed = _whole(experiment.trial.get("seed"))
    return _whole(experiment.config.get("seed")) if seed is None else seed


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def by_configuration(trials: Iterable[Trial]) -> dict[int, list[Trial]]:
    """Gives the trials of each configuration, in the order of the configurations."""
    found: dict[int, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.configuration, []).append(trial)
    return {key: found[key] for key in sorted(found)}


def independent_scores(trials: Iterable[Trial]) -> dict[Cell, float]:
    """Gives one score for each held-out part: the mean over its seeds, which are no further draws of the data.

    Where all were judged on the same data - a grid without folds - each seed is a score of its own; its cell has the
    seed's place in `fold`.
    """
    scored = [(trial, trial.point.value) for trial in trials if trial.point is not None]
    cells: dict[Cell, list[float]] = {}
    for trial, value in scored:
        cells.setdefault(trial.cell, []).append(value)
    if set(cells) == {Cell(-1, -1, -1)}:
        return {Cell(-1, -1, _place(trial, place)): value for place, (trial, value) in enumerate(scored)}
    return {cell: mean for cell, values in cells.items() if (mean := mean_of(values)) is not None}


def _place(trial: Trial, place: int) -> int:
    index = _whole(trial.experiment.trial.get("seed_index"))
    return place if index is None else index


def has_folds(trials: Iterable[Trial]) -> bool:
    """Tells whether different data were held out."""
    return any(trial.cell != Cell(-1, -1, -1) for trial in trials)


def test_to_train(trials: Iterable[Trial]) -> float | None:
    """Gives the mean of n_test / n_train over experiments; None where the log does not have the sizes."""
    ratios = [trial.num_held_out / trial.num_train for trial in trials if trial.num_held_out and trial.num_train]
    return mean_of(ratios)


def other_metrics(trials: Iterable[Trial]) -> dict[str, SpreadFacts]:
    """Gives mean and spread of every metric at the epoch of each trial's score, by `split/metric`.

    Values of single classes are left out. A value that is no number leaves the metric out.
    """
    values: dict[str, list[float]] = {}
    for trial in trials:
        for key, value in _values_at_score(trial):
            values.setdefault(key, []).append(value)
    spread = {}
    for key, column in values.items():
        mean = mean_of(column)
        if mean is not None and math.isfinite(mean):
            spread[key] = SpreadFacts(mean=mean, sd=sd_of(column), num=len(column))
    return spread


def _values_at_score(trial: Trial) -> Iterator[tuple[str, float]]:
    if trial.point is None:
        return
    for key, history in trial.experiment.metrics.items():
        if key.count("/") != 1:
            continue
        point = at_epoch(history, trial.point.epoch)
        if point is not None:
            yield key, point.value


def duration_of(trials: Iterable[Trial]) -> float | None:
    """Gives how long the experiments took together, in s; None where none has ended."""
    durations = [trial.experiment.duration_s for trial in trials]
    known = [duration for duration in durations if duration is not None]
    return sum(known) if known else None
