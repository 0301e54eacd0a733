"""Several losses as one."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mlgym.components.loss.base import AnyLoss, Loss, Term, as_loss
from mlgym.components.tensors import Tensors
from mlgym.config.contradiction import AsManyAs
from mlgym.config.registry import register
from mlgym.errors import TrainingError


@register("weighted_sum")
class WeightedSum(Loss):
    """Weighted sum of several losses, on request each divided by its mean over the first training batches.

    Each loss reads its own prediction and target. The scaling brings losses of different magnitude to about 1, so
    that the weights say what matters. Evaluation uses the scale reached so far and never changes it; before the
    first training batch nothing is scaled.

    Args:
        losses: the losses to add, at least one; a plain module or function of (prediction, target) works too.
        weights: one factor per loss; None for 1 each.
        scale_by_warm_up_mean: over how many training batches, >= 1, the means are taken; during them it is the mean
            so far, this batch included. None for no scaling. Sums and counter are in the `state_dict`.
        name: what the loss is called in results; None for `weighted_sum`.

    Raises:
        TrainingError: the numbers of losses and weights differ.
    """

    kind = "weighted_sum"

    def __init__(
        self,
        losses: Annotated[list[AnyLoss], Field(min_length=1)],
        weights: Annotated[list[float] | None, AsManyAs("losses")] = None,
        *,
        scale_by_warm_up_mean: Annotated[int, Field(ge=1)] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        weights = [1.0] * len(losses) if weights is None else weights
        if len(weights) != len(losses):
            raise TrainingError(
                f"`weighted_sum` has {len(losses)} losses, but {len(weights)} weights; give one to each"
            )
        self.losses = nn.ModuleList(as_loss(loss) for loss in losses)
        self.warm_up_batches = scale_by_warm_up_mean or 0
        self.weights = tuple(weights)
        # What the warm-up has seen is state that a resume needs; the factors follow from it and the config.
        self.register_buffer("sums", torch.zeros(len(losses), dtype=torch.float32))  # (losses,)
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("factors", torch.tensor(weights, dtype=torch.float32), persistent=False)  # (losses,)
        self.sums: Tensor
        self.num_batches: Tensor
        self.factors: Tensor
        self._num_left = self.warm_up_batches
        self.register_load_state_dict_post_hook(_take_over)  # type: ignore[no-untyped-call]  # inherited

    def forward(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> Tensor:
        """Gives the weighted sum of one batch, a scalar ()."""
        values = torch.stack([loss(predictions, targets) for loss in self.losses])  # (losses,)
        if self._num_left and self.training and torch.is_grad_enabled():
            self.sums += values.detach()
            self.num_batches += 1
            self._num_left -= 1
            self.set_factors()
        return torch.dot(values, self.factors.to(values.dtype))

    def terms(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> list[Term]:
        """Gives the terms of all losses, scaled as far as training got; nothing is learned from this batch."""
        return [
            Term(term.value * factor.to(term.value.dtype), term.weight)
            for loss, factor in zip(self.losses, self.factors, strict=True)
            for term in _as(loss).terms(predictions, targets)
        ]

    def set_factors(self) -> None:
        """Divides the weights by the means so far; a loss that was 0 all the time has no scale and keeps its weight."""
        means = (self.sums / self.num_batches.clamp(min=1)).abs()  # (losses,)
        self.factors = self.factors.new_tensor(self.weights) / torch.where(means > 0, means, 1.0)


def _as(module: nn.Module) -> Loss:
    assert isinstance(module, Loss)  # what a list of modules gives back has no type of its own
    return module


def _take_over(loss: nn.Module, _: object) -> None:
    """Goes on with a warm-up whose state was loaded."""
    assert isinstance(loss, WeightedSum)
    loss._num_left = max(0, loss.warm_up_batches - int(loss.num_batches))
    loss.set_factors()
