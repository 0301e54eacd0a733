"""Which configuration wins an outer fold: means over inner experiments, as far as the log has their scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mlgym.errors import RunError
from mlgym.events import ConfigurationScore, RunState, SelectionMade
from mlgym.names import did_you_mean
from mlgym.validation.modes.nested import NestedPlan
from mlgym.validation.modes.select import Decision

MAX_LISTED: Final = 200
"""More configurations than these are not listed in the event."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """A configuration with the scores of its inner experiments, None for those that have none."""

    configuration: int
    scores: tuple[float | None, ...]

    @property
    def known(self) -> list[float]:
        return [score for score in self.scores if score is not None]

    @property
    def mean(self) -> float | None:
        """The mean, None where a score is missing: without it, the mean would be over easier folds."""
        # As scikit-learn averages: the same sum in the same order, so that ties are ties there and here.
        return float(np.average(np.array(self.known))) if len(self.known) == len(self.scores) else None

    @property
    def sd(self) -> float | None:
        return float(np.std(np.array(self.known), ddof=1)) if len(self.known) > 1 else None

    @property
    def standard_error(self) -> float:
        return (self.sd or 0.0) / math.sqrt(len(self.known))

    @property
    def facts(self) -> ConfigurationScore:
        known = len(self.known)
        return ConfigurationScore(self.configuration, self.mean, self.sd, known, len(self.scores) - known)


def choose(plan: NestedPlan, state: RunState, outer_fold: int) -> SelectionMade:
    """Gives the winner of an outer fold whose inner experiments have all ended.

    The best mean wins, of equals the first in the order of the grid. A configuration with an inner experiment that
    failed, or has no finite value of the metric, ranks behind all others and never wins.

    Args:
        plan: the experiments of the run.
        state: their results.
        outer_fold: the fold.
    """
    scored = list(_scored(plan, state, outer_fold))
    ranked = _ranked(scored, plan.decision)
    winner = _winner(ranked, plan.decision)
    return SelectionMade(
        grid_search_id=state.run_id or "",
        experiment_id=plan.fits(outer_fold)[0],
        outer_fold=outer_fold,
        configuration=None if winner is None else winner.configuration,
        metric=plan.decision.metric,
        best=plan.decision.best,
        rule=plan.decision.rule,
        score=None if winner is None else winner.mean,
        num_failed=sum(len(one.scores) - len(one.known) for one in scored),
        num_configurations=len(scored),
        scores=[one.facts for one in ranked[:MAX_LISTED]],
    )


def refuse_unmeasured(decision: Decision, state: RunState, experiment_id: int) -> None:
    """Ends a run whose first competitor has shown that nobody measures what decides, before others train for nothing.

    Args:
        decision: what decides.
        state: the results of the run.
        experiment_id: a competitor that has succeeded.

    Raises:
        RunError: it has measured other metrics, and not that one.
    """
    metrics = state.experiments[experiment_id].metrics
    metric = decision.metric
    if metrics and metric not in metrics:
        raise RunError(
            f"`validation.select` decides by `{metric}`, which experiment {experiment_id} did not measure"
            f"{did_you_mean(metric, metrics)}: no winner could be chosen, so the run has ended. Start another one"
        )


def _scored(plan: NestedPlan, state: RunState, outer_fold: int) -> Iterator[_Scored]:
    experiments = plan.competitors(outer_fold)
    num_each = len(experiments) // len(plan.configurations)
    for configuration in range(len(plan.configurations)):
        own = experiments[configuration * num_each : (configuration + 1) * num_each]
        yield _Scored(configuration, tuple(_score(state, number, plan.decision) for number in own))


def _score(state: RunState, experiment_id: int, decision: Decision) -> float | None:
    experiment = state.experiments.get(experiment_id)
    if experiment is None or experiment.status != "done":
        return None
    point = decision.selection.point_of(experiment)
    return None if point is None else point.value


def _ranked(scored: Sequence[_Scored], decision: Decision) -> list[_Scored]:
    sign = 1.0 if decision.best == "min" else -1.0

    def place(one: _Scored) -> tuple[bool, float, int]:
        mean = one.mean
        return mean is None, 0.0 if mean is None else sign * mean, one.configuration

    return sorted(scored, key=place)


def _winner(ranked: Sequence[_Scored], decision: Decision) -> _Scored | None:
    """Gives the winner by the rule.

    Source: the one-standard-error rule of Breiman, Friedman, Olshen and Stone, Classification and Regression Trees,
        1984, section 3.4.3; Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2009, section 7.10.
    """
    best = ranked[0] if ranked else None
    if best is None or best.mean is None:
        return None
    if decision.rule == "best":
        return best
    near = [one for one in ranked if one.mean is not None and abs(one.mean - best.mean) <= best.standard_error]
    return min(near, key=lambda one: one.configuration)
