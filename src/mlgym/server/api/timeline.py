"""Event numbers against wall time, for travelling in time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from mlgym.server.projection.index import OF_DRIVER, Mark
from mlgym.server.projection.projection import Projection, View

_MAX_MARKS: Final = 2000
_FIRST_OF_ALL: Final = ("run_started", "run_resumed", "run_finished", "experiment_failed")

_T = TypeVar("_T")


def timeline_of(projection: Projection, view: View, max_points: int) -> dict[str, Any]:
    """Gives a `Timeline`.

    Args:
        projection: the run, held.
        view: as of when.
        max_points: at most so many, at least 2.
    """
    index = projection.index
    count = bisect_left(index.place_ids, view.at)
    # The end is always there, the rest evenly spread.
    places = _spread(range(count), max_points - 1)
    event_ids = [index.place_ids[place] + 1 for place in places]
    times = [index.place_times[place] for place in places]
    if view.at and (not event_ids or event_ids[-1] != view.at):
        event_ids.append(view.at)
        times.append(view.state.last_event_at or 0.0)
    marks = index.marks[: bisect_right(index.marks, view.at - 1, key=lambda mark: mark.event_id)]
    return {"at": view.at, "event_ids": event_ids, "times": times, "marks": [_shown(mark) for mark in _fewer(marks)]}


def _fewer(marks: Sequence[Mark]) -> list[Mark]:
    """Gives the marks of the run and of failures first, then as many others as fit."""
    if len(marks) <= _MAX_MARKS:
        return list(marks)
    first = _spread([mark for mark in marks if mark.kind in _FIRST_OF_ALL], _MAX_MARKS // 2)
    others = _spread([mark for mark in marks if mark.kind not in _FIRST_OF_ALL], _MAX_MARKS - len(first))
    return sorted([*first, *others], key=lambda mark: mark.event_id)


def _spread(items: Sequence[_T], count: int) -> list[_T]:
    """Gives at most so many, evenly spread, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[0]]
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]


def _shown(mark: Mark) -> dict[str, Any]:
    experiment_id = None if mark.experiment_id == OF_DRIVER else mark.experiment_id
    return {
        "event_id": mark.event_id,
        "created_at": mark.created_at,
        "kind": mark.kind,
        "experiment_id": experiment_id,
    }
