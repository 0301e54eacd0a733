"""Metrics over predicted labels: `accuracy`, `balanced_accuracy`, `f1`, `precision`, `recall`, `confusion_matrix`.

They count by themselves: torchmetrics 1.9 compares every sample with every cell of the confusion matrix where PyTorch
is told to be deterministic, which takes 2 s and 1 GB for a batch of 64 samples and 1,000 classes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from mlgym.components.metric.base import Score
from mlgym.components.metric.classes import Counter, CountingMetric, NumClasses, ScoreKind
from mlgym.config.registry import register
from mlgym.errors import TrainingError

Average: TypeAlias = Literal["macro", "micro", "weighted", "binary", "none"]
"""How the values of the classes become one: their mean, from the counts of all classes, their mean weighted by how
often each class is the target, that of class 1 alone, or not at all."""

Threshold: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
"""The probability above which a single score means class 1."""


class LabelMetric(CountingMetric):
    """Base of the metrics that need only the label: that of the largest score, or of one score over a threshold."""

    kind: ClassVar[str]
    """How the metric is called where no name is given."""

    def __init__(
        self,
        *,
        threshold: Threshold = 0.5,
        num_classes: NumClasses = None,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        own_name = name or self.kind
        super().__init__(own_name, num_classes=num_classes, scores=scores, prediction=prediction, target=target)
        self.threshold = threshold

    def readings(self, prediction: Tensor) -> list[str]:
        """Gives what matters: only for single scores is it a question what they are compared with."""
        if prediction.ndim == 2 or not prediction.is_floating_point():
            return ["labels"]
        return ["logits", "probabilities"] if self.scores == "auto" else [self.scores]

    def judged(self, prediction: Tensor, reading: str) -> Tensor:
        """Gives labels (rows,) int64."""
        if prediction.ndim == 2:
            return prediction.argmax(1)
        if reading == "labels":
            return prediction
        limit = math.log(self.threshold / (1 - self.threshold)) if reading == "logits" else self.threshold
        return (prediction > limit).long()

    def new_counter(self, num_classes: int, device: torch.device) -> Counter:
        """Gives a counter of labels by class."""
        return ClassCounts(num_classes, device)


class ClassCounts:
    """How many samples of each class there are, got its label, and both; each (classes,) int64."""

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.support = torch.zeros(num_classes, dtype=torch.int64, device=device)
        self.predicted = torch.zeros_like(self.support)
        self.hits = torch.zeros_like(self.support)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Counts labels (rows,) int64."""
        num_classes = len(self.support)
        self.support += torch.bincount(target, minlength=num_classes)
        self.predicted += torch.bincount(prediction, minlength=num_classes)
        # What missed goes to a class of its own, so that nobody waits for the number of hits.
        hit = torch.where(prediction == target, target, num_classes)  # (rows,)
        self.hits += torch.bincount(hit, minlength=num_classes + 1)[:num_classes]

    def compute(self) -> ClassCounts:
        """Gives itself."""
        return self


