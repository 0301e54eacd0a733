"""Metrics over probabilities: `brier_score`, `expected_calibration_error` and `calibration_curve`."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from mlgym.components.metric.base import Score
from mlgym.components.metric.classes import Counter, CountingMetric, NumClasses, ScoreKind, probabilities
from mlgym.config.registry import register


class ProbabilityMetric(CountingMetric):
    """Base of the metrics that judge the probabilities of all classes."""

    takes_labels = False

    def judged(self, prediction: Tensor, reading: str) -> Tensor:
        """Gives probabilities (rows, classes), float64."""
        return probabilities(prediction, reading)


@register("brier_score")
class BrierScore(ProbabilityMetric):
    """Mean squared difference between probabilities and what came true: 0 is best, 1 the worst for two classes.

    For two classes the mean of (p - t)^2 with p the probability of class 1; for more the sum of the squared
    differences over all classes, at most 2. Predictions are scores (batch, classes, ...) or one score (batch,) or
    (batch, 1); targets are labels (batch, ...).

    Args:
        num_classes: number of classes; None for what the predictions show.
        scores: what the predictions are; `auto`: probabilities if all in the split are in [0, 1] and those of a sample
            add up to 1, else logits.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `brier_score`.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability";
        `sklearn.metrics.brier_score_loss`. torchmetrics has none.
    """

    def __init__(
        self,
        *,
        num_classes: NumClasses = None,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            name or "brier_score", num_classes=num_classes, scores=scores, prediction=prediction, target=target
        )

    def new_counter(self, num_classes: int, device: torch.device) -> Counter:
        """Gives a sum of squared differences."""
        return _SquaredDifferences(num_classes, device)

    def score(self, value: Tensor) -> Score:
        """Gives the mean."""
        return float(value)


class _SquaredDifferences:
    """Sums squared differences of probabilities (rows, classes) from one-hot targets."""

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self._scale = 0.5 if num_classes == 2 else 1.0
        self._sum = torch.zeros((), dtype=torch.float64, device=device)
        self._num_rows = 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        # |p - onehot|^2 = |p|^2 - 2 p[target] + 1, without making the one-hot targets.
        hits = prediction.gather(1, target[:, None])[:, 0]  # (rows,)
        self._sum = self._sum + (prediction.square().sum(1) - 2 * hits + 1).sum()
        self._num_rows += len(target)

    def compute(self) -> Tensor:
        return self._scale * self._sum / self._num_rows


@register("expected_calibration_error")
class ExpectedCalibrationError(ProbabilityMetric):
    """How far confidence is from the share of right ones: sum over bins of (samples in bin / samples) |share - mean|.

    Overall, a sample's confidence is the largest of its probabilities, and it is right if that class is the target.
    Per class c, it is the probability of c, and right if the target is c. Bins are of equal width, [a, b), the last
    one with its end. Predictions are scores (batch, classes, ...) or one score (batch,) or (batch, 1), which means two
    classes with the probabilities 1 - p and p; targets are labels (batch, ...).

    Args:
        num_bins: number of bins over [0, 1].
        per_class: give that of each class (`ece/0`, `ece/1` ...) besides the overall one (`ece`).
        num_classes: number of classes; None for what the predictions show.
        scores: what the predictions are; `auto`: probabilities if all in the split are in [0, 1] and those of a sample
            add up to 1, else logits.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `ece`.

    Source: Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning"; per class: Kull et al.
        2019, https://arxiv.org/abs/1910.12656. (torchmetrics keeps every confidence; here three sums per bin stay.)
    """

    def __init__(
        self,
        num_bins: Annotated[int, Field(ge=1)] = 15,
        per_class: bool = False,
        *,
        num_classes: NumClasses = None,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name or "ece", num_classes=num_classes, scores=scores, prediction=prediction, target=target)
        self.num_bins = num_bins
        self.per_class = per_class

    def new_counter(self, num_classes: int, device: torch.device) -> Counter:
        """Gives a table of bins."""
        return _Bins(self.num_bins, num_classes if self.per_class else 0, device)

    def score(self, value: Any) -> Score:
        """Gives the overall error, and those of the classes where asked."""
        overall, *classes = value.tolist()
        if not self.per_class:
            return float(overall)
        return {self.name: overall} | {f"{self.name}/{index}": error for index, error in enumerate(classes)}


class _Bins:
    """Sums confidence minus success by bin: one row for the overall error and one for each class asked for."""

    def __init__(self, num_bins: int, num_classes: int, device: torch.device) -> None:
        self._num_bins = num_bins
        self._num_classes = num_classes
        # (1 + classes, bins); the weight of a bin and its number of samples cancel, so that this sum is enough.
        self._gaps = torch.zeros(1 + num_classes, num_bins, dtype=torch.float64, device=device)
        self._num_rows = 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        confidence, label = prediction.max(1)  # (rows,)
        self._add(0, confidence, label == target)
        for index in range(self._num_classes):
            self._add(1 + index, prediction[:, index], target == index)
        self._num_rows += len(target)

    def _add(self, row: int, confidence: Tensor, right: Tensor) -> None:
        bins = (confidence * self._num_bins).long().clamp(0, self._num_bins - 1)  # (rows,)
        # Not `bincount` with weights, which is refused on a GPU where PyTorch is told to be deterministic.
        self._gaps[row].index_add_(0, bins, confidence - right.double())

    def compute(self) -> Tensor:
        return self._gaps.abs().sum(1) / self._num_rows  # (1 + classes,)


@register("calibration_curve")
class CalibrationCurve(ProbabilityMetric):
    """Table (bins, 3) behind a reliability diagram: mean confidence, share of right ones and number of samples.

    A sample's confidence is the largest of its probabilities, and it is right if that class is the target; of two
    classes given by a single score, it is the probability of class 1, and right if the target is 1. Bins are of equal
    width, [a, b), the last one with its end; a bin without samples is three zeros. Predictions are scores
    (batch, classes, ...) or one score (batch,) or (batch, 1); targets are labels (batch, ...). `mlgym report` draws it.

    Args:
        num_bins: number of bins over [0, 1].
        num_classes: number of classes; None for what the predictions show.
        scores: what the predictions are; `auto`: probabilities if all in the split are in [0, 1] and those of a sample
            add up to 1, else logits.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `calibration_curve`.

    Source: DeGroot and Fienberg 1983, "The comparison and evaluation of forecasters"; `sklearn.calibration.
        calibration_curve` gives the first two columns for two classes.
    """

    def __init__(
        self,
        num_bins: Annotated[int, Field(ge=1)] = 10,
        *,
        num_classes: NumClasses = None,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        own_name = name or "calibration_curve"
        super().__init__(own_name, num_classes=num_classes, scores=scores, prediction=prediction, target=target)
        self.num_bins = num_bins
        self._is_single = False

    def rows(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Gives rows as `ClassMetric` does, and notes whether there is one score for each."""
        scores, labels = super().rows(prediction, target)
        self._is_single = scores.ndim == 1
        return scores, labels

    def new_counter(self, num_classes: int, device: torch.device) -> Counter:
        """Gives a table of bins."""
        return _BinSums(self.num_bins, device, is_single=self._is_single)

    def score(self, value: Tensor) -> Score:
        """Gives the table (bins, 3)."""
        counts = value[2].clamp(min=1)
        table: list[list[float]] = torch.stack([value[0] / counts, value[1] / counts, value[2]], dim=1).tolist()
        return table


class _BinSums:
    """Sums confidence, successes and samples by bin, (3, bins) float64."""

    def __init__(self, num_bins: int, device: torch.device, *, is_single: bool) -> None:
        self._is_single = is_single
        self._sums = torch.zeros(3, num_bins, dtype=torch.float64, device=device)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        if self._is_single:
            confidence, right = prediction[:, 1], target == 1
        else:
            confidence, label = prediction.max(1)  # (rows,)
            right = label == target
        num_bins = self._sums.shape[1]
        bins = (confidence * num_bins).long().clamp(0, num_bins - 1)  # (rows,)
        for row, values in enumerate((confidence, right.double(), torch.ones_like(confidence))):
            self._sums[row].index_add_(0, bins, values)

    def compute(self) -> Tensor:
        return self._sums
