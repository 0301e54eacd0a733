"""Losses over numbers: mean absolute and mean p-th power differences. The squared one, `mse`, is in `mse`."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mlgym.components.loss.base import PairLoss
from mlgym.components.tensors import same_shape_remedy
from mlgym.config.registry import register


class DifferenceLoss(PairLoss):
    """Base of the losses that compare element by element; predictions and targets have one shape, (batch, ...)."""

    def check(self, prediction: Tensor, target: Tensor) -> None:
        """Refuses different shapes, which torch would broadcast: (n, 1) with (n,) compares each with every other.

        Raises:
            TrainingError: the shapes differ, or the prediction is no float.
        """
        if not prediction.is_floating_point():
            raise self.misfit("the prediction is no float", prediction, target, "let the model give float numbers")
        if prediction.shape != target.shape:
            raise self.misfit("the shapes differ", prediction, target, same_shape_remedy(prediction, target))


@register("l1")
class L1(DifferenceLoss):
    """Mean absolute difference `mean |a - b|`.

    Predictions are float numbers (batch, ...), targets numbers of the same shape and any type.

    Args:
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what the loss is called in results; None for `l1`.

    Source: `torch.nn.functional.l1_loss`.
    """

    kind = "l1"

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Gives the mean over all elements, ()."""
        return functional.l1_loss(prediction, target.to(prediction.dtype))


@register("lp")
class Lp(DifferenceLoss):
    """Mean p-th power of the absolute difference, `mean |a - b|^p`, without a root: p=1 is `l1`, p=2 is `mse`.

    Predictions are float numbers (batch, ...), targets numbers of the same shape and any type.

    Args:
        p: the power, >= 1.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what the loss is called in results; None for `lp`.
    """

    kind = "lp"

    def __init__(
        self,
        p: Annotated[float, Field(ge=1)],
        *,
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(prediction=prediction, target=target, name=name)
        self.p = p

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Gives the mean over all elements, ()."""
        return torch.mean(torch.abs(prediction - target) ** self.p)
