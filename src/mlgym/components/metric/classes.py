"""What metrics over classes have in common: shapes, the number of classes, and logits told from probabilities."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from mlgym.components.metric.base import PairMetric, Score
from mlgym.errors import TrainingError

ScoreKind: TypeAlias = Literal["auto", "logits", "probabilities"]
"""What float predictions are; `auto` for what they look like over the whole split (see `look_like_logits`)."""

NumClasses: TypeAlias = Annotated[int, Field(ge=2)] | None
"""Number of classes; None for what the predictions show."""

_SUM_TOLERANCE: Final = 0.01  # bfloat16 rounds each probability by up to 0.4 %


class Counter(Protocol):
    """Counts judged rows."""

    def update(self, prediction: Tensor, target: Tensor, /) -> None:
        """Takes rows."""

    def compute(self) -> Any:
        """Gives the value of all rows."""


class ClassMetric(PairMetric):
    """Base of the metrics over classes.

    Predictions are one of
        - a score per class, (batch, classes, ...) float, for targets (batch, ...);
        - one score, (batch,) or (batch, 1) float, for targets 0 and 1 of the same number;
        - labels, (batch, ...) of an integer type or bool, for targets (batch, ...).
    Targets are labels from 0 on of any type; for scores per class also probabilities of the same shape, whose largest
    counts. One score means two classes with the probabilities 1 - p and p.

    Args:
        name: what it is called in results.
        num_classes: how many classes there are; None for what the predictions show.
        scores: what float predictions are.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
    """

    takes_labels: ClassVar[bool] = True
    """Whether labels are enough, or scores are needed."""

    def __init__(
        self,
        name: str,
        *,
        num_classes: int | None = None,
        scores: ScoreKind = "auto",
        prediction: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__(name, prediction=prediction, target=target)
        self.num_classes = num_classes
        self.scores: ScoreKind = scores

    def check(self, prediction: Tensor, target: Tensor) -> None:
        """Refuses shapes and types that are none of those above.

        Raises:
            TrainingError: such a batch.
        """
        scores, labels = _without_axis(prediction), _without_axis(target)
        per_class = _has_classes(scores, labels)
        if not per_class and scores.shape != labels.shape:
            remedy = "give scores (batch, classes), scores (batch,) or labels (batch,), and as targets labels (batch,)"
            raise self.misfit("the shapes do not fit", prediction, target, remedy)
        if not per_class and scores.ndim == 2 and scores.is_floating_point():
            remedy = "if each sample has several yes-or-no labels, they have to be judged one by one"
            raise self.misfit("this is neither a label nor a score per class", prediction, target, remedy)
        if per_class and self.num_classes not in (None, scores.shape[1]):
            problem = f"`num_classes` is {self.num_classes}, but there are scores for {scores.shape[1]}"
            raise self.misfit(problem, prediction, target, "leave `num_classes` out")
        if not self.takes_labels and not scores.is_floating_point():
            remedy = "give float scores: leave out the post-processor that makes labels of them"
            raise self.misfit("labels carry no probabilities", prediction, target, remedy)

    def rows(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Gives predictions (rows, classes) or (rows,) and labels (rows,) int64."""
        prediction, target = _without_axis(prediction), _without_axis(target)
        if not _has_classes(prediction, target):
            labels = prediction if prediction.is_floating_point() else prediction.long()
            return labels.reshape(-1), target.reshape(-1).long()
        if target.shape == prediction.shape:
            target = target.argmax(1)
        return prediction.movedim(1, -1).reshape(-1, prediction.shape[1]), target.reshape(-1).long()

    def readings(self, prediction: Tensor) -> list[str]:
        """Gives the readings of such rows that give different results; one where `scores` says it."""
        return ["logits", "probabilities"] if self.scores == "auto" else [self.scores]

    def check_range(self, what: str, labels: Tensor, num_classes: int) -> None:
        """Refuses labels that are no class.

        Raises:
            TrainingError: a label is outside [0, num_classes).
        """
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= num_classes:
            raise TrainingError(
                f"metric `{self.name}`: the {what} reach from {lowest} to {highest}, but there are {num_classes} "
                f"classes, counted from 0 to {num_classes - 1}"
            )


