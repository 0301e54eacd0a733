"""Numbers out of whatever a training loop has them in: nested mappings, NumPy and PyTorch scalars, NaN."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mlgym.errors import RunError
from mlgym.events import MetricScore, MetricTable, finite

MAX_STEP: Final = 2**63
"""No step is as large: columns of steps have 64 bits."""
NO_SPLIT: Final = "run"
"""Split of a number whose key names none: `loss` is `run/loss`."""


def split_key(key: Any) -> tuple[str, str]:
    """Gives split and metric of a key: (`val`, `f1`) for `val/f1`, (`run`, `loss`) for `loss`.

    Raises:
        RunError: it is no text, or an empty one.
    """
    if not isinstance(key, str) or not key.strip("/"):
        raise RunError(f"metrics are called by texts such as `val/f1`, but a key is {key!r}")
    split, _, metric = key.strip("/").partition("/")
    return (split, metric) if metric else (NO_SPLIT, split)


def measured(metrics: Mapping[str, Any]) -> tuple[list[MetricScore], list[MetricTable]]:
    """Gives the numbers and the matrices among some values; those that are None are left out.

    Args:
        metrics: numbers by key, and mappings of them; a scalar of NumPy, PyTorch and the like is a number, too, and
            what has two dimensions is a matrix, such as a confusion matrix.

    Raises:
        RunError: a value is none of these; the text has its key.
    """
    scores, tables = [], []
    for key, value in _flat(metrics, ""):
        split, metric = split_key(key)
        if getattr(value, "ndim", 0) == 2:
            tables.append(MetricTable(metric, split, _matrix(key, value)))
        else:
            scores.append(MetricScore(metric, split, *finite(_number(key, value))))
    return scores, tables


def step_number(step: Any) -> int:
    """Gives a step as a whole number.

    Raises:
        RunError: it is none, or negative.
    """
    try:
        number = int(step) if isinstance(step, float) and step.is_integer() else operator.index(_scalar(step))
    except TypeError:
        raise RunError(f"`step` must be a whole number, but is {step!r}") from None
    if not 0 <= number < MAX_STEP:
        raise RunError(f"`step` must be 0 or more, and less than 2**63, but is {number}")
    return number


def _flat(metrics: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in metrics.items():
        name = f"{prefix}/{key}" if prefix else key
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        elif value is not None:
            yield name, value


def _matrix(key: str, value: Any) -> list[list[float]]:
    try:
        return [[float(cell) for cell in row] for row in value.tolist()]
    except (AttributeError, TypeError, ValueError):
        kind = type(value).__name__
        remedy = "texts go to `run.log_text`, tables of data to `run.log_artifact`"
        raise RunError(f"`{key}` must be a matrix of numbers, but is a {kind}: {remedy}") from None


def _number(key: str, value: Any) -> float:
    number = _scalar(value)
    if isinstance(number, (int, float)):
        try:
            return float(number)
        except OverflowError:
            return float("inf") if number > 0 else float("-inf")
    remedy = "log a mean of it, or its parts by name" if hasattr(value, "shape") else "texts go to `run.log_text`"
    raise RunError(f"`{key}` must be a number, but is a {type(value).__name__}: {remedy}")


def _scalar(value: Any) -> Any:
    """Gives the Python number in a scalar of whatever library; any other value as it is."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "size", 1) != 0:
        try:
            return item()
        except (ValueError, RuntimeError, TypeError):
            return value
    return value
