"""The points of metrics, many curves at once, as JSON or as binary columns (docs/reference/columns.md)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from mlgym.events import ExperimentState, MetricHistory
from mlgym.names import did_you_mean
from mlgym.server.api.exports import MAX_POINTS
from mlgym.server.api.filter import found_by
from mlgym.server.api.models.curves import MetricQuery
from mlgym.server.projection.decimate import MIN_POINTS, Curve, kept
from mlgym.server.projection.projection import View
from mlgym.server.refusal import RefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC: Final = b"MLGYMCOL"
VERSION: Final = 1
_MAX_NAMED: Final = 12
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
    import numpy as np

    wanted = _histories(view, query)
    num_points = sum(min(len(history), max(query.points, MIN_POINTS)) for _, _, history in wanted)
    if num_points > MAX_POINTS:
        message = f"these are {num_points:,} points, at most {MAX_POINTS:,} are sent; ask for fewer of each curve"
        raise RefusedError(422, "too_many_points", message, path="points")
    values = [np.array(history.values) for _, _, history in wanted]
    # Only triangles need to know where the points lie.
    lie = [_axis(history) for _, _, history in wanted] if query.method == "lttb" else values
    places = kept([Curve(*one) for one in zip(lie, values, strict=True)], query.points, query.method)
    return [_points(*one, column[place], place) for one, column, place in zip(wanted, values, places, strict=True)]


def refuse_unknown_experiments(view: View, numbers: Iterable[int], *, path: str) -> None:
    """Refuses experiments that a run neither has nor is to have.

    Args:
        view: the run as it is now.
        numbers: of the experiments.
        path: the part of the request that asks for them.

    Raises:
        RefusedError: there is none of one of the numbers.
    """
    state = view.state
    unknown = [number for number in numbers if number not in state.experiments]
    # Old logs do not say how many there will be.
    num_planned = state.num_experiments or (math.inf if view.is_live else 0)
    if found := [number for number in unknown if number >= num_planned]:
        raise no_experiment(view, found[0], path=path)


def no_experiment(view: View, number: int, *, path: str | None = None) -> RefusedError:
    """Gives the refusal of an experiment that a run does not have."""
    known = did_you_mean(str(number), [str(one) for one in sorted(view.state.experiments)[:_MAX_NAMED]])
    when = known if view.is_now else f" after {view.at:,} events"
    return RefusedError(404, "not_found", f"there is no experiment {number}{when}", path=path)


def refuse_unknown_metrics(view: View, keys: Sequence[str], *, path: str) -> None:
    """Refuses metrics that no experiment of a run has, unless they may still come.

    Args:
        view: the run as it is now.
        keys: of the metrics.
        path: the part of the request that asks for them.

    Raises:
        RefusedError: there is none of one of the keys.
    """
    experiments = view.state.experiments.values()
    # Nearly always the first experiment has it; the keys of all are gathered for an error only.
    unknown = [key for key in keys if not any(key in one.metrics for one in experiments)]
    # What a run measures is known once it has measured anything, and while it goes on, once one experiment is through.
    is_open = view.is_live and not view.state.counts["done"]
    if unknown and not is_open and (known := view.state.metric_keys):
        message = f"no experiment has measured `{unknown[0]}`{did_you_mean(unknown[0], known)}"
        raise RefusedError(422, "unknown_metric", message, path=path)


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
    header = msgspec.json.encode(
        {"run_id": run_id, "at": at, "num_points": offset, "columns": COLUMNS, "series": series}
    )
    header += b" " * (-len(header) % 8)
    columns = np.empty((len(COLUMNS), offset), dtype="<f8")
    for name, column in zip(COLUMNS, columns, strict=True):
        if curves:
            np.concatenate([getattr(one, name) for one in curves], out=column)
    return b"".join([MAGIC, struct.pack("<II", VERSION, len(header)), header, columns.data])


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


def _points(
    experiment: ExperimentState, key: str, history: MetricHistory, values: NDArray[Any], places: NDArray[Any]
) -> Points:
    import numpy as np

    rows, measured = history.rows, history.measured
    # Nearly always every evaluation brought a value.
    at = places if len(rows) == len(measured) else np.array(rows, dtype=np.int64)[places]
    epochs, steps, times = (np.array(column)[at] for column in (measured.epochs, measured.steps, measured.times))
    return Points(experiment.experiment_id, key, len(rows), epochs, steps, times, values)


def _axis(history: MetricHistory) -> NDArray[Any]:
    """Gives where the points lie: by steps where all are known, else one after the other."""
    import numpy as np

    steps = np.array(history.steps, dtype=np.int64)
    if len(steps) and steps.min() >= 0 and (np.diff(steps) >= 0).all():
        return steps.astype(np.float64)
    return np.arange(len(steps), dtype=np.float64)
