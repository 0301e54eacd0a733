"""Curves with fewer points that look the same: which points to keep.

Both ways keep the first and the last point, the smallest and the largest value, and some of the values that are not
finite, so that nothing that happened is smoothed away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Places: TypeAlias = NDArray[np.int64]

Method = Literal["minmax", "lttb"]
MIN_POINTS: Final = 8
_MAX_AT_ONCE: Final = 1_000_000
"""Points of curves that are thinned together, which is what their columns take up meanwhile."""


class Curve(NamedTuple):
    """What a curve looks like: where its points lie (not falling) and their values, both (points,)."""

    x: Floats
    values: Floats


def kept(curves: Sequence[Curve], max_points: int, method: Method) -> list[Places]:
    """Gives the places of the points to keep of each curve, growing.

    Args:
        curves: they may differ in length; those of equal length are quicker together.
        max_points: how many to keep of each at most; at least `MIN_POINTS` are where there are so many.
        method: `minmax` keeps the extremes of equal stretches; `lttb` the points that make the largest triangles.

    Returns:
        (kept,) int64 for each curve.
    """
    import numpy as np

    max_points = max(max_points, MIN_POINTS)
    found: list[Any] = [None] * len(curves)
    alike: dict[tuple[int, int], list[tuple[int, Places, Places]]] = {}
    for number, curve in enumerate(curves):
        if len(curve.values) <= max_points:
            found[number] = np.arange(len(curve.values))
            continue
        numbers, marked = _apart(curve.values, max_points)
        alike.setdefault((len(numbers), max_points - len(marked)), []).append((number, numbers, marked))
    for (count, left), members in alike.items():
        for (number, numbers, marked), chosen in zip(members, _thinned(curves, members, left, method), strict=True):
            places = numbers if count <= left else numbers[chosen]
            found[number] = np.union1d(places, marked) if len(marked) else places
    return found


def _apart(values: Floats, max_points: int) -> tuple[Places, Places]:
    """Gives the places of the numbers, and those of other values that are kept in any case."""
    import numpy as np

    finite = np.isfinite(values)
    if finite.all():
        return np.arange(len(values)), np.empty(0, np.int64)
    numbers, others = np.flatnonzero(finite), np.flatnonzero(~finite)
    # A quarter for them; what the numbers do not need comes on top.
    share = min(len(others), max(max_points // 4, max_points - 2 - len(numbers)))
    ends = np.array([0, len(values) - 1])
    marked = others[np.linspace(0, len(others) - 1, share).round().astype(np.int64)]
    return numbers, np.union1d(marked, ends[~finite[ends]])


def _thinned(
    curves: Sequence[Curve], members: Sequence[tuple[int, Places, Places]], max_points: int, method: Method
) -> list[Places]:
    import numpy as np

    if len(members[0][1]) <= max_points:
        return [places for _, places, _ in members]
    if method == "minmax":
        at_once = max(1, _MAX_AT_ONCE // len(members[0][1]))
        groups = (members[i : i + at_once] for i in range(0, len(members), at_once))
        return [
            places
            for group in groups
            for places in _minmax(
                np.stack([_numbers_of(curves[number], places) for number, places, _ in group]), max_points
            )
        ]
    x = np.stack([curves[number].x[places] for number, places, _ in members])
    return _lttb(x, np.stack([curves[number].values[places] for number, places, _ in members]), max_points)


def _numbers_of(curve: Curve, places: Places) -> Floats:
    return curve.values if len(places) == len(curve.values) else curve.values[places]


def _stretches(num_points: int, num_stretches: int) -> tuple[Places, Places]:
    """Cuts the points between first and last into stretches of nearly equal length.

    Returns:
        Their borders, (stretches + 1,), and the places in each, (stretches, width), where shorter ones repeat the last.
    """
    import numpy as np

    borders = np.linspace(1, num_points - 1, num_stretches + 1).astype(np.int64)
    width = int(np.diff(borders).max())
    return borders, np.minimum(borders[:-1, None] + np.arange(width), borders[1:, None] - 1)


def _minmax(values: Floats, max_points: int) -> list[Places]:
    """Gives the first and the last point, and the extremes of each stretch between them.

    Args:
        values: (curves, points).
        max_points: how many to keep of each.
    """
    import numpy as np

    num_curves, count = values.shape
    _, places = _stretches(count, (max_points - 2) // 2)  # (stretches, width)
    by_point = np.ascontiguousarray(values.T)  # (points, curves), so that a point of all curves is one piece
    # One point of all stretches after the other: a stretch is short, and there are many.
    first, *others = places.T.astype(np.int32)
    lowest = highest = by_point[first]  # (stretches, curves)
    low_at = np.repeat(first[:, None], num_curves, axis=1)  # (stretches, curves)
    high_at = low_at.copy()
    for point in others:
        here = by_point[point]
        np.copyto(low_at, point[:, None], where=here < lowest)
        np.copyto(high_at, point[:, None], where=here > highest)
        lowest, highest = np.minimum(lowest, here), np.maximum(highest, here)
    found = np.empty((num_curves, 2 * len(places) + 2), dtype=np.int64)
    found[:, 0], found[:, -1] = 0, count - 1
    found[:, 1:-1:2], found[:, 2:-1:2] = np.minimum(low_at, high_at).T, np.maximum(low_at, high_at).T
    is_new = np.ones(found.shape, dtype=bool)
    is_new[:, 1:] = found[:, 1:] != found[:, :-1]
    return [row[one] for row, one in zip(found, is_new, strict=True)]


def _lttb(x: Floats, values: Floats, max_points: int) -> list[Places]:
    """Gives the points that make the largest triangles with their neighbours, and the extremes.

    Args:
        x: (curves, points).
        values: (curves, points).
        max_points: how many to keep of each.

    Source: Steinarsson 2013, "Downsampling Time Series for Visual Representation", section 4.2. It may leave extremes
    out: two points of each curve are saved for them.
    """
    import numpy as np

    num_curves, count = values.shape
    borders, places = _stretches(count, max_points - 4)
    widths = np.diff(borders)
    means = [np.add.reduceat(each[:, : borders[-1]], borders[:-1], axis=1) / widths for each in (x, values)]
    next_x, next_y = (
        np.column_stack([mean[:, 1:], each[:, -1]]) for mean, each in zip(means, (x, values), strict=True)
    )
    rows = np.arange(num_curves)
    chosen = np.empty((num_curves, len(places)), dtype=np.int64)
    x0, y0 = x[:, 0], values[:, 0]
    for i, here in enumerate(places):
        dx, dy = (x0 - next_x[:, i])[:, None], (next_y[:, i] - y0)[:, None]
        areas = np.abs(dx * (values[:, here] - y0[:, None]) - (x0[:, None] - x[:, here]) * dy)
        chosen[:, i] = best = here[areas.argmax(axis=1)]
        x0, y0 = x[rows, best], values[rows, best]
    extremes = np.stack([values.argmin(axis=1), values.argmax(axis=1)], axis=1)
    ends = np.tile([0, count - 1], (num_curves, 1))
    return [np.unique(each) for each in np.concatenate([ends, chosen, extremes], axis=1)]
