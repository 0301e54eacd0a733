"""Datasets that show another dataset differently and read it only when a sample is asked for.

They stand in for what `TensorData` does at once, where data is not in memory; labels stay reachable without reading.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import data as torch_data
from torch.utils.data import Dataset

from mlgym.components.data.labels import classes_of, num_samples_of, targets_of
from mlgym.errors import DataError


def is_deterministic(dataset: Dataset[Any]) -> bool:
    """Gives whether reading a sample draws no random number; only what is known to is taken to.

    A dataset says so by its attribute `deterministic`; torch's own are known.
    """
    if isinstance(dataset, torch_data.Subset):
        return is_deterministic(dataset.dataset)
    if isinstance(dataset, torch_data.ConcatDataset):
        return all(is_deterministic(part) for part in dataset.datasets)
    return type(dataset) is torch_data.TensorDataset or bool(getattr(dataset, "deterministic", False))


def split_sample(sample: Any) -> tuple[Any, Any]:
    """Gives (input, target) of a sample.

    Raises:
        DataError: the sample is something else, such as a mapping.
    """
    if isinstance(sample, (tuple, list)) and len(sample) == 2:
        return sample[0], sample[1]
    raise DataError(f"a sample must be (input, target) here, but is a {type(sample).__name__}")


class SubsetView(Dataset[Any]):
    """Some samples of a dataset, in a given order.

    Args:
        dataset: any dataset with a length.
        indices: int64 (selected,), each in [0, samples).
    """

    dataset: Dataset[Any]
    indices: Tensor

    def __init__(self, dataset: Dataset[Any], indices: Tensor) -> None:
        # A view of a view indexes the innermost dataset, so that a chain of splits costs one look-up.
        if isinstance(dataset, SubsetView):
            indices = dataset.indices[indices]
            dataset = dataset.dataset
        self.dataset = dataset
        self.indices = indices
        self.deterministic = is_deterministic(self.dataset)
        self.classes = classes_of(self.dataset)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def targets_named(self, name: str | None) -> Any:
        """Gives the targets of the selected samples, (selected, ...)."""
        return np.asarray(targets_of(self.dataset, name))[self.indices.numpy()]


class ConcatView(Dataset[Any]):
    """The samples of several datasets, one after the other.

    Args:
        datasets: at least one, each with a length.
    """

    def __init__(self, datasets: Sequence[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        self.deterministic = all(is_deterministic(dataset) for dataset in self.datasets)
        self.classes = classes_of(self.datasets[0])
        self._ends = np.cumsum([num_samples_of(dataset) for dataset in self.datasets]).tolist()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Any:
        index = index + len(self) if index < 0 else index
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        part = bisect_right(self._ends, index)
        return self.datasets[part][index - (self._ends[part - 1] if part else 0)]

    def targets_named(self, name: str | None) -> Any:
        """Gives the targets of all samples, (samples, ...)."""
        return np.concatenate([np.asarray(targets_of(dataset, name)) for dataset in self.datasets])


class InputView(Dataset[Any]):
    """A dataset whose inputs go through a function when they are read.

    Args:
        dataset: its samples are (input, target).
        function: from an input to what takes its place.
        deterministic: whether the function draws no random number.
    """

    def __init__(self, dataset: Dataset[Any], function: Callable[[Any], Any], *, deterministic: bool) -> None:
        self.dataset = dataset
        self.function = function
        self.deterministic = deterministic and is_deterministic(dataset)
        self.classes = classes_of(dataset)

    def __len__(self) -> int:
        return num_samples_of(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        given, target = split_sample(self.dataset[index])
        return self.function(given), target

    def targets_named(self, name: str | None) -> Any:
        """Gives the targets of the dataset, unchanged."""
        return targets_of(self.dataset, name)


class TargetView(Dataset[Any]):
    """A dataset whose targets are replaced.

    Args:
        dataset: its samples are (input, target).
        targets: (samples, ...), the new targets.
    """

    def __init__(self, dataset: Dataset[Any], targets: Tensor) -> None:
        self.dataset = dataset
        self.targets = targets
        self.deterministic = is_deterministic(dataset)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        given, _ = split_sample(self.dataset[index])
        return given, self.targets[index]
