"""Which metrics have bounds, and what becomes of an interval there."""

from __future__ import annotations

import math
from statistics import mean

import pytest

from mlgym.validation.bounds import UNBOUNDED, Bounds, bounds_of
from mlgym.validation.statistics import corrected_interval

SHARE = (0.0, 1.0)


@pytest.mark.parametrize(
    ("metric", "values", "bounds"),
    [
        ("val/accuracy", [0.9, 1.0], SHARE),
        ("val/f1_macro", [0.9], SHARE),
        ("test/digit_accuracy", [0.0], SHARE),
        ("val/f1/3", [0.5], SHARE),
        ("val/rmse", [12.5], (0.0, math.inf)),
        ("val/mcc", [0.97, -0.2], (-1.0, 1.0)),
        ("val/cohen_kappa", [0.99], (-1.0, 1.0)),
        ("val/dice", [0.99], SHARE),
        ("val/mape", [12.0], (0.0, math.inf)),
        ("val/r2", [-3.0], (-math.inf, 1.0)),
        ("val/accuracy", [97.0], UNBOUNDED),
        ("val/loss", [0.1], UNBOUNDED),
        ("accuracy_data/reward", [0.1], UNBOUNDED),
        ("val/inaccuracy_like", [0.1], UNBOUNDED),
    ],
)
def test_bounds_follow_from_well_known_names(metric: str, values: list[float], bounds: Bounds) -> None:
    """Of the metric, not of the split; per cent are no shares, and a loss may be anything."""
    assert bounds_of(metric, values) == bounds


def test_an_interval_ends_at_a_bound_and_nowhere_else() -> None:
    """The end that could hold no mean is cut off; the other one stays, and so do both without bounds."""
    values = [0.96, 1.0, 0.99, 1.0, 0.98]
    whole, cut = corrected_interval(values, 1 / 4), corrected_interval(values, 1 / 4, bounds=SHARE)
    assert whole is not None
    assert cut is not None
    assert whole.high > 1 == cut.high
    assert cut.low == whole.low
    assert mean(values) - whole.low == pytest.approx(whole.high - mean(values))