class CountingMetric(ClassMetric):
    """Base of the metrics over classes that need only counts and sums, so that memory does not grow with the split.

    Whether scores are logits is a property of all batches together and not of one: with `scores: auto` both readings
    are counted, and at the end the one that holds is reported.
    """

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
        self._counters: dict[str, Counter] = {}
        self._are_logits: Tensor | None = None  # (), bool, on the device of the predictions

    @abstractmethod
    def new_counter(self, num_classes: int, device: torch.device) -> Counter:
        """Gives a counter for rows as `judged` gives them."""

    @abstractmethod
    def judged(self, prediction: Tensor, reading: str) -> Tensor:
        """Gives what the counter takes for rows of predictions.

        Args:
            prediction: labels (rows,), scores per class (rows, classes) or single scores (rows,).
            reading: one of those that `readings` gives.
        """

    @abstractmethod
    def score(self, value: Any) -> Score:
        """Gives what a counter computed as a score."""

    def take(self, prediction: Tensor, target: Tensor, *, last: bool) -> bool:
        """Counts rows, in each reading that may hold."""
        num_classes, is_known = self._count_classes(prediction, target)
        if not is_known:
            if not last:
                return False
            self.clear()
        self.check_range("targets", target, num_classes)
        if not prediction.is_floating_point():
            self.check_range("predictions", prediction, num_classes)
        readings = self.readings(prediction)
        if len(readings) > 1:
            are_logits = look_like_logits(prediction)
            self._are_logits = are_logits if self._are_logits is None else self._are_logits | are_logits
        for reading in readings:
            if reading not in self._counters:
                self._counters[reading] = self.new_counter(num_classes, target.device)
            self._counters[reading].update(self.judged(prediction, reading), target)
        return is_known

    def result(self) -> Score:
        """Gives the value in the reading that holds."""
        reading, *others = self._counters
        if others:
            reading = "logits" if self._are_logits is not None and bool(self._are_logits) else "probabilities"
        return self.score(self._counters[reading].compute())

    def clear(self) -> None:
        """Forgets what was counted."""
        self._counters = {}
        self._are_logits = None

    def _count_classes(self, prediction: Tensor, target: Tensor) -> tuple[int, bool]:
        """Gives the number of classes, and whether more rows cannot change it."""
        if prediction.ndim == 2:
            return prediction.shape[1], True
        if prediction.is_floating_point():
            return 2, True
        if self.num_classes is not None:
            return self.num_classes, True
        # Labels show their number only when all of them are there.
        return max(2, int(prediction.max()) + 1, int(target.max()) + 1), False


def look_like_logits(prediction: Tensor) -> Tensor:
    """Says whether float predictions cannot be probabilities.

    Args:
        prediction: scores per class (rows, classes) or single scores (rows,).

    Returns:
        bool (): a value is outside [0, 1] (or NaN), or the scores of a row do not add up to 1 (within 1 %).
    """
    inside = (prediction >= 0) & (prediction <= 1)
    if prediction.ndim == 2:
        inside = inside & ((prediction.float().sum(1, keepdim=True) - 1).abs() <= _SUM_TOLERANCE)
    return ~inside.all()


def probabilities(prediction: Tensor, reading: str) -> Tensor:
    """Gives probabilities (rows, classes), float64, of scores per class (rows, classes) or single scores (rows,).

    A single score is about class 1 of two.
    """
    prediction = prediction.double()
    if prediction.ndim == 2:
        return prediction.softmax(1) if reading == "logits" else prediction
    positive = prediction.sigmoid() if reading == "logits" else prediction
    return torch.stack([1 - positive, positive], dim=1)  # (rows, 2)


def _without_axis(tensor: Tensor) -> Tensor:
    # (batch, 1, ...) is one score or one label.
    return tensor.squeeze(1) if tensor.ndim > 1 and tensor.shape[1] == 1 else tensor


def _has_classes(prediction: Tensor, target: Tensor) -> bool:
    if prediction.ndim < 2 or not prediction.is_floating_point():
        return False
    labels = target.shape == prediction.shape[:1] + prediction.shape[2:]
    return labels or (prediction.ndim == 2 and target.shape == prediction.shape and target.is_floating_point())
