"""Several losses as one."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mlgym.components.loss.base import Loss, as_loss
from mlgym.components.tensors import Tensors
from mlgym.config.registry import register
from mlgym.errors import TrainingError


@register("weighted_sum")
class WeightedSum(Loss):
    """Weighted sum of several losses, on request each divided by its mean over the first training batches.

    Each loss reads its own prediction and target. The scaling brings losses of different magnitude to about 1, so
    that the weights say what matters. Evaluation uses the scale reached so far and never changes it; before the
    first training batch nothing is scaled.

    Args:
        losses: the losses to add, at least one; a plain module of (prediction, target) works too.
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
        losses: Annotated[list[nn.Module], Field(min_length=1)],
        weights: list[float] | None = None,
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
        # The weights come from the config; what the warm-up has seen is state and must survive a resume.
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32), persistent=False)  # (losses,)
        self.register_buffer("sums", torch.zeros(len(losses), dtype=torch.float32))  # (losses,)
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))
        self.weights: Tensor
        self.sums: Tensor
        self.num_batches: Tensor

    def forward(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> Tensor:
        """Gives the weighted sum of one batch, a scalar ()."""
        values = torch.stack([loss(predictions, targets) for loss in self.losses])  # (losses,)
        if self.warm_up_batches:
            if self.training and torch.is_grad_enabled():
                self._count(values.detach())
            values = values / self._scale()
        return torch.dot(values, self.weights.to(values.dtype))

    def _count(self, values: Tensor) -> None:
        # Arithmetic with the flag instead of an `if` on the device's counter: reading it would wait for the device.
        warming_up = self.num_batches < self.warm_up_batches
        self.sums += values * warming_up
        self.num_batches += warming_up

    def _scale(self) -> Tensor:
        # A loss that was 0 all the time has no scale; 1 leaves it as it is.
        means = (self.sums / self.num_batches.clamp(min=1)).abs()  # (losses,)
        return torch.where(means > 0, means, torch.ones_like(means))
