"""Class labels of any dataset, found without reading every sample where that is possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils import data as torch_data

from mlgym.components.data.global_generators import preserved_generators
from mlgym.errors import DataError
from mlgym.names import did_you_mean

Labels: TypeAlias = npt.NDArray[np.int64]
"""Class of each sample, (samples,)."""


@runtime_checkable
class _KnowsTargets(Protocol):
    """A dataset that shows another one and so can ask it."""

    def targets_named(self, name: str | None) -> Any:
        """Gives the targets of that name, or the only ones, of length (samples)."""


def num_samples_of(dataset: torch_data.Dataset[Any]) -> int:
    """Gives the number of samples.

    Raises:
        DataError: the dataset has no length, as one that can only be iterated.
    """
    try:
        return len(dataset)  # type: ignore[arg-type]  # its type promises no length
    except (TypeError, NotImplementedError):
        raise DataError(
            f"`{type(dataset).__name__}` has no length; a dataset needs `__len__` and `__getitem__` "
            "(one that can only be iterated cannot be shuffled or split)"
        ) from None


def targets_of(dataset: torch_data.Dataset[Any], target: str | None = None) -> Any:
    """Gives all targets of a dataset as one array-like object of length (samples).

    They are taken from where datasets usually keep them (`targets`, `labels`, the base of a subset); a dataset that
    keeps none is read sample by sample.

    Args:
        dataset: any dataset with a length.
        target: which one, where targets have names; None for the only one.

    Raises:
        DataError: there is no such target, or several and none is named.
    """
    if isinstance(dataset, torch_data.Subset):
        return np.asarray(targets_of(dataset.dataset, target))[np.asarray(dataset.indices, dtype=np.int64)]
    if isinstance(dataset, torch_data.ConcatDataset):
        return np.concatenate([np.asarray(targets_of(part, target)) for part in dataset.datasets])
    if isinstance(dataset, torch_data.TensorDataset) and len(dataset.tensors) == 2:
        return dataset.tensors[1]
    if isinstance(dataset, _KnowsTargets):
        return dataset.targets_named(target)
    kept = kept_targets(dataset)
    return _pick(kept if kept is not None else _read_targets(dataset), target)


def labels_of(dataset: torch_data.Dataset[Any], target: str | None = None) -> Labels:
    """Gives the class of each sample, int64 (samples,).

    Raises:
        DataError: the targets are no class indices, one for each sample.
    """
    values = np.asarray(targets_of(dataset, target))
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iub":
        if not values.size:  # then their type is anything
            raise DataError(f"`{type(dataset).__name__}` has no samples")
        raise DataError(
            f"needs one class index for each sample, but the targets have shape {values.shape} and type {values.dtype}"
        )
    return values.astype(np.int64)


def classes_of(dataset: object) -> tuple[Any, ...] | None:
    """Gives what the classes 0, 1, ... of a dataset are called; None where it does not say.

    Args:
        dataset: any; what it calls `classes` counts where it is a list, tuple or vector of names.
    """
    if isinstance(dataset, torch_data.Subset):
        return classes_of(dataset.dataset)
    names = getattr(dataset, "classes", None)
    if isinstance(names, (Tensor, np.ndarray)) and names.ndim == 1:
        names = names.tolist()
    return (tuple(names) or None) if isinstance(names, Sequence) and not isinstance(names, str) else None


def refuse_other_classes(datasets: Mapping[str, torch_data.Dataset[Any]]) -> None:
    """Refuses datasets that call their classes differently, so that one label would mean two things.

    Args:
        datasets: what belongs together, by how an error calls it; those without names of classes fit all others.

    Raises:
        DataError: two of them have different names of classes.
    """
    named = {name: classes for name, data in datasets.items() if (classes := classes_of(data))}
    for name, classes in named.items():
        first, expected = next(iter(named.items()))
        if classes != expected:
            raise DataError(
                f"{first} and {name} number their classes differently ({_some(expected)} and {_some(classes)}), so "
                "that a label would mean two things; split one dataset, or give every `table` the same `classes`"
            )


def _some(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")


def kept_targets(dataset: torch_data.Dataset[Any]) -> Any:
    """Gives the targets that a dataset keeps where datasets usually keep them, or None."""
    num_samples = num_samples_of(dataset)
    for name in ("targets", "labels"):
        kept = getattr(dataset, name, None)
        parts = list(kept.values()) if isinstance(kept, Mapping) else [kept]
        # `labels` may as well be the names of the classes: only one entry for each sample can be meant.
        if parts and all(_length(part) == num_samples for part in parts):
            return kept
    return None


def _length(values: Any) -> int | None:
    if isinstance(values, (Tensor, np.ndarray)):
        return len(values) if values.ndim else None
    return len(values) if isinstance(values, Sequence) and not isinstance(values, str) else None


def _read_targets(dataset: torch_data.Dataset[Any]) -> Any:
    with preserved_generators():
        samples = [_target_of_sample(dataset[index]) for index in range(num_samples_of(dataset))]
    if samples and isinstance(samples[0], Mapping):
        return {name: _stacked([sample[name] for sample in samples]) for name in samples[0]}
    return _stacked(samples)


def _target_of_sample(sample: Any) -> Any:
    if isinstance(sample, (tuple, list)) and len(sample) == 2:
        return sample[1]
    raise DataError(
        "a sample must be (input, target) for its target to be known, "
        f"but is {f'{len(sample)} values' if isinstance(sample, (tuple, list)) else f'a {type(sample).__name__}'}"
    )


def _stacked(values: list[Any]) -> Any:
    return torch.stack(values) if values and isinstance(values[0], Tensor) else np.asarray(values)


def _pick(targets: Any, name: str | None) -> Any:
    if not isinstance(targets, Mapping):
        if name is not None:
            raise DataError(f"there is one target without a name, so there is no target `{name}`")
        return targets
    if name is None and len(targets) == 1:
        return next(iter(targets.values()))
    if name is None:
        raise DataError(f"there are several targets ({', '.join(targets)}); say which one with `target: NAME`")
    if name not in targets:
        raise DataError(f"there is no target `{name}`{did_you_mean(name, targets)}")
    return targets[name]
