"""Random search: reproducible, independent of how many are drawn and by whom, all different."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlgym.config import Plan
from tests.validation.modes.configs import DIGITS, plan_of

LR = "optimizer.lr={sweep: {log_uniform: [1e-4, 1e-1]}}"
HIDDEN = "model.hidden={sweep: [[4], [8], [16]]}"


def swept(plan: Plan) -> list[dict[str, Any]]:
    return [point.swept for point in plan]


def test_samples_are_a_function_of_seed_and_number() -> None:
    """More samples begin with the same ones, in whatever order they are asked for; another seed gives others."""
    few, many = (plan_of(DIGITS, "random_search", [LR, HIDDEN], num_samples=count) for count in (5, 20))
    assert swept(few) == swept(many)[:5]
    backwards = plan_of(DIGITS, "random_search", [LR, HIDDEN], num_samples=20)
    assert [backwards[number].swept for number in reversed(range(20))] == swept(many)[::-1]
    assert swept(plan_of(DIGITS, "random_search", [LR, HIDDEN], num_samples=20, seed=4)) != swept(many)
    assert swept(plan_of(DIGITS, "random_search", [LR, HIDDEN, "seed=4"], num_samples=20)) == swept(
        plan_of(DIGITS, "random_search", [LR, HIDDEN], num_samples=20, seed=4)
    )


def test_a_further_sweep_changes_no_other() -> None:
    """Each sweep has a random stream of its own."""
    alone = plan_of(DIGITS, "random_search", [LR], num_samples=10)
    both = plan_of(DIGITS, "random_search", [LR, HIDDEN], num_samples=10)
    assert [one["optimizer.lr"] for one in swept(alone)] == [one["optimizer.lr"] for one in swept(both)]


def test_samples_follow_the_distribution() -> None:
    """Half of the rates lie below the geometric middle; each alternative of a list comes about as often."""
    points = swept(plan_of(DIGITS, "random_search", [LR, HIDDEN], num_samples=900))
    rates = np.array([point["optimizer.lr"] for point in points])
    assert rates.min() > 1e-4
    assert rates.max() < 1e-1
    assert np.mean(rates < 10**-2.5) == pytest.approx(0.5, abs=0.06)
    counts = np.unique([str(point["model.hidden"]) for point in points], return_counts=True)[1]
    assert counts.tolist() == pytest.approx([300] * 3, abs=50)


def test_no_point_comes_twice() -> None:
    """As many samples as a grid has points are the grid in another order."""
    grid = ["optimizer.lr={sweep: {start: 0.01, stop: 0.1, num: 10}}", HIDDEN]
    points = swept(plan_of(DIGITS, "random_search", grid, num_samples=30))
    everything = swept(plan_of(DIGITS, "grid_search", grid))
    assert points != everything
    assert sorted(map(str, points)) == sorted(map(str, everything))


def test_samples_on_folds_and_seeds() -> None:
    """Each sample is a configuration, and alternatives inside of others are drawn where they matter."""
    adam, sgd = "{use: adam, model: $model, lr: {sweep: {uniform: [0.1, 0.2]}}}", "{use: sgd, model: $model, lr: 1}"
    nested = f"optimizer={{sweep: [{adam}, {sgd}]}}"
    plan = plan_of(DIGITS, "cross_validation", [nested], num_samples=4, folds=3, seeds=2, seed=8)
    assert (len(plan), plan.facts["num_configurations"]) == (4 * 3 * 2, 4)
    drawn = [plan[number].swept for number in range(0, 24, 6)]
    assert [plan[number].swept for number in range(24)] == [one for one in drawn for _ in range(6)]
    assert {one["optimizer"] for one in drawn} == {"adam", "sgd"}
    assert all(("optimizer.lr" in one) == (one["optimizer"] == "adam") for one in drawn)
