"""A dataset that is not in memory, for the tests of what works on any dataset."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlgym.components.data.labels import num_samples_of


class LazyData(Dataset[Any]):
    """Input `index` and class `index % num_classes`; counts how often it is read."""

    deterministic: ClassVar[bool] = True

    def __init__(self, num_samples: int = 10, num_classes: int = 2) -> None:
        self.targets = torch.arange(num_samples) % num_classes
        self.num_reads = 0

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        self.num_reads += 1
        return torch.tensor([float(index), 1.0]), int(self.targets[index])


def inputs_of(dataset: Dataset[Any]) -> list[float]:
    """First number of the input of each sample."""
    return [float(dataset[index][0].flatten()[0]) for index in range(num_samples_of(dataset))]
