"""Named tensors: how models, losses, metrics and post-processors agree on what they read.

A model gives one tensor or several named ones, a dataset one target or several named ones. Whoever reads them names
the one it wants; where there is only one, nobody needs to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from torch import Tensor, nn

from mlgym.errors import TrainingError
from mlgym.names import did_you_mean

Tensors: TypeAlias = Mapping[str, Tensor]
"""Tensors by name, each with the batch as first axis."""

PREDICTION: Final = "prediction"
TARGET: Final = "target"


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one step gives for one batch.

    Args:
        loss: scalar (), differentiable in training; the mean over the batch.
        predictions: what the model said, each (batch, ...).
        targets: what it should have said, each (batch, ...).
    """

    loss: Tensor
    predictions: Tensors = field(default_factory=dict)
    targets: Tensors = field(default_factory=dict)


Step: TypeAlias = Callable[[nn.Module, Any], StepOutput]
"""A training or evaluation step: from (model, batch) to a loss and named outputs."""


def named(value: Tensor | Tensors, name: str) -> Tensors:
    """Gives `value` as named tensors: a mapping as it is, a single tensor under `name`.

    Raises:
        TrainingError: it is neither.
    """
    # The usual case first: asking whether something is a tensor takes ten times as long.
    if isinstance(value, dict):
        return value
    if isinstance(value, Tensor):
        return {name: value}
    if isinstance(value, Mapping):
        return value
    raise TrainingError(f"expected a tensor or tensors by name, but got {type(value).__name__}")


def pick(tensors: Tensors, name: str | None, role: str) -> Tensor:
    """Gives the tensor of that name, or the only one there is.

    Args:
        tensors: the tensors by name.
        name: which one; None for the only one.
        role: how the error calls it: `prediction` or `target`.

    Raises:
        TrainingError: no such name, or None where there are several.
    """
    if name is None:
        if len(tensors) == 1:
            return next(iter(tensors.values()))
        raise TrainingError(
            f"there are {len(tensors)} {role}s ({', '.join(tensors) or 'none'}); say which one with `{role}: NAME`"
        )
    try:
        return tensors[name]
    except KeyError:
        raise TrainingError(f"there is no {role} `{name}`{did_you_mean(name, tensors)}") from None


def batch_size(batch: Any) -> int:
    """Gives the number of samples of a batch: the first axis of the first tensor found in it.

    Raises:
        TrainingError: the batch holds no tensor with at least one axis.
    """
    size = _first_axis(batch)
    if size is None:
        raise TrainingError(f"a batch of type {type(batch).__name__} holds no tensor with a batch axis")
    return size


def _first_axis(batch: Any) -> int | None:
    if isinstance(batch, Tensor):
        return int(batch.shape[0]) if batch.ndim else None
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (tuple, list)) else ()
    return next((size for size in map(_first_axis, parts) if size is not None), None)


def described(tensor: Tensor) -> str:
    """Gives shape and dtype of a tensor for an error message: `(32, 10) float32`."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def same_shape_remedy(prediction: Tensor, target: Tensor) -> str:
    """Gives the advice for an elementwise comparison of two tensors of different shapes."""
    if prediction.shape == (*target.shape, 1):
        return "drop the last axis of the prediction (`squeeze(-1)` in the model, or `num_outputs: scalar`)"
    if target.shape == (*prediction.shape, 1):
        return "drop the last axis of the target, or give the model one output with an axis of its own"
    return "both must have the same shape: check the number of the model's outputs"
