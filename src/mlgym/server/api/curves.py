"""The points of metrics, many curves at once, as JSON or as binary columns (docs/reference/columns.md)."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from mlgym.events import ExperimentState, MetricHistory
from mlgym.server.api.exports import MAX_POINTS
from mlgym.server.api.filter import found_by
from mlgym.server.api.models import MetricQuery
from mlgym.server.projection.decimate import MIN_POINTS, Curve, kept
from mlgym.server.projection.projection import View
from mlgym.server.refusal import RefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC: Final = b"MLGYMCOL"
VERSION: Final = 1
COLUMNS: Final = ("epochs", "steps", "times", "values")


class Points(NamedTuple):
    """A thinned curve: columns of equal length, and how many points it had."""

    experiment_id: int
    key: str
    num_points: int
    epochs: NDArray[Any]
    steps: NDArray[Any]
    times: NDArray[Any]
    values: NDArray[Any]


def curves_of(view: View, query: MetricQuery) -> list[Points]:
    """Gives the curves that a query asks for, by experiment, then in the order of the keys.

    Raises:
        RefusedError: it asks for too much, or its pattern is none.
    """
    wanted = _histories(view, query)
    num_points = sum(min(len(history), max(query.points, MIN_POINTS)) for _, _, history in wanted)
    if num_points > MAX_POINTS:
        message = f"these are {num_points:,} points, at most {MAX_POINTS:,} are sent; ask for fewer of each curve"
        raise RefusedError(422, "too_many_points", message, path="points")
    whole = [_points(*one) for one in wanted]
    places = kept([Curve(_axis(one), one.values) for one in whole], query.points, query.method)
    return [
        one._replace(**{name: getattr(one, name)[place] for name in COLUMNS})
        for one, place in zip(whole, places, strict=True)
    ]


def as_json(run_id: str, at: int, curves: Sequence[Points]) -> bytes:
    """Gives `MetricColumns`."""
    import numpy as np

    series = []
    for one in curves:
        marked: dict[str, list[int]] = {}
        for name, found in (
            ("nan", np.isnan(one.values)),
            ("inf", one.values == np.inf),
            ("-inf", one.values == -np.inf),
        ):
            if found.any():
                marked[name] = np.flatnonzero(found).tolist()
        columns = {name: getattr(one, name).tolist() for name in COLUMNS}
        facts = {"experiment_id": one.experiment_id, "key": one.key, "num_points": one.num_points}
        series.append(facts | columns | {"non_finite": marked})
    return msgspec.json.encode({"run_id": run_id, "at": at, "series": series})


def as_binary(run_id: str, at: int, curves: Sequence[Points]) -> bytes:
    """Gives the same as columns of float64, each of all curves one behind the other."""
    import numpy as np

    series, offset = [], 0
    for one in curves:
        length = len(one.values)
        series.append(
            {
                "experiment_id": one.experiment_id,
                "key": one.key,
                "num_points": one.num_points,
                "offset": offset,
                "length": length,
            }
        )
        offset += length
    header = json.dumps(
        {"run_id": run_id, "at": at, "num_points": offset, "columns": COLUMNS, "series": series}
    ).encode()
    header += b" " * (-len(header) % 8)
    columns = [
        np.concatenate([np.empty(0), *(getattr(one, name) for one in curves)]).astype("<f8").tobytes()
        for name in COLUMNS
    ]
    return b"".join([MAGIC, struct.pack("<II", VERSION, len(header)), header, *columns])


def _histories(view: View, query: MetricQuery) -> list[tuple[ExperimentState, str, MetricHistory]]:
    experiments = view.state.experiments
    numbers = sorted(experiments) if query.experiments is None else list(dict.fromkeys(query.experiments))
    keys = list(dict.fromkeys(query.keys)) if query.keys or query.match is not None else view.state.metric_keys
    if query.match is not None:
        known = view.state.metric_keys
        matching = found_by(query.match, known, "match")
        keys += [key for key, one in zip(known, matching, strict=True) if one and key not in keys]
    return [
        (experiments[number], key, history)
        for number in numbers
        if number in experiments
        for key in keys
        if (history := experiments[number].metrics.get(key))
    ]


def _points(experiment: ExperimentState, key: str, history: MetricHistory) -> Points:
    import numpy as np

    rows = np.array(history.rows, dtype=np.int64)
    measured = history.measured
    epochs, steps, times = (np.array(column)[rows] for column in (measured.epochs, measured.steps, measured.times))
    return Points(experiment.experiment_id, key, len(rows), epochs, steps, times, np.array(history.values))


def _axis(points: Points) -> NDArray[Any]:
    """Gives where the points lie: by steps where all are known, else one after the other."""
    import numpy as np

    steps = points.steps
    if len(steps) and steps.min() >= 0 and (np.diff(steps) >= 0).all():
        return steps.astype(np.float64)
    return np.arange(len(steps), dtype=np.float64)
