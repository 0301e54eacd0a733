"""The mean squared error, which is a loss to train with and a metric to report."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from mlgym.components.loss.regression import DifferenceLoss
from mlgym.components.metric.base import NamedMetric, Score
from mlgym.components.metric.regression import SquaredErrorMetric
from mlgym.components.tensors import Tensors
from mlgym.config.registry import register


@register("mse")
class MeanSquaredError(DifferenceLoss, NamedMetric):
    """Mean squared difference `mean (a - b)^2`: a loss, and a metric over a whole split.

    Predictions are float numbers (batch, ...), targets numbers of the same shape and any type. As a metric it is the
    mean over all samples and outputs.

    Args:
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `mse`.

    Source: `torch.nn.functional.mse_loss`; as a metric `sklearn.metrics.mean_squared_error`.
    """

    kind = "mse"

    def __init__(self, *, prediction: str | None = None, target: str | None = None, name: str | None = None) -> None:
        super().__init__(prediction=prediction, target=target, name=name)
        self._metric = SquaredErrorMetric(self.name, prediction=prediction, target=target)

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Gives the mean over all elements, ()."""
        return functional.mse_loss(prediction, target.to(prediction.dtype))

    def update(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> None:
        """Takes a batch, as a metric."""
        self._metric.update(predictions, targets)

    def compute(self) -> Score:
        """Gives the mean over all batches since the last `reset`."""
        return self._metric.compute()

    def reset(self) -> None:
        """Forgets all batches."""
        self._metric.reset()
