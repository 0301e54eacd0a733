"""The contract of post-processors: from named predictions to named predictions, before metrics see them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from mlgym.components.tensors import PREDICTION, Tensors, named, pick


class PostProcessor(ABC):
    """Turns one prediction into another and leaves the others as they are.

    Args:
        prediction: which prediction to read; None for the only one there is.
        output: what the result is called; None to take the place of the one that was read.
    """

    def __init__(self, prediction: str | None = None, output: str | None = None) -> None:
        self.prediction = prediction
        self.output = output

    def __call__(self, predictions: Tensor | Tensors) -> Tensors:
        """Gives all predictions, the new one among them.

        Raises:
            TrainingError: no such prediction, or it does not fit.
        """
        predictions = named(predictions, PREDICTION)
        value = self.process(pick(predictions, self.prediction, PREDICTION))
        name = self.output or self.prediction or next(iter(predictions))
        return {**predictions, name: value}

    @abstractmethod
    def process(self, prediction: Tensor) -> Tensor:
        """Gives what is made of one prediction."""
