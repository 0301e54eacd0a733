"""How much of the variance between configurations swept values explain."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from mlgym.validation.importance import Importances, importances


def _grid(**axes: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]


def _shares(found: Importances | None) -> dict[tuple[str, ...], float]:
    assert found is not None
    return {one.keys: one.share for one in found.shares}


def test_a_complete_grid_is_decomposed_exactly() -> None:
    """Additive parts go to their keys, what two do together to the pair, and the shares add up to 1."""
    points = _grid(lr=[0.1, 0.01, 0.001], width=[1, 2], model=[{"use": "mlp"}, {"use": "conv_net"}])
    scores = [
        (3 if one["lr"] == 0.01 else 0) + one["width"] + (2 if one["width"] == 2 and one["lr"] == 0.1 else 0)
        for one in points
    ]
    found = importances(points, scores)
    shares = _shares(found)
    assert found is not None
    assert (found.method, found.fit, found.num_configurations) == ("anova", None, 12)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[("model",)] == pytest.approx(0, abs=1e-12)
    assert shares[("lr", "width")] > 0.05
    assert found.shares[0].keys == ("lr",)


def test_the_decomposition_is_that_of_the_textbook() -> None:
    """Sums of squares of a two-way table without repetition, computed by hand."""
    points = _grid(a=[0, 1], b=["x", "y"])
    shares = _shares(importances(points, [1.0, 2.0, 3.0, 8.0]))
    # Means: a 1.5, 5.5; b 2, 5; all 3.5. SS total 29, a 16, b 9, rest 4.
    assert shares == pytest.approx({("a",): 16 / 29, ("b",): 9 / 29, ("a", "b"): 4 / 29})


def test_points_drawn_at_random_are_judged_by_a_forest() -> None:
    """The key that makes the scores is found, one that does nothing gets little, and the fit says what it is worth."""
    rng = random.Random(5)
    points: list[dict[str, Any]] = [
        {"lr": 10 ** rng.uniform(-4, -1), "noise": rng.random(), "act": rng.choice(["relu", "tanh"])}
        for _ in range(120)
    ]
    found = importances(points, [(0.5 if one["act"] == "relu" else 0) + one["lr"] for one in points])
    shares = _shares(found)
    assert found is not None
    assert found.method == "forest"
    assert found.fit is not None
    assert found.fit > 0.8
    assert shares[("act",)] > 0.8 > 0.05 > shares[("noise",)]
    assert sum(shares.values()) <= 1 + 1e-9
    # Scores that depend on nothing: the control, where the fit is what warns.
    meaningless = importances(points, [rng.random() for _ in points])
    assert meaningless is not None
    assert meaningless.fit is not None
    assert meaningless.fit < 0.2


@pytest.mark.parametrize(
    ("points", "scores"),
    [
        ([], []),
        (_grid(lr=[1, 2, 3]), [1.0, 2.0, 3.0]),
        (_grid(lr=[1, 2], width=[1, 2]), [0.5] * 4),
        (_grid(lr=[1, 2], width=[1, 2])[:3], [0.1, 0.2, 0.3]),
    ],
)
def test_nothing_is_said_where_nothing_can_be(points: list[dict[str, Any]], scores: list[float]) -> None:
    """One key explains all there is; equal scores have no variance; three of four points are no grid."""
    assert importances(points, scores) is None
