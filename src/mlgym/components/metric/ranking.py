"""Metrics over the order of scores: `auroc`, `average_precision`, `recall_at_k`, `area_under_recall_at_k`.

They need every score at once, so memory grows with the split.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, ClassVar, Final

import torch
from pydantic import Field
from torch import Tensor

from mlgym.components.metric.base import Score
from mlgym.components.metric.classes import ClassMetric, NumClasses, ScoreKind, look_like_logits, probabilities
from mlgym.components.metric.labels import Average, only_two
from mlgym.config.registry import register
from mlgym.errors import TrainingError

_TORCHMETRICS: Final = ("torchmetrics.functional.classification",)


class RankingMetric(ClassMetric):
    """Base of the metrics that need all scores of a split at once."""

    max_gathered = math.inf
    takes_labels = False

    def __init__(
        self,
        name: str,
        *,
        num_classes: int | None = None,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__(name, num_classes=num_classes, scores=scores, prediction=prediction, target=target)
        self._values: list[float] = []

    def take(self, prediction: Tensor, target: Tensor, *, last: bool) -> bool:
        """Ranks all rows when the last ones are there."""
        if last:
            # On the CPU, where sorting and summing give the same bits each time.
            prediction, target = prediction.cpu(), target.cpu()
            readings = self.readings(prediction)
            looks_like = "logits" if bool(look_like_logits(prediction)) else "probabilities"
            order = ordering(prediction, readings[0] if len(readings) == 1 else looks_like)
            self.check_range("targets", target, order.shape[1])
            self._values = self.rank(order, target)
        return False

    def result(self) -> Score:
        """Gives the values as a score."""
        return self.score(self._values)

    def clear(self) -> None:
        """Forgets the values."""
        self._values = []

    @abstractmethod
    def score(self, value: list[float]) -> Score:
        """Gives what `rank` gave as a score."""

    @abstractmethod
    def rank(self, order: Tensor, target: Tensor) -> list[float]:
        """Gives the values of all samples.

        Args:
            order: (samples, classes) float64, larger for samples that are more of a class.
            target: labels (samples,) int64.
        """


def ordering(prediction: Tensor, reading: str) -> Tensor:
    """Gives numbers (rows, classes), float64, in the order of the probabilities.

    Logits become log odds, since probabilities near 1 are all the same in floating point.
    """
    prediction = prediction.double()
    if reading == "probabilities":
        return probabilities(prediction, reading)
    if prediction.ndim == 2:
        return log_odds(prediction)
    return torch.stack([-prediction, prediction], dim=1)  # (rows, 2)


def log_odds(logits: Tensor) -> Tensor:
    """Gives log(p / (1 - p)) for the softmax p of logits (rows, classes), precise also where p is near 1."""
    top = logits.argmax(1, keepdim=True)  # (rows, 1)
    highest = logits.gather(1, top)  # (rows, 1)
    shares = (logits - highest).exp()  # (rows, classes)
    # For all but the highest, the others together are at least 1; for the highest the difference would cancel.
    odds = logits - highest - (shares.sum(1, keepdim=True) - shares).log()
    others = logits.scatter(1, top, -math.inf).logsumexp(1, keepdim=True)  # (rows, 1)
    return odds.scatter(1, top, highest - others)


class AreaMetric(RankingMetric):
    """Base of the areas under a curve that exist per class, one class against all others."""

    kind: ClassVar[str]
    """How the metric is called where no name is given, before the average."""

    def __init__(
        self,
        average: Average = "macro",
        *,
        num_classes: NumClasses = None,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        own_name = self.kind if average == "none" else f"{self.kind}_{average}"
        super().__init__(name or own_name, num_classes=num_classes, scores=scores, prediction=prediction, target=target)
        self.average: Average = average

    def rank(self, order: Tensor, target: Tensor) -> list[float]:
        """Gives the average, or a number per class."""
        num_classes = order.shape[1]
        relevant = target[:, None] == torch.arange(num_classes, device=target.device)  # (samples, classes)
        if self.average == "micro":
            return [self._area(order.flatten(), relevant.flatten())]
        if self.average == "binary":
            positive = only_two(num_classes, self.name)
            return [self._area(order[:, positive], relevant[:, positive])]
        areas = [self._area(order[:, index], relevant[:, index]) for index in range(num_classes)]
        if self.average == "none":
            return areas
        weights = [1] * num_classes if self.average == "macro" else relevant.sum(0).tolist()
        return [sum(area * weight for area, weight in zip(areas, weights, strict=True)) / sum(weights)]

    def _area(self, order: Tensor, relevant: Tensor) -> float:
        """Gives the area for an order (n,) and what is relevant (n,) bool; NaN where it is not defined."""
        if bool(order.isnan().any()) or not self.defined(int(relevant.sum()), len(relevant)):
            return math.nan
        # Only the order counts; torchmetrics would put anything outside [0, 1] through a sigmoid and lose some of it.
        ranks = torch.unique(order, return_inverse=True)[1].double()  # (n,)
        return float(self.area(ranks / len(ranks), relevant.long()))

    @abstractmethod
    def defined(self, num_relevant: int, num_samples: int) -> bool:
        """Says whether the area exists for that many relevant samples."""

    @abstractmethod
    def area(self, scores: Tensor, relevant: Tensor) -> Tensor:
        """Gives the area () for scores in [0, 1] (n,) and 1 for what is relevant (n,)."""

    def score(self, value: list[float]) -> Score:
        """Gives the average, or a number per class."""
        if self.average == "none":
            return {f"{self.name}/{index}": area for index, area in enumerate(value)}
        return value[0]


@register("auroc", late_imports=_TORCHMETRICS)
class AUROC(AreaMetric):
    """Area under the ROC curve of each class against all others, averaged.

    The probability that a sample of the class has a higher score than one of another class, ties counting half.
    Predictions are scores (batch, classes, ...) or one score (batch,) or (batch, 1); targets are labels (batch, ...).
    NaN, also of `macro` and `weighted`, where a class is the target of no sample or of all.

    Args:
        average: `macro` (mean of the classes), `micro` (all scores of all classes together), `weighted` (by targets
            per class), `binary` (class 1 of two, which `macro` equals there), `none` (`auroc/0`, `auroc/1` ...).
        num_classes: number of classes; None for what the predictions show.
        scores: what the predictions are; `auto`: probabilities if all in the split are in [0, 1] and those of a sample
            add up to 1, else logits.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `auroc_` and the average, `auroc` for `none`.

    Source: `sklearn.metrics.roc_auc_score` with `multi_class="ovr"`, computed by torchmetrics.
    """

    kind = "auroc"

    def defined(self, num_relevant: int, num_samples: int) -> bool:
        """Says whether there are samples of both sorts."""
        return 0 < num_relevant < num_samples

    def area(self, scores: Tensor, relevant: Tensor) -> Tensor:
        """Gives torchmetrics' exact area."""
        from torchmetrics.functional.classification import binary_auroc

        area: Tensor = binary_auroc(scores, relevant, validate_args=False)
        return area


