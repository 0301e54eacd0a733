"""Losses: how far predictions are from targets, as a scalar that training brings down."""

from mlgym.components.loss.base import AnyLoss, Loss, PairLoss, PlainLoss, Term, as_loss
from mlgym.components.loss.classification import (
    BinaryCrossEntropy,
    BinaryCrossEntropyWithLogits,
    CrossEntropy,
    NegativeLogLikelihood,
)
from mlgym.components.loss.mse import MeanSquaredError
from mlgym.components.loss.regression import L1, Lp
from mlgym.components.loss.weighted_sum import WeightedSum

__all__ = [
    "L1",
    "AnyLoss",
    "BinaryCrossEntropy",
    "BinaryCrossEntropyWithLogits",
    "CrossEntropy",
    "Loss",
    "Lp",
    "MeanSquaredError",
    "NegativeLogLikelihood",
    "PairLoss",
    "PlainLoss",
    "Term",
    "WeightedSum",
    "as_loss",
]
