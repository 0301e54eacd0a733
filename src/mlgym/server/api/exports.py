"""The experiments or the measurements of a run as a file: CSV for spreadsheets, Parquet for programs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from mlgym.events import ExperimentState
from mlgym.server.api.filter import is_number, text_of
from mlgym.server.api.table import Table
from mlgym.server.refusal import RefusedError

if TYPE_CHECKING:
    import polars

MAX_POINTS: Final = 5_000_000
"""Measurements that an answer has at most."""
_FORMULA: Final = r"^([=+\-@\t\r\n])"
"""What a spreadsheet may take for a formula; see OWASP, "CSV Injection"."""


def experiments_frame(table: Table, experiments: Sequence[ExperimentState]) -> polars.DataFrame:
    """Gives a row for each experiment: facts, swept parameters, trial, best and latest value of each metric."""
    chosen = {one.experiment_id for one in experiments}
    is_chosen = [one.experiment_id in chosen for one in table.experiments]

    def column(key: str) -> list[Any]:
        return [value for value, is_wanted in zip(table.values(key), is_chosen, strict=True) if is_wanted]

    facts = (
        "experiment_id", "status", "rank", "epoch", "device", "attempt", "started_at", "finished_at", "duration_s",
        "error", "stop_reason",
    )  # fmt: skip
    columns = {key: column(key) for key in facts}
    for key in table.swept:
        columns[_free(key, columns, "swept")] = [
            one.swept.get(key) for one, is_wanted in zip(table.experiments, is_chosen, strict=True) if is_wanted
        ]
    columns |= {_free(f"trial.{key}", columns, "of"): column(f"trial.{key}") for key in table.trial}
    for key in table.metrics:
        columns[f"best {key}"] = column(f"best({key})")
        columns[f"latest {key}"] = column(f"latest({key})")
    return _frame(columns)


def metrics_frame(table: Table, experiments: Sequence[ExperimentState]) -> polars.DataFrame:
    """Gives a row for each measurement: experiment, epoch, step, time, split, metric, value, swept parameters.

    Raises:
        RefusedError: there are too many for one file.
    """
    import polars

    num_points = sum(len(history) for one in experiments for history in one.metrics.values())
    if num_points > MAX_POINTS:
        message = (
            f"these are {num_points:,} measurements, at most {MAX_POINTS:,} go into a file; filter the experiments"
        )
        raise RefusedError(422, "too_many_points", message, path="filter")
    parts = []
    for one in experiments:
        for key, history in one.metrics.items():
            split, _, metric = key.partition("/")
            rows = polars.Series(history.rows, dtype=polars.UInt32)
            measured = history.measured
            taken = {
                name: polars.Series(column).gather(rows)
                for name, column in (("epoch", measured.epochs), ("step", measured.steps), ("time", measured.times))
            }
            values = polars.Series(history.values, dtype=polars.Float64)
            ids = polars.Series([one.experiment_id], dtype=polars.Int64).new_from_index(0, len(rows))
            part = polars.DataFrame({"experiment_id": ids, **taken})
            parts.append(part.with_columns(split=polars.lit(split), metric=polars.lit(metric), value=values))
    found = polars.concat([_no_measurements(), *parts])
    swept: dict[str, list[Any]] = {"experiment_id": [one.experiment_id for one in experiments]}
    for key in table.swept:
        swept[_free(key, dict.fromkeys(found.columns), "swept")] = [one.swept.get(key) for one in experiments]
    return found.join(_frame(swept).cast({"experiment_id": polars.Int64}), on="experiment_id", how="left")


def as_csv(frame: polars.DataFrame) -> bytes:
    """Gives the frame as CSV (UTF-8), with nothing in it that a spreadsheet would run."""
    import polars

    texts = polars.col(polars.String).str.replace(_FORMULA, "'$1")
    names = {name: f"'{name}" for name in frame.columns if name[:1] in "=+-@\t\r\n"}
    buffer = io.BytesIO()
    frame.with_columns(texts).rename(names).write_csv(buffer)
    return buffer.getvalue()


def as_parquet(frame: polars.DataFrame) -> bytes:
    """Gives the frame as Parquet."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _no_measurements() -> polars.DataFrame:
    import polars

    whole, real, text = polars.Int64(), polars.Float64(), polars.String()
    types = [whole, whole, whole, real, text, text, real]
    names = ("experiment_id", "epoch", "step", "time", "split", "metric", "value")
    return polars.DataFrame(schema=dict(zip(names, types, strict=True)))


def _frame(columns: dict[str, list[Any]]) -> polars.DataFrame:
    import polars

    return polars.DataFrame({name: _series(values) for name, values in columns.items()})


def _series(values: list[Any]) -> polars.Series:
    """Gives a column of one type: numbers, booleans, or else text."""
    import polars

    there = [value for value in values if value is not None]
    if there and all(isinstance(value, bool) for value in there):
        return polars.Series(values, dtype=polars.Boolean)
    if there and all(type(value) is int and abs(value) < 2**63 for value in there):
        return polars.Series(values, dtype=polars.Int64)
    if there and all(is_number(value) and (isinstance(value, float) or abs(value) < 2**1000) for value in there):
        return polars.Series([None if value is None else float(value) for value in values], dtype=polars.Float64)
    return polars.Series([None if value is None else text_of(value) for value in values], dtype=polars.String)


def _free(name: str, taken: dict[str, Any], prefix: str) -> str:
    """Gives a name that no other column has."""
    while name in taken:
        name = f"{prefix}.{name}"
    return name
