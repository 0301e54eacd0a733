"""Columns of a dataset by name: what is known of each sample beside its inputs, such as the group it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils import data as torch_data

from mlgym.components.data.labels import num_samples_of, targets_of
from mlgym.components.data.views import ConcatView, SubsetView
from mlgym.errors import DataError
from mlgym.names import did_you_mean


def column_of(dataset: torch_data.Dataset[Any], name: str) -> npt.NDArray[Any]:
    """Gives a column of a dataset, (samples,).

    It is looked for in the dataset's `metadata`, then among its attributes, such as `groups` of a dataset of your own,
    then among targets with names. Views and subsets ask what they show.

    Args:
        dataset: any dataset with a length.
        name: of the column.

    Raises:
        DataError: there is no such column, or it does not have one value for each sample.
    """
    column = _find(dataset, name)
    if column is None:
        known = list(dict.fromkeys(_names(dataset)))
        hint = did_you_mean(name, known, intro="it has") or "; it has none"
        raise DataError(
            f"the dataset has no column `{name}`{hint}. `table` keeps one with `metadata: [{name}]`; a dataset of "
            f"your own has an attribute of that name"
        )
    num_samples = num_samples_of(dataset)
    if column.ndim != 1 or len(column) != num_samples:
        raise DataError(f"column `{name}` has the shape {column.shape}, but there are {num_samples} samples")
    return column


def _find(dataset: torch_data.Dataset[Any], name: str) -> npt.NDArray[Any] | None:
    metadata = getattr(dataset, "metadata", None)
    if isinstance(metadata, Mapping) and name in metadata:
        return np.asarray(metadata[name])
    if isinstance(dataset, (torch_data.Subset, SubsetView)):
        whole = _find(dataset.dataset, name)
        return None if whole is None else whole[np.asarray(dataset.indices, dtype=np.int64)]
    if isinstance(dataset, (torch_data.ConcatDataset, ConcatView)):
        parts = [_find(part, name) for part in dataset.datasets]
        return (
            None
            if any(part is None for part in parts)
            else np.concatenate([part for part in parts if part is not None])
        )
    own = getattr(dataset, name, None)
    if _is_column(own):
        return np.asarray(own)
    inner = getattr(dataset, "dataset", None)  # of a view that changes inputs or targets
    if isinstance(inner, torch_data.Dataset):
        return _find(inner, name)
    targets = getattr(dataset, "targets", None)
    if isinstance(targets, Mapping) and name in targets:
        return np.asarray(targets_of(dataset, name))
    return None


def _is_column(value: Any) -> bool:
    return (
        value is not None
        and not isinstance(value, str)
        and hasattr(value, "__len__")
        and not isinstance(value, Mapping)
    )


def _names(dataset: Any) -> Iterator[str]:
    """Gives the names that a message may offer: those of the metadata and of targets."""
    for name in ("metadata", "targets"):
        held = getattr(dataset, name, None)
        yield from held if isinstance(held, Mapping) else ()
    inner = getattr(dataset, "dataset", None)
    if inner is not None:
        yield from _names(inner)
