"""Configurations ranked by the scores of their experiments: over folds, over seeds, or one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mlgym.events import RunState
from mlgym.validation.bounds import bounds_of
from mlgym.validation.ranking import Selection
from mlgym.validation.report.facts import ConfigurationFacts, IntervalFacts
from mlgym.validation.report.trials import (
    Cell,
    Trial,
    by_configuration,
    duration_of,
    has_folds,
    independent_scores,
    other_metrics,
    test_to_train,
)
from mlgym.validation.statistics import Interval, corrected_interval, corrected_t_test, holm, mean_of, sd_of


def interval_facts(interval: Interval | None) -> IntervalFacts | None:
    """Gives an interval as the report has it."""
    if interval is None:
        return None
    return IntervalFacts(
        low=interval.low, high=interval.high, confidence=interval.confidence, test_to_train=interval.ratio
    )


def configurations_of(
    trials: Sequence[Trial],
    selection: Selection | None,
    *,
    num_planned: int | None,
    metric: str = "",
    confidence: float,
    with_intervals: bool = True,
) -> list[ConfigurationFacts]:
    """Gives the configurations, the best first, of equals the first; those without all their scores last.

    Args:
        trials: the experiments that count.
        selection: what ranks them.
        num_planned: experiments that each configuration will have; None where unknown.
        metric: what they are scored by, `split/metric`, which may have bounds.
        confidence: of the intervals.
        with_intervals: whether intervals and p-values mean anything for them.
    """
    groups = by_configuration(trials)
    num_planned = max(map(len, groups.values()), default=0) if num_planned is None else num_planned
    level = confidence if with_intervals else None
    found = [_configuration(number, group, num_planned, metric, level) for number, group in groups.items()]
    sign = -1.0 if selection is not None and selection.best == "max" else 1.0
    ordered = sorted(found, key=lambda one: _place(one, sign))
    p_values = _p_to_best(ordered, groups) if with_intervals else {}
    return [
        _ranked(one, place, p_values.get(one.configuration)) if _is_complete(one) else one
        for place, one in enumerate(ordered, start=1)
    ]


def _configuration(
    number: int, trials: list[Trial], num_planned: int, metric: str, confidence: float | None
) -> ConfigurationFacts:
    scores = list(independent_scores(trials).values())
    num_lost = sum(trial.is_lost for trial in trials)
    # Alone, an experiment is ranked by what it has so far, as everywhere; among folds one half done is not comparable.
    num_settled = sum(trial.is_settled if num_planned > 1 else trial.point is not None for trial in trials)
    num_open = max(0, num_planned - num_settled - num_lost)
    is_whole = not num_lost
    return ConfigurationFacts(
        configuration=number,
        rank=None,
        swept=trials[0].experiment.swept,
        ranked_by=mean_of([one.ranked_by for one in trials if one.ranked_by is not None]) if is_whole else None,
        # A fold that failed never disappears from a mean.
        mean=mean_of(scores) if is_whole else None,
        sd=sd_of(scores) if is_whole else None,
        interval=_interval(trials, scores, metric, confidence) if is_whole and not num_open and confidence else None,
        scores=[trial.facts for trial in trials],
        metrics=other_metrics(trials) if is_whole else {},
        num_scored=num_settled,
        num_failed=num_lost,
        num_open=num_open,
        p_to_best=None,
        duration_s=duration_of(trials),
        error=next((trial.experiment.error for trial in trials if trial.experiment.error), None),
    )


def _interval(trials: list[Trial], scores: list[float], metric: str, confidence: float) -> IntervalFacts | None:
    ratio = test_to_train(trials) if has_folds(trials) else None
    if ratio is None or not _is_finite(scores):
        return None
    return interval_facts(corrected_interval(scores, ratio, confidence, bounds_of(metric, scores)))


def _is_finite(scores: Sequence[float]) -> bool:
    return all(map(math.isfinite, scores))


def _is_complete(one: ConfigurationFacts) -> bool:
    return one.mean is not None and one.ranked_by is not None and not one.num_open


def _place(one: ConfigurationFacts, sign: float) -> tuple[int, float, int]:
    if one.mean is None or one.ranked_by is None:
        return (2 if one.num_failed else 3), 0.0, one.configuration
    return int(not _is_complete(one)), sign * one.ranked_by, one.configuration


def _ranked(one: ConfigurationFacts, rank: int, p: float | None) -> ConfigurationFacts:
    import msgspec

    return msgspec.structs.replace(one, rank=rank, p_to_best=p)


def _p_to_best(ordered: Sequence[ConfigurationFacts], groups: Mapping[int, list[Trial]]) -> dict[int, float]:
    """Gives the p-value of each complete configuration against the best one; of those without folds, none."""
    complete = [one for one in ordered if _is_complete(one)]
    if len(complete) < 2 or not has_folds(groups[complete[0].configuration]):
        return {}
    ratio = test_to_train(groups[complete[0].configuration])
    if ratio is None:
        return {}
    best = independent_scores(groups[complete[0].configuration])
    p_values = {}
    for one in complete[1:]:
        p = _p_value(best, independent_scores(groups[one.configuration]), ratio)
        if p is not None:
            p_values[one.configuration] = p
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def _p_value(first: Mapping[Cell, float], second: Mapping[Cell, float], ratio: float) -> float | None:
    shared = [cell for cell in first if cell in second]
    scores = [first[cell] for cell in shared], [second[cell] for cell in shared]
    if not _is_finite([*scores[0], *scores[1]]):
        return None
    test = corrected_t_test(*scores, ratio)
    if test is None:
        return None
    # Equal on every fold: nothing tells them apart.
    return 1.0 if test.p is None and test.mean == 0 else test.p


def num_planned_of(state: RunState, num_configurations: int) -> int | None:
    """Gives how many experiments each configuration of a grid will have; None where the log does not say it."""
    if not state.num_experiments or num_configurations < 1 or state.num_experiments % num_configurations:
        return None
    return state.num_experiments // num_configurations


def num_configurations_of(state: RunState, trials: Sequence[Trial]) -> int:
    """Gives how many points the grid or search has; in old logs, how many there are."""
    told = state.validation.get("num_configurations")
    return max(told if type(told) is int else 0, len(by_configuration(trials)))
