"""Thinned curves keep what a curve is looked at for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgym.server.projection.decimate import MIN_POINTS, Curve, Method, kept

METHODS: list[Method] = ["minmax", "lttb"]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(METHODS),
    st.integers(1, 60),
    st.lists(
        st.lists(st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf]), max_size=120),
        min_size=1,
        max_size=4,
    ),
)
def test_ends_and_extremes_stay(method: Method, max_points: int, curves: list[list[float]]) -> None:
    """First and last point, smallest and largest number, and something not finite, in at most so many points."""
    given_curves = [Curve(np.arange(len(one), dtype=float), np.array(one, dtype=float)) for one in curves]
    for places, curve in zip(kept(given_curves, max_points, method), given_curves, strict=True):
        values, found = curve.values, curve.values[places]
        assert len(places) <= max(max_points, MIN_POINTS)
        assert (np.diff(places) > 0).all()
        if len(values) <= max(max_points, MIN_POINTS):
            assert len(places) == len(values)
        if len(values):
            assert (places[0], places[-1]) == (0, len(values) - 1)
        numbers = values[np.isfinite(values)]
        if len(numbers):
            assert numbers.min() in found
            assert numbers.max() in found
        assert np.isfinite(values).all() == np.isfinite(found).all()


@pytest.mark.parametrize("method", METHODS)
def test_curves_do_not_influence_each_other(method: Method) -> None:
    """Many curves of equal length are thinned at once, each as if it were alone."""
    rng = np.random.default_rng(0)
    curves = [Curve(np.sort(rng.random(500)), rng.normal(size=500).cumsum()) for _ in range(5)]
    together = kept(curves, 50, method)
    for one, places in zip(curves, together, strict=True):
        assert np.array_equal(kept([one], 50, method)[0], places)


def test_a_spike_of_one_point_is_kept_where_every_nth_point_would_lose_it() -> None:
    """Control: taking points at equal distances does not show it."""
    values = np.zeros(10_000)
    values[4321] = 1.0
    curve = Curve(np.arange(10_000.0), values)
    assert values[:: 10_000 // 100].max() == 0.0
    for method in METHODS:
        assert values[kept([curve], 100, method)[0]].max() == 1.0


def test_the_largest_triangles_are_those_of_the_paper() -> None:
    """Against the algorithm written down plainly, point by point."""
    rng = np.random.default_rng(1)
    x, y = np.arange(300.0), rng.normal(size=300).cumsum()
    places = kept([Curve(x, y)], 40, "lttb")[0]
    assert set(_plain_lttb(x, y, 38)) | {int(y.argmin()), int(y.argmax())} == set(places.tolist())


def _plain_lttb(x: np.ndarray, y: np.ndarray, count: int) -> list[int]:
    """Steinarsson 2013, section 4.2."""
    borders = [int(border) for border in np.linspace(1, len(x) - 1, count - 1)]
    chosen = [0]
    for start, end, after in zip(borders, borders[1:], [*borders[2:], None], strict=False):
        next_x, next_y = (x[end:after].mean(), y[end:after].mean()) if after is not None else (x[-1], y[-1])
        a = chosen[-1]
        areas = [abs((x[a] - next_x) * (y[i] - y[a]) - (x[a] - x[i]) * (next_y - y[a])) / 2 for i in range(start, end)]
        chosen.append(start + int(np.argmax(areas)))
    return [*chosen, len(x) - 1]
