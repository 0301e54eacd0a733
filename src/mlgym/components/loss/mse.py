"""The mean squared error."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from mlgym.components.loss.regression import DifferenceLoss
from mlgym.config.registry import register


@register("mse")
class MeanSquaredError(DifferenceLoss):
    """Mean squared difference `mean (a - b)^2`.

    Predictions are float numbers (batch, ...), targets numbers of the same shape and any type.

    Args:
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `mse`.

    Source: `torch.nn.functional.mse_loss`.
    """

    kind = "mse"

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Gives the mean over all elements, ()."""
        return functional.mse_loss(prediction, target.to(prediction.dtype))
