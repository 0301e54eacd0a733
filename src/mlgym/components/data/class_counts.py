"""How many samples of each class a dataset has, where it knows its labels without reading its samples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from torch.utils import data as torch_data

from mlgym.components.data.labels import classes_of, kept_targets, labels_of
from mlgym.components.data.views import TargetView
from mlgym.errors import DataError

logger = logging.getLogger(__name__)

_MAX_CLASSES: Final = 1000


def class_counts(dataset: torch_data.Dataset[Any]) -> dict[str, int] | None:
    """Gives the number of samples of each class that occurs, by the name of the class or else its number.

    Args:
        dataset: any dataset; no sample of it is read and no random number drawn.

    Returns:
        None where the targets are not kept apart from the samples, or are no classes (numbers, several targets), or of
        more than 1,000 classes.
    """
    try:
        if not _keeps_targets(dataset):
            return None
        labels, counts = np.unique(labels_of(dataset), return_counts=True)
    except DataError:
        return None
    except Exception as error:
        # Whatever a dataset of the user's raises: counts are worth no failed experiment.
        logger.warning("the classes are not counted: %s: %s", type(error).__name__, error)
        return None
    if len(labels) > _MAX_CLASSES:
        return None
    names = _names_of(dataset)
    return {_name(names, int(label)): int(count) for label, count in zip(labels, counts, strict=True)}


def _keeps_targets(dataset: Any) -> bool:
    """Tells whether `labels_of` finds the targets without reading samples."""
    if isinstance(dataset, TargetView | torch_data.TensorDataset):
        return True
    shown = [*getattr(dataset, "datasets", ()), *([dataset.dataset] if hasattr(dataset, "dataset") else [])]
    if shown:
        return all(map(_keeps_targets, shown))
    return hasattr(dataset, "targets_named") or kept_targets(dataset) is not None


def _names_of(dataset: Any) -> Sequence[Any]:
    names = classes_of(dataset)
    if names is None and hasattr(dataset, "dataset"):
        return _names_of(dataset.dataset)
    return names or ()


def _name(names: Sequence[Any], label: int) -> str:
    return str(names[label]) if 0 <= label < len(names) else str(label)
