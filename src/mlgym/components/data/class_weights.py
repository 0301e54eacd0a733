"""Class weights learned from a part of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from mlgym.components.data.labels import classes_of, labels_of
from mlgym.config.registry import register
from mlgym.errors import DataError


@register("balanced_class_weights")
def balanced_class_weights(dataset: Dataset[Any], *, target: str | None = None) -> list[float]:
    """Gives the `class_weights` of a loss with which all classes weigh the same.

    Learned from the dataset that is given: take `$split.train`, so that nothing leaks from the other parts, also where
    validation puts folds in place of the split.

    Args:
        dataset: its targets are class indices (samples,).
        target: which target has the classes, where targets have names.

    Returns:
        samples / (classes * samples of the class) for each class.

    Raises:
        DataError: a class has no sample here, so that its weight would be infinite.

    Source: King and Zeng, Logistic regression in rare events data, 2001; `sklearn.utils.class_weight`.
    """
    labels = labels_of(dataset, target)
    named = classes_of(dataset)
    counts = np.bincount(labels, minlength=len(named) if named else 0)
    missing = np.flatnonzero(counts == 0)
    if len(missing):
        raise DataError(
            f"class {missing[0]} has no sample in the part that weights are learned from; stratify the split"
        )
    weights: list[float] = (len(labels) / (len(counts) * counts)).tolist()
    return weights