@register("average_precision", late_imports=_TORCHMETRICS)
class AveragePrecision(AreaMetric):
    """Average precision of each class against all others, averaged: sum of (R_i - R_i-1) P_i over falling thresholds.

    P and R are precision and recall of the samples over a threshold. Predictions are scores (batch, classes, ...) or
    one score (batch,) or (batch, 1); targets are labels (batch, ...). NaN, also of `macro` and `weighted`, where a
    class is the target of no sample.

    Args:
        average: `macro` (mean of the classes), `micro` (all scores of all classes together), `weighted` (by targets
            per class), `binary` (class 1 of two), `none` (`average_precision/0` ...).
        num_classes: number of classes; None for what the predictions show.
        scores: what the predictions are; `auto`: probabilities if all in the split are in [0, 1] and those of a sample
            add up to 1, else logits.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `average_precision_` and the average, `average_precision` for
            `none`.

    Source: `sklearn.metrics.average_precision_score`, computed by torchmetrics.
    """

    kind = "average_precision"

    def defined(self, num_relevant: int, num_samples: int) -> bool:
        """Says whether there is a sample of the class."""
        return num_relevant > 0

    def area(self, scores: Tensor, relevant: Tensor) -> Tensor:
        """Gives torchmetrics' exact area."""
        from torchmetrics.functional.classification import binary_average_precision

        area: Tensor = binary_average_precision(scores, relevant, validate_args=False)
        return area