class AveragedMetric(LabelMetric):
    """Base of the metrics that have a value per class, a quotient of counts."""

    def __init__(
        self,
        average: Average = "macro",
        *,
        threshold: Threshold = 0.5,
        num_classes: NumClasses = None,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            threshold=threshold,
            num_classes=num_classes,
            scores=scores,
            prediction=prediction,
            target=target,
            name=name or (self.kind if average == "none" else f"{self.kind}_{average}"),
        )
        self.average: Average = average

    @abstractmethod
    def quotient(self, hits: Tensor, predicted: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
        """Gives numerator and denominator of the value, for counts (classes,) float64 or their sums ()."""

    def score(self, value: ClassCounts) -> Score:
        """Gives the average, or a number per class."""
        hits, predicted, support = (each.double() for each in (value.hits, value.predicted, value.support))
        if self.average == "micro":
            return float(_ratio(*self.quotient(hits.sum(), predicted.sum(), support.sum())))
        values = _ratio(*self.quotient(hits, predicted, support))  # (classes,)
        if self.average == "none":
            return {f"{self.name}/{index}": value for index, value in enumerate(values.tolist())}
        if self.average == "binary":
            return float(values[only_two(len(values), self.name)])
        weights = support if self.average == "weighted" else ((predicted + support) > 0).double()  # (classes,)
        return float((values * weights).sum() / weights.sum())


def only_two(num_classes: int, name: str) -> int:
    """Gives the class that `average: binary` is about.

    Raises:
        TrainingError: there are more than two.
    """
    if num_classes == 2:
        return 1
    raise TrainingError(
        f"metric `{name}`: `average: binary` is for two classes, but there are {num_classes}; "
        "take `macro`, `micro`, `weighted` or `none`"
    )


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    # As scikit-learn's `zero_division=0`: the numerator is 0 where the denominator is.
    return numerator / denominator.clamp(min=1)


@register("accuracy")
class Accuracy(LabelMetric):
    """Share of right labels.

    Predictions are scores (batch, classes, ...), one score (batch,) or (batch, 1), or labels (batch, ...); targets are
    labels (batch, ...).

    Args:
        threshold: the probability above which a single score means class 1.
        num_classes: number of classes; None for what the predictions show.
        scores: what single scores are; `auto`: logits if any in the split is outside [0, 1], else probabilities.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `accuracy`.

    Source: `sklearn.metrics.accuracy_score`.
    """

    kind = "accuracy"

    def score(self, value: ClassCounts) -> Score:
        """Gives the share of hits."""
        return float(value.hits.sum().double() / value.support.sum())


@register("balanced_accuracy")
class BalancedAccuracy(LabelMetric):
    """Mean over the classes that appear in the targets of the share of their samples that got the right label.

    Predictions are scores (batch, classes, ...), one score (batch,) or (batch, 1), or labels (batch, ...); targets are
    labels (batch, ...).

    Args:
        threshold: the probability above which a single score means class 1.
        num_classes: number of classes; None for what the predictions show.
        scores: what single scores are; `auto`: logits if any in the split is outside [0, 1], else probabilities.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `balanced_accuracy`.

    Source: `sklearn.metrics.balanced_accuracy_score`.
    """

    kind = "balanced_accuracy"

    def score(self, value: ClassCounts) -> Score:
        """Gives the mean recall of the classes in the targets."""
        present = value.support > 0  # (classes,)
        return float((value.hits[present].double() / value.support[present]).mean())


@register("f1")
class F1(AveragedMetric):
    """F1 score per class, 2 precision recall / (precision + recall), averaged; 0 where neither is above 0.

    Predictions are scores (batch, classes, ...), one score (batch,) or (batch, 1), or labels (batch, ...); targets are
    labels (batch, ...). `macro` leaves out classes that appear in neither predictions nor targets.

    Args:
        average: `macro` (mean of the classes), `micro` (from all counts), `weighted` (by targets per class), `binary`
            (class 1 of two), `none` (`f1/0`, `f1/1` ...).
        threshold: the probability above which a single score means class 1.
        num_classes: number of classes; None for what the predictions show.
        scores: what single scores are; `auto`: logits if any in the split is outside [0, 1], else probabilities.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `f1_` and the average, `f1` for `none`.

    Source: `sklearn.metrics.f1_score` with `zero_division=0`.
    """

    kind = "f1"

    def quotient(self, hits: Tensor, predicted: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
        """Gives 2 hits / (predicted + support)."""
        return 2 * hits, predicted + support


@register("precision")
class Precision(AveragedMetric):
    """Precision per class, the share of right ones among the samples given its label, averaged; 0 where there are none.

    Predictions are scores (batch, classes, ...), one score (batch,) or (batch, 1), or labels (batch, ...); targets are
    labels (batch, ...). `macro` leaves out classes that appear in neither predictions nor targets.

    Args:
        average: `macro` (mean of the classes), `micro` (from all counts), `weighted` (by targets per class), `binary`
            (class 1 of two), `none` (`precision/0`, `precision/1` ...).
        threshold: the probability above which a single score means class 1.
        num_classes: number of classes; None for what the predictions show.
        scores: what single scores are; `auto`: logits if any in the split is outside [0, 1], else probabilities.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `precision_` and the average, `precision` for `none`.

    Source: `sklearn.metrics.precision_score` with `zero_division=0`.
    """

    kind = "precision"

    def quotient(self, hits: Tensor, predicted: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
        """Gives hits / predicted."""
        return hits, predicted


@register("recall")
class Recall(AveragedMetric):
    """Recall per class, the share of its samples that got its label, averaged; 0 where there are none.

    Predictions are scores (batch, classes, ...), one score (batch,) or (batch, 1), or labels (batch, ...); targets are
    labels (batch, ...). `macro` leaves out classes that appear in neither predictions nor targets.

    Args:
        average: `macro` (mean of the classes), `micro` (from all counts), `weighted` (by targets per class), `binary`
            (class 1 of two), `none` (`recall/0`, `recall/1` ...).
        threshold: the probability above which a single score means class 1.
        num_classes: number of classes; None for what the predictions show.
        scores: what single scores are; `auto`: logits if any in the split is outside [0, 1], else probabilities.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `recall_` and the average, `recall` for `none`.

    Source: `sklearn.metrics.recall_score` with `zero_division=0`.
    """

    kind = "recall"

    def quotient(self, hits: Tensor, predicted: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
        """Gives hits / support."""
        return hits, support


@register("confusion_matrix")
class ConfusionMatrix(LabelMetric):
    """Table (classes, classes): in row i and column j how many samples of class i got the label j.

    Predictions are scores (batch, classes, ...), one score (batch,) or (batch, 1), or labels (batch, ...); targets are
    labels (batch, ...).

    Args:
        normalize: `none` for numbers of samples; shares of the samples of the class (`rows`), of the samples that
            got the label (`columns`), or of `all`; 0 where there are none.
        threshold: the probability above which a single score means class 1.
        num_classes: number of classes; None for what the predictions show.
        scores: what single scores are; `auto`: logits if any in the split is outside [0, 1], else probabilities.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `confusion_matrix`.

    Source: `sklearn.metrics.confusion_matrix`.
    """

    kind = "confusion_matrix"

    def __init__(
        self,
        normalize: Literal["none", "rows", "columns", "all"] = "none",
        *,
        threshold: Threshold = 0.5,
        num_classes: NumClasses = None,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            threshold=threshold,
            num_classes=num_classes,
            scores=scores,
            prediction=prediction,
            target=target,
            name=name,
        )
        self.normalize = normalize

    def new_counter(self, num_classes: int, device: torch.device) -> Counter:
        """Gives a counter of pairs of labels."""
        return _PairCounts(num_classes, device)

    def score(self, value: Tensor) -> Score:
        """Gives the table of counts (classes, classes), or of shares."""
        counts = value.double()  # (classes, classes)
        axes = {"none": None, "rows": [1], "columns": [0], "all": [0, 1]}[self.normalize]
        if axes is not None:
            counts = _ratio(counts, counts.sum(axes, keepdim=True))
        table: list[list[float]] = counts.tolist()
        return table


class _PairCounts:
    """How many samples of each class got each label, (classes, classes) int64."""

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self._counts = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        num_classes = len(self._counts)
        pairs = torch.bincount(target * num_classes + prediction, minlength=num_classes**2)
        self._counts += pairs.reshape(num_classes, num_classes)

    def compute(self) -> Tensor:
        return self._counts
