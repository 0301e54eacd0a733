"""Metrics over numbers: `mae`, `r2`, and the counting behind `mse`, which is a loss as well (`loss.mse`).

Sums in double precision; torchmetrics, which has them too, takes 2.4 s to import in each fresh process.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mlgym.components.metric.base import PairMetric, Score
from mlgym.components.tensors import same_shape_remedy
from mlgym.config.registry import register


class NumberMetric(PairMetric):
    """Base of the metrics that compare numbers of one shape, (batch, ...)."""

    def check(self, prediction: Tensor, target: Tensor) -> None:
        """Refuses different shapes: broadcast, (n, 1) with (n,) would compare each with every other.

        Raises:
            TrainingError: the shapes differ.
        """
        if prediction.shape != target.shape:
            remedy = same_shape_remedy(prediction, target)
            raise self.misfit("the shapes differ", prediction, target, remedy)

    def rows(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Gives (batch, outputs) and (batch, outputs), outputs being 1 for (batch,)."""
        return prediction.reshape(len(prediction), -1), target.reshape(len(target), -1)


class MeanErrorMetric(NumberMetric):
    """Base of the metrics that are the mean of something over all samples and outputs."""

    def __init__(self, name: str, *, prediction: str | None = None, target: str | None = None) -> None:
        super().__init__(name, prediction=prediction, target=target)
        self._sum: Tensor | None = None  # (), float64
        self._count = 0

    @abstractmethod
    def error(self, difference: Tensor) -> Tensor:
        """Gives what is averaged, for differences of any shape."""

    def take(self, prediction: Tensor, target: Tensor, *, last: bool) -> bool:
        """Counts rows (rows, outputs)."""
        # In single precision the sixth digit is lost over a million samples.
        total = self.error(prediction.double() - target.double()).sum()
        self._sum = total if self._sum is None else self._sum + total
        self._count += prediction.numel()
        return True

    def result(self) -> Score:
        """Gives the mean over all samples and outputs."""
        return math.nan if self._sum is None else float(self._sum) / self._count

    def clear(self) -> None:
        """Forgets what was counted."""
        self._sum = None
        self._count = 0


class SquaredErrorMetric(MeanErrorMetric):
    """Mean squared error over all samples and outputs; the component is `mse`."""

    def error(self, difference: Tensor) -> Tensor:
        """Gives the squares."""
        return difference.square()


@register("mae")
class MeanAbsoluteError(MeanErrorMetric):
    """Mean absolute error, the mean of |prediction - target| over all samples and outputs.

    Predictions and targets are numbers of the same shape (batch, ...).

    Args:
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `mae`.

    Source: `sklearn.metrics.mean_absolute_error`.
    """

    def __init__(self, *, prediction: str | None = None, target: str | None = None, name: str | None = None) -> None:
        super().__init__(name or "mae", prediction=prediction, target=target)

    def error(self, difference: Tensor) -> Tensor:
        """Gives the absolute values."""
        return difference.abs()


@register("r2")
class R2(NumberMetric):
    """Coefficient of determination, 1 - sum (t - p)^2 / sum (t - mean t)^2; the mean over outputs if there are several.

    Predictions and targets are numbers of the same shape (batch, ...). Where an output's targets are all the same it
    is 1 for perfect predictions, else 0; with fewer than two samples NaN.

    Args:
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `r2`.

    Source: `sklearn.metrics.r2_score`; means and squares are merged after Chan, Golub and LeVeque 1983, "Algorithms
        for Computing the Sample Variance". (torchmetrics 1.9 takes sums of squares below 1e-4 for 0 and cancels digits
        where the targets are far from 0.)
    """

    def __init__(self, *, prediction: str | None = None, target: str | None = None, name: str | None = None) -> None:
        super().__init__(name or "r2", prediction=prediction, target=target)
        self._moments: _Moments | None = None

    def take(self, prediction: Tensor, target: Tensor, *, last: bool) -> bool:
        """Counts rows (rows, outputs)."""
        moments = _Moments.of(prediction.double(), target.double())
        self._moments = moments if self._moments is None else self._moments.merged(moments)
        return True

    def result(self) -> Score:
        """Gives the value, NaN for fewer than two samples."""
        moments = self._moments
        if moments is None or moments.count < 2:
            return math.nan
        constant = moments.lowest == moments.highest  # (outputs,)
        # A residual of NaN is neither perfect nor a distance.
        of_constant = torch.where(moments.residual.isnan(), moments.residual, (moments.residual == 0).double())
        scores = torch.where(constant, of_constant, 1 - moments.residual / moments.spread)  # (outputs,)
        return float(scores.mean())

    def clear(self) -> None:
        """Forgets what was counted."""
        self._moments = None


@dataclass(frozen=True, slots=True)
class _Moments:
    """Of some samples: sums of squared differences of targets from their mean (spread) and from predictions (residual).

    All but the count have one number per output, (outputs,), float64.
    """

    count: int
    mean: Tensor
    spread: Tensor
    residual: Tensor
    lowest: Tensor
    highest: Tensor

    @classmethod
    def of(cls, prediction: Tensor, target: Tensor) -> _Moments:
        """Gives the moments of rows (rows, outputs)."""
        mean = target.mean(0)  # (outputs,)
        spread = (target - mean).square().sum(0)  # (outputs,)
        residual = (target - prediction).square().sum(0)  # (outputs,)
        return cls(len(target), mean, spread, residual, target.amin(0), target.amax(0))

    def merged(self, other: _Moments) -> _Moments:
        """Gives the moments of both together."""
        count = self.count + other.count
        shift = other.mean - self.mean
        return _Moments(
            count=count,
            mean=self.mean + shift * (other.count / count),
            spread=self.spread + other.spread + shift.square() * (self.count * other.count / count),
            residual=self.residual + other.residual,
            lowest=torch.minimum(self.lowest, other.lowest),
            highest=torch.maximum(self.highest, other.highest),
        )
