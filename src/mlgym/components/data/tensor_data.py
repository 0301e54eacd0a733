"""A dataset that is tensors in memory: the form in which batches are one index per tensor.

Holds the dataset and the walk over its one or several tensors; what selects, splits or changes data is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlgym.errors import DataError

Values: TypeAlias = Tensor | dict[str, Tensor]
"""One tensor or several by name, each with the samples as first axis."""
Metadata: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""What else is known of each sample, such as the patient it is from, by name: (samples,) of any type."""


def map_values(function: Callable[[Tensor], Tensor], values: Values) -> Values:
    """Gives `function` of each tensor, under the same names."""
    if isinstance(values, Tensor):
        return function(values)
    return {name: function(tensor) for name, tensor in values.items()}


def tensors_of(values: Values) -> list[Tensor]:
    """Gives the tensors without their names."""
    return [values] if isinstance(values, Tensor) else list(values.values())


class TensorData(Dataset[tuple[Any, Any]]):
    """Samples held in memory as tensors.

    Args:
        inputs: (samples, ...) of any dtype, or several such tensors by name.
        targets: (samples,) int64 class indices, (samples, outputs) float32 values, or several such tensors by name.
        classes: what class 0, 1, ... is called; None where there are no classes or they have no names.
        features: what the columns of inputs (samples, features) are called; None where they have no names.
        metadata: what stays with the samples but is shown to no model, such as the groups that folds keep together.

    Raises:
        DataError: the tensors do not have the same number of samples.
    """

    deterministic: ClassVar[bool] = True
    """Reading a sample draws no random number, so loaders need not seed before it."""

    def __init__(
        self,
        inputs: Values,
        targets: Values,
        *,
        classes: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        metadata: Metadata | None = None,
    ) -> None:
        self.inputs = inputs
        self.targets = targets
        self.classes = None if classes is None else tuple(classes)
        self.features = None if features is None else tuple(features)
        self.metadata = dict(metadata or {})
        self._num_samples = _common_length([*tensors_of(inputs), *tensors_of(targets)])

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Gives (input, target) of one sample, without the sample axis.

        Raises:
            IndexError: there is no such sample.
        """
        if not -self._num_samples <= index < self._num_samples:
            raise IndexError(f"sample {index} of {self._num_samples}")
        if isinstance(self.inputs, Tensor) and isinstance(self.targets, Tensor):
            return self.inputs[index], self.targets[index]
        return map_values(itemgetter(index), self.inputs), map_values(itemgetter(index), self.targets)

    def batch(self, indices: Tensor) -> tuple[Any, Any]:
        """Gives (inputs, targets) of several samples, copied: writing into them does not change the data.

        Args:
            indices: (batch,) int64 on the device of the data, each in [0, samples).
        """
        return map_values(lambda tensor: tensor.index_select(0, indices), self.inputs), map_values(
            lambda tensor: tensor.index_select(0, indices), self.targets
        )

    def select(self, indices: Tensor) -> TensorData:
        """Gives the dataset of these samples, in this order, as a copy.

        Args:
            indices: (selected,) int64, each in [0, samples).
        """
        return self.replace(*self.batch(indices), metadata=rows_of(self.metadata, indices))

    def replace(
        self, inputs: Values | None = None, targets: Values | None = None, *, metadata: Metadata | None = None
    ) -> TensorData:
        """Gives a dataset with other inputs or targets and the same names of classes and features.

        Args:
            inputs: instead of those of the dataset.
            targets: likewise.
            metadata: likewise; needed where the samples are others.
        """
        return TensorData(
            self.inputs if inputs is None else inputs,
            self.targets if targets is None else targets,
            classes=self.classes,
            features=self.features,
            metadata=self.metadata if metadata is None else metadata,
        )

    def to(self, device: torch.device | str) -> TensorData:
        """Gives the dataset with its tensors on `device`; tensors that are there already are shared."""
        return self.replace(
            map_values(lambda tensor: tensor.to(device), self.inputs),
            map_values(lambda tensor: tensor.to(device), self.targets),
        )


def rows_of(metadata: Metadata, indices: Tensor) -> Metadata:
    """Gives the metadata of these samples, int64 (selected,), in this order."""
    if not metadata:
        return metadata
    chosen: npt.NDArray[np.int64] = indices.cpu().numpy()
    return {name: column[chosen] for name, column in metadata.items()}


def joined_rows(parts: Sequence[Metadata]) -> Metadata:
    """Gives the metadata of several sets one after the other; what one of them does not have is left out."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if all(name in p for p in parts)}


def _common_length(tensors: list[Tensor]) -> int:
    if not tensors or any(tensor.ndim == 0 for tensor in tensors):
        raise DataError("a dataset of tensors needs at least one tensor, and each needs the samples as first axis")
    lengths = {int(tensor.shape[0]) for tensor in tensors}
    if len(lengths) > 1:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise DataError(f"inputs and targets must have the same number of samples, but their shapes are {shapes}")
    return lengths.pop()
