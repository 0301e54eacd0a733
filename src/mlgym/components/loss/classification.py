"""Losses over classes: one class of several (`cross_entropy`, `nll`), and yes or no (`bce`, `bce_with_logits`)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mlgym.components.loss.base import PairLoss, Term
from mlgym.components.tensors import Tensors
from mlgym.config.registry import register

Weights = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]


class ClassLoss(PairLoss):
    """Base of the losses that take a score per class and the right class.

    Args:
        class_weights: one factor >= 0 per class; None for 1 each. The mean over the batch is weighted by them.
        ignore_index: targets of this value count for nothing.
    """

    score_name = "score"

    def __init__(
        self,
        class_weights: Weights | None = None,
        *,
        ignore_index: int = -100,
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(prediction=prediction, target=target, name=name)
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)  # (classes,)
        # A setting, not something learned: it comes from the config and is not part of the weights on disk.
        self.register_buffer("class_weights", weights, persistent=False)
        self.class_weights: Tensor | None
        self._has_weights = weights is not None  # looking up a buffer takes a microsecond of each step
        self.ignore_index = ignore_index

    def check(self, prediction: Tensor, target: Tensor) -> None:
        """Refuses shapes that are not (batch, classes, ...) and (batch, ...), float labels, and labels out of range.

        Raises:
            TrainingError: one of these.
        """
        self._check_classes(prediction, target)
        if target.is_floating_point() or target.is_complex():
            raise self.misfit(
                "the targets are no whole numbers", prediction, target, "give class indices as int64, shape (batch,)"
            )
        if target.shape != prediction.shape[:1] + prediction.shape[2:]:
            expected = (prediction.shape[0], *prediction.shape[2:])
            remedy = f"the target must be class indices of shape {expected}"
            raise self.misfit("the shapes do not fit", prediction, target, remedy)
        self._check_range(prediction, target)

    def _check_classes(self, prediction: Tensor, target: Tensor) -> None:
        if prediction.ndim < 2 or not prediction.is_floating_point():
            remedy = f"the prediction must be one float {self.score_name} per class, (batch, classes, ...)"
            raise self.misfit("the prediction has no axis of classes", prediction, target, remedy)
        num_classes = prediction.shape[1]
        if num_classes == 1:
            remedy = "give the model an output per class, or take `bce_with_logits`"
            raise self.misfit("there is only one class, so the loss is always 0", prediction, target, remedy)
        if self.class_weights is not None and len(self.class_weights) != num_classes:
            raise self.misfit(
                f"there are {len(self.class_weights)} class weights for {num_classes} classes",
                prediction,
                target,
                "give one weight per class",
            )

    def _check_range(self, prediction: Tensor, target: Tensor) -> None:
        kept = target[target != self.ignore_index]
        if not kept.numel():
            return
        lowest, highest = int(kept.min()), int(kept.max())
        if lowest < 0 or highest >= prediction.shape[1]:
            raise self.misfit(
                f"the targets reach from {lowest} to {highest}, but there are {prediction.shape[1]} classes",
                prediction,
                target,
                f"classes count from 0 to {prediction.shape[1] - 1}: give the model more outputs or map the labels",
            )

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Gives the weighted mean over the batch, ().

        Raises:
            TrainingError: a later batch holds a label that is out of range (on the CPU; a GPU stops with an assertion).
        """
        if target.dtype is not torch.int64 and not target.is_floating_point():
            target = target.long()
        try:
            return self._mean(prediction, target, self.class_weights if self._has_weights else None)
        except IndexError:
            self._check_range(prediction, target)
            raise

    def terms(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> list[Term]:
        """Gives the mean, weighted by what the targets that count weigh together."""
        value = self(predictions, targets)
        _, target = self.pair(predictions, targets)
        if target.is_floating_point():  # probabilities: torch divides by the number of samples
            return [Term(value)]
        kept = target != self.ignore_index  # (batch, ...)
        if not self._has_weights or self.class_weights is None:
            return [Term(value, kept.sum())]
        weights = self.class_weights[target.long().clamp(0, len(self.class_weights) - 1)]  # (batch, ...)
        return [Term(value, (weights * kept).sum())]

    def _mean(self, prediction: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        raise NotImplementedError


@register("cross_entropy")
class CrossEntropy(ClassLoss):
    """Cross entropy between logits and the right class: the mean over the batch of `-log softmax(logits)[target]`.

    Predictions are logits (batch, classes, ...), float. Targets are class indices (batch, ...) of any integer type in
    [0, classes), or probabilities per class of the same shape as the logits, float.

    Args:
        class_weights: one factor >= 0 per class; None for 1 each. The mean over the batch is weighted by them.
        label_smoothing: share in [0, 1] of the target that is spread evenly over all classes.
        ignore_index: targets of this value count for nothing.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what the loss is called in results; None for `cross_entropy`.

    Source: `torch.nn.functional.cross_entropy`; label smoothing: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567.
    """

    kind = "cross_entropy"
    score_name = "logit"

    def __init__(
        self,
        class_weights: Weights | None = None,
        label_smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0,
        *,
        ignore_index: int = -100,
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(class_weights, ignore_index=ignore_index, prediction=prediction, target=target, name=name)
        self.label_smoothing = label_smoothing

    def check(self, prediction: Tensor, target: Tensor) -> None:
        """Refuses what is neither labels nor probabilities over the classes.

        Raises:
            TrainingError: shapes or types do not fit, or a label is out of range.
        """
        if not target.is_floating_point():
            super().check(prediction, target)
            return
        self._check_classes(prediction, target)
        if target.shape != prediction.shape:
            remedy = "give class indices as int64, shape (batch,), or probabilities of the prediction's shape"
            raise self.misfit("the targets are no whole numbers", prediction, target, remedy)

    def _mean(self, prediction: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        return functional.cross_entropy(
            prediction,
            target,
            weight=weights,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )


@register("nll")
class NegativeLogLikelihood(ClassLoss):
    """Negative log likelihood: the mean over the batch of `-prediction[target]`.

    Predictions are log probabilities (batch, classes, ...), float, as `log_softmax` gives them. Targets are class
    indices (batch, ...) of any integer type in [0, classes).

    Args:
        class_weights: one factor >= 0 per class; None for 1 each. The mean over the batch is weighted by them.
        ignore_index: targets of this value count for nothing.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what the loss is called in results; None for `nll`.

    Source: `torch.nn.functional.nll_loss`.
    """

    kind = "nll"
    score_name = "log probability"

    def _mean(self, prediction: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        return functional.nll_loss(prediction, target, weight=weights, ignore_index=self.ignore_index)


class BinaryLoss(PairLoss):
    """Base of the losses that take one score per yes-or-no question, (batch,), (batch, 1) or (batch, questions)."""

    def check(self, prediction: Tensor, target: Tensor) -> None:
        """Refuses targets that are not one number in [0, 1] per prediction.

        Raises:
            TrainingError: the shapes differ by more than axes of size 1, or a target is outside [0, 1].
        """
        if not prediction.is_floating_point():
            raise self.misfit("the prediction is no float", prediction, target, "let the model give float scores")
        if _without_ones(prediction) != _without_ones(target) or prediction.shape[:1] != target.shape[:1]:
            remedy = (
                "both must hold one number per sample (or per sample and question): give the model `num_outputs: 1`, "
                "or take `cross_entropy` for a score per class"
            )
            raise self.misfit("the shapes do not fit", prediction, target, remedy)
        self._check_unit_interval(target, "targets", prediction, target, "map the labels to 0 and 1")

    def _check_unit_interval(self, values: Tensor, what: str, prediction: Tensor, target: Tensor, remedy: str) -> None:
        if not values.numel():
            return
        lowest, highest = float(values.min()), float(values.max())
        if not 0 <= lowest <= highest <= 1:
            problem = f"the {what} must be in [0, 1], but reach from {lowest:g} to {highest:g}"
            raise self.misfit(problem, prediction, target, remedy)


@register("bce")
class BinaryCrossEntropy(BinaryLoss):
    """Binary cross entropy of probabilities: the mean of `-(t log p + (1 - t) log(1 - p))`.

    Predictions are probabilities in [0, 1], float: (batch,), (batch, 1) or (batch, questions). Targets are numbers in
    [0, 1] of any type, one per prediction; they are brought to the type and shape of the predictions, so (batch,)
    goes with (batch, 1). For scores before the sigmoid, `bce_with_logits` is right and more precise.

    Args:
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what the loss is called in results; None for `bce`.

    Source: `torch.nn.functional.binary_cross_entropy`.
    """

    kind = "bce"

    def check(self, prediction: Tensor, target: Tensor) -> None:
        """Refuses shapes that do not fit, and predictions and targets outside [0, 1].

        Raises:
            TrainingError: one of these.
        """
        super().check(prediction, target)
        remedy = "apply a sigmoid, or take `bce_with_logits`"
        self._check_unit_interval(prediction.detach(), "predictions", prediction, target, remedy)

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Gives the mean over all predictions, ()."""
        return functional.binary_cross_entropy(prediction, _like(target, prediction))


@register("bce_with_logits")
class BinaryCrossEntropyWithLogits(BinaryLoss):
    """Binary cross entropy of logits: the mean of `-(w t log s(x) + (1 - t) log(1 - s(x)))`, s the sigmoid.

    Predictions are logits, float: (batch,), (batch, 1) or (batch, questions). Targets are numbers in [0, 1] of any
    type, one per prediction; they are brought to the type and shape of the predictions, so (batch,) goes with
    (batch, 1).

    Args:
        pos_weight: the factor w > 0 on the positive part; above 1 it favours recall, below 1 precision.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what the loss is called in results; None for `bce_with_logits`.

    Source: `torch.nn.functional.binary_cross_entropy_with_logits`.
    """

    kind = "bce_with_logits"

    def __init__(
        self,
        pos_weight: Annotated[float, Field(gt=0)] | None = None,
        *,
        prediction: str | None = None,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(prediction=prediction, target=target, name=name)
        self.register_buffer("pos_weight", None if pos_weight is None else torch.tensor(pos_weight), persistent=False)
        self.pos_weight: Tensor | None
        self._has_weight = pos_weight is not None

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Gives the mean over all predictions, ()."""
        weight = self.pos_weight if self._has_weight else None
        return functional.binary_cross_entropy_with_logits(prediction, _like(target, prediction), pos_weight=weight)


def _without_ones(tensor: Tensor) -> list[int]:
    return [size for size in tensor.shape[1:] if size != 1]


def _like(target: Tensor, prediction: Tensor) -> Tensor:
    if target.dtype is not prediction.dtype:
        target = target.to(prediction.dtype)
    return target if target.shape == prediction.shape else target.reshape(prediction.shape)
