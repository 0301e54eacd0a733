"""The post-processors: `softmax`, `argmax`, `sigmoid`, `binarize`, `max_or_min`."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mlgym.components.postprocess.base import PostProcessor
from mlgym.components.tensors import described
from mlgym.config.registry import register
from mlgym.errors import TrainingError


class ClassPostProcessor(PostProcessor):
    """Base of the post-processors over the axis of classes, the second one."""

    def process(self, prediction: Tensor) -> Tensor:
        """Gives what is made of a prediction (batch, classes, ...).

        Raises:
            TrainingError: it has no second axis.
        """
        if prediction.ndim < 2:
            kind = type(self).__name__.lower()
            raise TrainingError(f"`{kind}` needs a prediction (batch, classes, ...), but it is {described(prediction)}")
        return self.over_classes(prediction)

    def over_classes(self, prediction: Tensor) -> Tensor:
        """Gives what is made of (batch, classes, ...)."""
        raise NotImplementedError


@register("softmax")
class Softmax(ClassPostProcessor):
    """Makes probabilities over the classes of logits: (batch, classes, ...) float, to the same shape, in [0, 1].

    Args:
        prediction: which prediction to read; None for the only one there is.
        output: what the result is called; None to take the place of the one that was read.
    """

    def over_classes(self, prediction: Tensor) -> Tensor:
        """Gives probabilities that add up to 1 over the second axis."""
        return prediction.softmax(1)


@register("argmax")
class Argmax(ClassPostProcessor):
    """Gives the class of the largest score: (batch, classes, ...) to labels (batch, ...) int64.

    Args:
        prediction: which prediction to read; None for the only one there is.
        output: what the result is called; None to take the place of the one that was read.
    """

    def over_classes(self, prediction: Tensor) -> Tensor:
        """Gives labels; the lowest of those with the same score on the CPU."""
        return prediction.argmax(1)


@register("sigmoid")
class Sigmoid(PostProcessor):
    """Makes a probability of each logit: any shape, float, to the same shape, in [0, 1].

    Args:
        prediction: which prediction to read; None for the only one there is.
        output: what the result is called; None to take the place of the one that was read.
    """

    def process(self, prediction: Tensor) -> Tensor:
        """Gives 1 / (1 + exp(-x))."""
        return prediction.sigmoid()


@register("binarize")
class Binarize(PostProcessor):
    """Gives 1 for scores above a threshold, else 0: any shape, to the same shape, int64.

    Args:
        threshold: what scores are compared with, in their own unit: 0.5 suits probabilities, 0 logits.
        prediction: which prediction to read; None for the only one there is.
        output: what the result is called; None to take the place of the one that was read.
    """

    def __init__(self, threshold: float = 0.5, *, prediction: str | None = None, output: str | None = None) -> None:
        super().__init__(prediction, output)
        self.threshold = threshold

    def process(self, prediction: Tensor) -> Tensor:
        """Gives 0 and 1."""
        return (prediction > self.threshold).long()


@register("max_or_min")
class MaxOrMin(PostProcessor):
    """Gives the largest or the smallest value along an axis, such as a sample's highest score: the axis is dropped.

    Args:
        select: `max` or `min`.
        axis: which one, not the batch, which is 0; -1 is the last.
        prediction: which prediction to read; None for the only one there is.
        output: what the result is called; None to take the place of the one that was read.
    """

    def __init__(
        self,
        select: Literal["max", "min"] = "max",
        *,
        axis: Annotated[int, Field(ge=-10, le=10)] = 1,
        prediction: str | None = None,
        output: str | None = None,
    ) -> None:
        super().__init__(prediction, output)
        self.select = select
        self.axis = axis

    def process(self, prediction: Tensor) -> Tensor:
        """Gives the values without the axis.

        Raises:
            TrainingError: there is no such axis, or it is the one of the batch.
        """
        if not -prediction.ndim < self.axis < prediction.ndim or self.axis == 0:
            raise TrainingError(f"`max_or_min` has `axis: {self.axis}`, but the prediction is {described(prediction)}")
        return torch.amax(prediction, self.axis) if self.select == "max" else torch.amin(prediction, self.axis)
