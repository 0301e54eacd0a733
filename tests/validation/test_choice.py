"""The winner of an outer fold: as scikit-learn ranks, with experiments that failed, ties, and one standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlgym.errors import RunError
from mlgym.events import ExperimentState, MetricHistory, MetricPoint, RunState, SelectionMade
from mlgym.validation.choice import MAX_LISTED, choose, refuse_unmeasured
from mlgym.validation.modes import NestedPlan
from tests.validation.modes.configs import DIGITS, plan_of


def plan_for(num_configurations: int, inner_folds: int = 2, **select: Any) -> NestedPlan:
    lr = f"optimizer.lr={{sweep: {{start: 0.01, stop: 0.1, num: {num_configurations}}}}}"
    select = {"metric": "val/f1_macro", "best": "max", **select}
    plan = plan_of(DIGITS, "nested_cross_validation", [lr], outer_folds=2, inner_folds=inner_folds, select=select)
    assert isinstance(plan, NestedPlan)
    return plan


def state_with(plan: NestedPlan, table: Sequence[Sequence[Any]], outer_fold: int = 1) -> RunState:
    """Gives a run in which each competitor has its score, or failed where that is None, or all values of a list."""
    state = RunState(run_id="run")
    scores = [score for row in table for score in row]
    for number, score in zip(plan.competitors(outer_fold), scores, strict=True):
        one = state.experiments[number] = ExperimentState(number, status="failed" if score is None else "done")
        history = one.metrics["val/f1_macro"] = MetricHistory()
        for epoch, value in enumerate(score if isinstance(score, list) else [0.5 if score is None else score]):
            history.add(MetricPoint(value, epoch, epoch))
    return state


def choice(table: Sequence[Sequence[Any]], **select: Any) -> SelectionMade:
    plan = plan_for(len(table), len(table[0]), **select)
    return choose(plan, state_with(plan, table), 1)


@settings(max_examples=60, deadline=None)
@given(
    table=arrays(np.float64, (4, 3), elements=st.sampled_from([0.1, 0.2, 0.7, 0.30000000000000004, 1 / 3, 0.9])),
    best=st.sampled_from(["max", "min"]),
)
def test_ranks_are_those_of_scikit_learn(table: Any, best: str) -> None:
    """Means, their ties and the winner are those of `GridSearchCV`, also where sums differ in the last bit alone."""
    from sklearn.model_selection import GridSearchCV

    search = GridSearchCV(None, {"a": [1, 2, 3, 4]}, scoring="accuracy")
    signed = table if best == "max" else -table
    out = [{"test_scores": score, "fit_time": 0.0, "score_time": 0.0} for score in signed.ravel()]
    results = search._format_results([{"a": value} for value in (1, 2, 3, 4)], 3, out)
    made = choice(table.tolist(), best=best)
    assert made.configuration == search._select_best_index(None, "score", results)
    by_configuration = {one.configuration: one.mean for one in made.scores}
    expected = results["mean_test_score"] if best == "max" else -results["mean_test_score"]
    assert [by_configuration[number] for number in range(4)] == expected.tolist()


def test_ties_go_to_the_first() -> None:
    """Of equal means the first in the order of the grid wins, for either direction."""
    table = [[0.4, 0.4], [0.5, 0.7], [0.7, 0.5], [0.6, 0.6]]
    assert (choice(table).configuration, choice(table).score) == (1, 0.6)
    assert choice([[0.5, 0.5], [0.5, 0.25], [0.25, 0.5], [0.75, 0.0]], best="min").configuration == 1


@pytest.mark.parametrize("lost", [None, math.nan, math.inf])
def test_a_lost_score_ranks_last_and_is_told(lost: Any) -> None:
    """A configuration of which one experiment failed, or measured nothing, is never averaged over easier folds."""
    made = choice([[0.9, lost], [0.5, 0.4], [0.6, 0.5]])
    assert (made.configuration, made.num_failed) == (2, 1)
    assert made.score == pytest.approx(0.55)
    last = made.scores[-1]
    assert (last.configuration, last.mean, last.num_scored, last.num_failed) == (0, None, 1, 1)
    nobody = choice([[0.9, lost], [lost, 0.4]])
    assert (nobody.configuration, nobody.score, nobody.num_failed) == (None, None, 2)


def test_the_epoch_that_counts() -> None:
    """The best value over the epochs, or the last."""
    table = [[[0.9, 0.1], [0.9, 0.2]], [[0.5, 0.6], [0.5, 0.6]]]
    assert choice(table).configuration == 0
    assert (choice(table, at="last").configuration, choice(table, at="last").score) == (1, 0.6)


def test_one_standard_error() -> None:
    """The first configuration within one standard error of the best: simple before complex."""
    table = [[0.3, 0.3, 0.3], [0.8, 0.6, 0.7], [0.9, 0.5, 0.8]]
    best = choice(table)
    assert best.configuration == 2
    near = choice(table, rule="one_standard_error")
    error = np.std([0.9, 0.5, 0.8], ddof=1) / math.sqrt(3)
    assert np.mean([0.8, 0.6, 0.7]) >= np.mean([0.9, 0.5, 0.8]) - error
    assert (near.configuration, near.rule) == (1, "one_standard_error")
    assert near.score == float(np.average([0.8, 0.6, 0.7]))


def test_the_event_is_bounded() -> None:
    """Of many configurations the best are listed."""
    table = [[number / 1000, number / 1000] for number in range(500)]
    made = choice(table)
    assert (made.configuration, made.num_configurations, len(made.scores)) == (499, 500, MAX_LISTED)
    assert made.scores[-1].configuration == 300
    assert made.experiment_id == 2 * 1001 - 1


def test_a_metric_that_nobody_measures_ends_the_run() -> None:
    """It is seen at the first experiment that ends, with what it has; a measured one passes."""
    plan = plan_for(2)
    state = state_with(plan, [[0.1, 0.2], [0.3, 0.4]])
    refuse_unmeasured(plan.decision, state, plan.competitors(1)[0])
    other = plan_for(2, metric="val/accuracy")
    with pytest.raises(
        RunError, match=r"decides by `val/accuracy`, which experiment 5 did not measure.* `?val/f1_macro"
    ):
        refuse_unmeasured(other.decision, state, 5)