class RecallCurveMetric(RankingMetric):
    """Base of the metrics over recall at k: the share of a class's samples among the k with the highest scores."""

    def __init__(
        self,
        name: str,
        *,
        positive: int = 1,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__(name, scores=scores, prediction=prediction, target=target)
        self.positive = positive

    def found(self, order: Tensor, target: Tensor) -> Tensor | None:
        """Gives how many positive samples are expected among the first 1, 2 ... n, (samples,) float64.

        Where scores are equal, their samples are in any order with the same probability. None without positive ones.
        """
        if self.positive >= order.shape[1]:
            raise TrainingError(
                f"metric `{self.name}`: `positive` is class {self.positive}, but there are {order.shape[1]} classes, "
                "counted from 0"
            )
        relevant = target == self.positive  # (samples,)
        if not bool(relevant.any()) or bool(order.isnan().any()):
            return None
        values, places = order[:, self.positive].sort(descending=True)  # (samples,)
        _, groups, sizes = torch.unique_consecutive(values, return_inverse=True, return_counts=True)
        hits = torch.zeros(len(sizes), dtype=torch.float64).index_add(0, groups, relevant[places].double())  # (groups,)
        found: Tensor = (hits / sizes)[groups].cumsum(0)  # (samples,)
        return found

    def score(self, value: list[float]) -> Score:
        """Gives the only value."""
        return value[0]


@register("recall_at_k")
class RecallAtK(RecallCurveMetric):
    """Share of the positive samples of a split that are among its k samples with the highest scores.

    With the samples sorted by the score of class `positive`, sum_{i <= k} [t_i = positive] / sum_i [t_i = positive];
    samples with the same score count as if in random order. 1 for k above the number of samples, NaN without positive
    samples. Predictions are scores (batch, classes, ...) or one score (batch,) or (batch, 1), which is about class 1 of
    two; targets are labels (batch, ...).

    Args:
        k: how many samples are looked at.
        positive: the class that is looked for.
        scores: what the predictions are; `auto`: probabilities if all in the split are in [0, 1] and those of a sample
            add up to 1, else logits.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `recall_at_10` where k is 10.

    Source: Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval", section 8.4. torchmetrics'
        `RetrievalRecall` breaks ties by the order of the samples.
    """

    def __init__(
        self,
        k: Annotated[int, Field(ge=1)],
        *,
        positive: Annotated[int, Field(ge=0)] = 1,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        own_name = name or f"recall_at_{k}"
        super().__init__(own_name, positive=positive, scores=scores, prediction=prediction, target=target)
        self.k = k

    def rank(self, order: Tensor, target: Tensor) -> list[float]:
        """Gives the share found among the first k."""
        found = self.found(order, target)
        return [math.nan if found is None else float(found[min(self.k, len(found)) - 1] / found[-1])]


@register("area_under_recall_at_k")
class AreaUnderRecallAtK(RecallCurveMetric):
    """Area under recall at k for k = 1 ... K, as a share of the best one: 1 if all positive samples come first.

    sum_{k=1}^{K} recall_at_k / sum_{k=1}^{K} min(k, P) / P with P the number of positive samples of the split: the
    area under the cumulative gains curve up to K, normalized. NaN without positive samples. Predictions are scores
    (batch, classes, ...) or one score (batch,) or (batch, 1), which is about class 1 of two; targets are labels
    (batch, ...).

    Args:
        max_k: K, how far down the list is looked; None (or more than there are) for all samples of the split.
        normalize: False for the plain mean of recall at k, without dividing by the best possible one.
        positive: the class that is looked for.
        scores: what the predictions are; `auto`: probabilities if all in the split are in [0, 1] and those of a sample
            add up to 1, else logits.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what it is called in results; None for `area_under_recall_at_k`.

    Source: cumulative gains: Ling and Li 1998, "Data mining for direct marketing: problems and solutions" (KDD);
        recall at k as in `recall_at_k`.
    """

    def __init__(
        self,
        max_k: Annotated[int, Field(ge=1)] | None = None,
        normalize: bool = True,
        *,
        positive: Annotated[int, Field(ge=0)] = 1,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        own_name = name or "area_under_recall_at_k"
        super().__init__(own_name, positive=positive, scores=scores, prediction=prediction, target=target)
        self.max_k = max_k
        self.normalize = normalize

    def rank(self, order: Tensor, target: Tensor) -> list[float]:
        """Gives the area up to K."""
        found = self.found(order, target)
        if found is None:
            return [math.nan]
        num_positive = found[-1]
        curve = found[: self.max_k] / num_positive  # (K,)
        if not self.normalize:
            return [float(curve.mean())]
        ranks = torch.arange(1, len(curve) + 1, dtype=torch.float64, device=curve.device)  # (K,)
        return [float(curve.sum() / (ranks.clamp(max=float(num_positive)) / num_positive).sum())]
