"""Steps: from a model and a batch to a loss and named outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from mlgym.components.loss.base import AnyLoss, Loss, as_loss
from mlgym.components.tensors import PREDICTION, TARGET, Step, StepOutput, Tensors, described, named
from mlgym.config.registry import register
from mlgym.errors import TrainingError

_OTHER_TYPE: Final = (
    "must have the same dtype",
    "should be the same",
    "expected scalar type",
    "does not match weight dtype",
)
_NO_TENSOR: Final = "must be Tensor"
_ONE_SAMPLE: Final = "more than 1 value per channel"


def predict(model: nn.Module, inputs: Any) -> Tensors:
    """Gives what a model says, by name.

    Args:
        model: gives a tensor (batch, ...) or tensors by name.
        inputs: a tensor (batch, ...) or tensors by name.

    Raises:
        TrainingError: inputs of a type that the model does not compute with, or too few to normalize; no prediction.
        Exception: whatever else the model raises.
    """
    try:
        output = model(inputs)
    except (RuntimeError, ValueError, TypeError) as error:
        remedy = _remedy(str(error), inputs)
        if remedy is None:
            raise
        raise TrainingError(f"the model {type(model).__name__} cannot take this batch: {remedy}") from error
    try:
        return named(output, PREDICTION)
    except TrainingError:
        given = "nothing: does its `forward` end with `return`?" if output is None else f"a {type(output).__name__}"
        raise TrainingError(
            f"the model {type(model).__name__} must give a tensor or tensors by name, but gave {given}"
        ) from None


def _remedy(problem: str, inputs: Any) -> str | None:
    shown = described(inputs) if isinstance(inputs, Tensor) else type(inputs).__name__
    if _ONE_SAMPLE in problem:
        return (
            f"batch norm needs more than one sample, but the inputs are {shown}; `drop_last: true` leaves such a last "
            "batch out, or take another `batch_size`"
        )
    if _NO_TENSOR in problem and not isinstance(inputs, Tensor):
        return f"the inputs are a {shown}, not a tensor; let the dataset, or `collate` of the loaders, make tensors"
    if isinstance(inputs, Tensor) and inputs.dtype is not torch.float32 and any(one in problem for one in _OTHER_TYPE):
        return f"the inputs are {shown}, its parameters float32; let the dataset give float32 (`standardize` does)"
    return None


@register("supervised_step")
class SupervisedStep:
    """Predicts the targets of a batch and measures the loss."""

    def __init__(self, loss: AnyLoss) -> None:
        """Makes the step.

        Args:
            loss: one of MLgym's losses, or any module or function from (prediction, target) to a scalar.
        """
        self.loss: Loss = as_loss(loss)

    def __call__(self, model: nn.Module, batch: Any) -> StepOutput:
        """Runs the model on one batch.

        Args:
            model: gives a tensor (batch, ...) or tensors by name.
            batch: (inputs, targets), each a tensor (batch, ...) or tensors by name.

        Raises:
            TrainingError: the batch is no pair.
        """
        try:
            inputs, targets = batch
        except (TypeError, ValueError):
            raise TrainingError(
                f"`supervised_step` needs batches (inputs, targets), but got {type(batch).__name__}; "
                "a `step` of your own can read any batch"
            ) from None
        predictions = predict(model, inputs)
        targets = named(targets, TARGET)
        return StepOutput(self.loss(predictions, targets), predictions, targets)


@dataclass(frozen=True, slots=True)
class Turn:
    """One optimizer's turn within a training step.

    Args:
        step: gives the loss of this turn.
        optimizer: updates its parameters by that loss; gradients that reach other parameters are dropped.
        every: take the turn at every n-th training step only.
    """

    step: Step
    optimizer: Optimizer
    every: int = 1


@register("turn")
def turn(step: Step, optimizer: Optimizer, *, every: Annotated[int, Field(ge=1)] = 1) -> Turn:
    """Gives one optimizer's turn, for `alternating_step`.

    Args:
        step: gives the loss of this turn.
        optimizer: updates its parameters by that loss.
        every: take the turn at every n-th training step only, >= 1.
    """
    return Turn(step, optimizer, every)


@register("alternating_step")
class AlternatingStep:
    """Several optimizers that take turns on each batch, each with a loss of its own, as in adversarial training.

    Source: Goodfellow et al. 2014, Generative Adversarial Nets, algorithm 1.
    """

    def __init__(self, turns: Annotated[Sequence[Turn], Field(min_length=1)]) -> None:
        """Makes the step.

        Args:
            turns: in the order in which they are taken; at least one of them at every step.

        Raises:
            TrainingError: there are steps at which nobody takes a turn.
        """
        if all(turn.every > 1 for turn in turns):
            raise TrainingError("`alternating_step` needs a turn with `every: 1`, else some steps change nothing")
        self.turns = tuple(turns)

    def __call__(self, model: nn.Module, batch: Any) -> StepOutput:
        """Gives the output of the last turn's step, for evaluation."""
        return self.turns[-1].step(model, batch)
