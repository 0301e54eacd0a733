"""Operations on any dataset: joining, choosing, relabelling, reading into memory.

Data in memory stays in memory; other data is shown differently and read only when a sample is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from mlgym import seeding
from mlgym.components.data.augment import AugmentedData
from mlgym.components.data.global_generators import SampleSeeds, preserved_generators
from mlgym.components.data.labels import Labels, classes_of, labels_of, num_samples_of, refuse_other_classes
from mlgym.components.data.order import Indices
from mlgym.components.data.table import TableData
from mlgym.components.data.tensor_data import TensorData, Values, joined_rows
from mlgym.components.data.views import ConcatView, SubsetView, TargetView, is_deterministic
from mlgym.config.registry import register
from mlgym.errors import DataError

Index = Annotated[int, Field(ge=0)]


def select(dataset: Dataset[Any], indices: Indices) -> Dataset[Any]:
    """Gives the samples at `indices`, int64 (selected,), in this order; data in memory stays so."""
    chosen = torch.from_numpy(np.ascontiguousarray(indices, dtype=np.int64))
    if isinstance(dataset, (TensorData, TableData)):
        return dataset.select(chosen)
    return SubsetView(dataset, chosen)


@register("concat")
def concat(datasets: list[Dataset[Any]]) -> Dataset[Any]:
    """Joins datasets, the samples of each after those of the one before.

    Args:
        datasets: at least one. Data in memory must have the same names, shapes and dtypes to stay in memory.

    Raises:
        DataError: there is no dataset, one is a table that `encode_features` has not seen, or their classes differ.
    """
    if not datasets:
        raise DataError("`concat` needs at least one dataset")
    if any(isinstance(dataset, TableData) for dataset in datasets):
        raise DataError("tables can be joined only after `encode_features`")
    refuse_other_classes({f"`datasets[{index}]`": dataset for index, dataset in enumerate(datasets)})
    in_memory = [dataset for dataset in datasets if isinstance(dataset, TensorData)]
    if len(in_memory) < len(datasets) or not _alike(in_memory):
        return ConcatView(datasets)
    return in_memory[0].replace(
        _joined([data.inputs for data in in_memory]),
        _joined([data.targets for data in in_memory]),
        metadata=joined_rows([data.metadata for data in in_memory]),
    )


def _alike(datasets: list[TensorData]) -> bool:
    def form(values: Values) -> object:
        named = {"": values} if isinstance(values, Tensor) else values
        return {name: (tensor.shape[1:], tensor.dtype) for name, tensor in named.items()}

    forms = [(form(data.inputs), form(data.targets)) for data in datasets]
    return all(other == forms[0] for other in forms)


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@register("subset")
def subset(
    dataset: Dataset[Any],
    *,
    indices: list[Index] | None = None,
    first: Annotated[int, Field(ge=1)] | None = None,
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None,
) -> Dataset[Any]:
    """Gives some samples of a dataset; exactly one of `indices`, `first` and `fraction` says which.

    Args:
        dataset: any dataset with a length.
        indices: these samples in this order, each in [0, samples).
        first: the first so many samples, at most as many as there are.
        fraction: the first samples that make up this share, in (0, 1], rounded; for a random share put `shuffle`
            before.

    Raises:
        DataError: none or several are given, or a sample does not exist.
    """
    num_samples = num_samples_of(dataset)
    given = [
        name for name, value in (("indices", indices), ("first", first), ("fraction", fraction)) if value is not None
    ]
    if len(given) != 1:
        raise DataError(
            f"`subset` needs one of `indices`, `first` and `fraction`, but has {' and '.join(given) or 'none'}"
        )
    if indices is not None:
        outside = [index for index in indices if index >= num_samples]
        if outside:
            raise DataError(f"`indices` has {outside[0]}, but there are {num_samples} samples, counted from 0")
        return select(dataset, np.array(indices, dtype=np.int64))
    count = min(first, num_samples) if first is not None else round(num_samples * (fraction or 0))
    return select(dataset, np.arange(count))


@register("shuffle")
def shuffle(dataset: Dataset[Any], *, seed: int) -> Dataset[Any]:
    """Gives all samples in a random order that never changes; loaders draw a new one in each epoch on top of it.

    Args:
        dataset: any dataset with a length.
        seed: of the permutation, >= 0.
    """
    return select(dataset, seeding.generator(seed, "shuffle").permutation(num_samples_of(dataset)))


@register("filter_labels")
def filter_labels(dataset: Dataset[Any], labels: list[int], *, target: str | None = None) -> Dataset[Any]:
    """Keeps the samples of some classes; classes keep their numbers (`map_labels` changes them).

    Args:
        dataset: its targets are class indices (samples,).
        labels: the classes to keep.
        target: which target has the classes, where targets have names.

    Raises:
        DataError: the targets are no class indices, or no sample is left.
    """
    found = labels_of(dataset, target)
    kept = np.flatnonzero(np.isin(found, labels))
    if len(kept) == 0:
        raise DataError(f"no sample has one of the labels {labels}; there are {_listed(found)}")
    return select(dataset, kept)


@register("map_labels")
def map_labels(dataset: Dataset[Any], mapping: dict[int, int], *, target: str | None = None) -> Dataset[Any]:
    """Gives each class another number; several may become one.

    Args:
        dataset: its targets are class indices (samples,).
        mapping: the new number, >= 0, of each class that occurs.
        target: which target has the classes, where targets have names.

    Raises:
        DataError: the targets are no class indices, or one has no new number.
    """
    found = labels_of(dataset, target)
    unmapped = sorted(set(np.unique(found).tolist()) - set(mapping))
    if unmapped:
        raise DataError(f"`mapping` has no entry for the labels {unmapped}; there are {_listed(found)}")
    known, place = np.unique(found, return_inverse=True)
    mapped = np.array([mapping[label] for label in known.tolist()], dtype=np.int64)[place]
    return _with_targets(dataset, torch.from_numpy(mapped), target)


@register("one_hot_targets")
def one_hot_targets(
    dataset: Dataset[Any], num_classes: Annotated[int, Field(ge=1)] | None = None, *, target: str | None = None
) -> Dataset[Any]:
    """Turns class indices (samples,) into targets (samples, classes) float32: 1 at the class, 0 elsewhere.

    Args:
        dataset: its targets are class indices (samples,) in [0, classes).
        num_classes: by default the number of named classes, else one more than the largest index.
        target: which target has the classes, where targets have names.

    Raises:
        DataError: the targets are no class indices, or one is not in [0, num_classes).
    """
    found = labels_of(dataset, target)
    named = classes_of(dataset)
    count = num_classes or (len(named) if named else int(found.max(initial=-1)) + 1)
    if len(found) and (found.min() < 0 or found.max() >= count):
        raise DataError(f"labels must be in [0, {count}) for {count} classes, but there are {_listed(found)}")
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(found), count).float()  # (samples, classes)
    return _with_targets(dataset, one_hot, target, keep_classes=True)


@register("in_memory")
def in_memory(dataset: Dataset[Any], *, seed: int) -> TensorData:
    """Reads a whole dataset into memory, so that loaders index whole batches of it.

    Args:
        dataset: its samples are (input, target): tensors or numbers of one shape, or mappings of such.
        seed: of the global generators while it is read, >= 0; only matters for datasets that draw from them.

    Raises:
        DataError: the samples are no such tensors, or are augmented: each epoch would see the same ones.
    """
    if isinstance(dataset, TensorData):
        return dataset
    if isinstance(dataset, AugmentedData):
        raise DataError("`in_memory` would freeze the augmentation; put `augment` after it")
    inputs, targets = _collated(_read_all(dataset, seed))
    return TensorData(inputs, targets, classes=classes_of(dataset), metadata=getattr(dataset, "metadata", None))


def _read_all(dataset: Dataset[Any], seed: int) -> Iterable[Any]:
    seeds = None if is_deterministic(dataset) else SampleSeeds(seed, "in_memory")
    with preserved_generators():
        for index in range(num_samples_of(dataset)):
            if seeds is not None:
                seeds.apply(0, index)
            yield dataset[index]


def _collated(samples: Iterable[Any]) -> tuple[Values, Values]:
    read = list(samples)
    if not read:
        raise DataError("a dataset without samples cannot be read into memory")
    try:
        parts = default_collate(read)
    except (TypeError, RuntimeError) as error:
        raise DataError(f"the samples do not fit into one tensor: {error}") from error
    values = [part for part in parts if isinstance(part, (Tensor, dict))] if isinstance(parts, (list, tuple)) else []
    if len(values) != 2:
        raise DataError(f"a sample must be (input, target) of tensors or numbers, but is a {type(read[0]).__name__}")
    return values[0], values[1]


def _with_targets(
    dataset: Dataset[Any], targets: Tensor, name: str | None, *, keep_classes: bool = False
) -> Dataset[Any]:
    classes = classes_of(dataset) if keep_classes else None
    if isinstance(dataset, TableData):
        return dataset.with_targets(targets, classes)
    if isinstance(dataset, TensorData):
        replaced: Values = targets
        if isinstance(dataset.targets, dict):
            changed = name if name is not None else next(iter(dataset.targets))
            replaced = {**dataset.targets, changed: targets}
        return TensorData(
            dataset.inputs, replaced, classes=classes, features=dataset.features, metadata=dataset.metadata
        )
    if name is not None:
        raise DataError("one of several targets can be changed only in memory; put `in_memory` before")
    return TargetView(dataset, targets)


def _listed(labels: Labels) -> str:
    distinct = np.unique(labels).tolist()
    return ", ".join(map(str, distinct[:20])) + (", ..." if len(distinct) > 20 else "")
