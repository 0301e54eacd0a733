"""Inputs with mean 0 and standard deviation 1, learned from one split and applied to all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlgym.components.data.encode_features import split_named
from mlgym.components.data.global_generators import preserved_generators
from mlgym.components.data.labels import num_samples_of
from mlgym.components.data.table import TableData
from mlgym.components.data.tensor_data import TensorData, Values
from mlgym.components.data.views import InputView, split_sample
from mlgym.config.registry import register
from mlgym.errors import DataError

_CHUNK: Final = 1024
_Per: TypeAlias = Literal["channel", "element"]


@register("standardize", outputs="datasets")
def standardize(
    datasets: dict[str, Dataset[Any]],
    fit_on: str = "train",
    *,
    per: _Per = "channel",
    targets: bool = False,
) -> dict[str, Dataset[Any]]:
    """Shifts and scales inputs to mean 0 and standard deviation 1 over the split `fit_on`; they become float32.

    Only `fit_on` is looked at, so nothing leaks from the other splits. What does not vary is only shifted. Data that
    is not in memory is read once to learn, and scaled whenever a sample is read.

    Args:
        datasets: the dataset of each split; inputs (samples, channels, ...) of numbers, or several such by name.
        fit_on: the split that is learned from.
        per: `channel` takes one mean and deviation for each entry of the first axis of an input: for each feature of
            (features,), for each channel of (channels, height, width); `element` takes one for each number.
        targets: scale float targets (samples, outputs) in the same way; metrics are then in units of their standard
            deviation. Only for data in memory.

    Raises:
        DataError: there is no split `fit_on`, or the data is no numbers, or NaN or infinite in that split.
    """
    fitting = split_named(datasets, fit_on, "fit_on")
    if any(isinstance(dataset, TableData) for dataset in datasets.values()):
        raise DataError("a table has to go through `encode_features` before `standardize`")
    scale_inputs = _fit_inputs(fitting, per)
    scale_targets = _fit_targets(fitting, per) if targets else None
    return {split: _scaled(dataset, scale_inputs, scale_targets) for split, dataset in datasets.items()}


@dataclass(frozen=True)
class _Scale:
    """Shift and scale by name; the name "" stands for data without names.

    Args:
        means: float32, shaped to be subtracted from one sample.
        deviations: float32 > 0, shaped to divide one sample.
    """

    means: dict[str, Tensor]
    deviations: dict[str, Tensor]

    def __call__(self, values: Values) -> Values:
        if isinstance(values, Tensor):
            return self._apply("", values)
        return {name: self._apply(name, tensor) for name, tensor in values.items()}

    def _apply(self, name: str, tensor: Tensor) -> Tensor:
        if name not in self.means:
            raise DataError(f"the split that `standardize` learned from has no input {name or 'without a name'}")
        scaled: Tensor = (tensor - self.means[name]) / self.deviations[name]
        return scaled.float()


def _fit_inputs(dataset: Dataset[Any], per: _Per) -> _Scale:
    if isinstance(dataset, TensorData):
        return _fit(_chunks_of(dataset.inputs, len(dataset)), per)
    with preserved_generators():
        return _fit(_read_chunks(dataset), per)


def _fit_targets(dataset: Dataset[Any], per: _Per) -> _Scale:
    if not isinstance(dataset, TensorData):
        raise DataError("`targets: true` needs data in memory; put `in_memory` before `standardize`")
    named = _by_name(dataset.targets)
    if not all(tensor.is_floating_point() and tensor.ndim > 1 for tensor in named.values()):
        raise DataError("`targets: true` scales targets (samples, outputs) of fractional numbers, not class indices")
    return _fit(_chunks_of(dataset.targets, len(dataset)), per)


def _scaled(dataset: Dataset[Any], scale_inputs: _Scale, scale_targets: _Scale | None) -> Dataset[Any]:
    if not isinstance(dataset, TensorData):
        return InputView(dataset, scale_inputs, deterministic=True)
    return dataset.replace(
        scale_inputs(dataset.inputs), scale_targets(dataset.targets) if scale_targets is not None else None
    )


def _by_name(values: Values) -> dict[str, Tensor]:
    return {"": values} if isinstance(values, Tensor) else values


def _chunks_of(values: Values, num_samples: int) -> Iterator[dict[str, Tensor]]:
    for start in range(0, num_samples, _CHUNK):
        yield {name: tensor[start : start + _CHUNK] for name, tensor in _by_name(values).items()}


def _read_chunks(dataset: Dataset[Any]) -> Iterator[dict[str, Tensor]]:
    for index in range(num_samples_of(dataset)):
        inputs, _ = split_sample(dataset[index])
        if not isinstance(inputs, (Tensor, dict)):
            raise DataError(f"`standardize` needs inputs that are tensors, but found a {type(inputs).__name__}")
        yield {name: tensor[None] for name, tensor in _by_name(inputs).items()}


class _Moments:
    """Mean and variance of numbers that come in chunks.

    Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """

    def __init__(self, per: _Per) -> None:
        self._per = per
        self._count = 0
        self._mean = torch.zeros((), dtype=torch.float64)
        self._squares = torch.zeros((), dtype=torch.float64)

    def update(self, chunk: Tensor) -> None:
        axes = [0, *range(2, chunk.ndim)] if self._per == "channel" else [0]
        variance, mean = torch.var_mean(chunk.double(), dim=axes, correction=0, keepdim=True)
        count = chunk.numel() // max(1, mean.numel())
        total = self._count + count
        shift = mean[0] - self._mean
        self._squares = self._squares + variance[0] * count + shift**2 * (self._count * count / total)
        self._mean = self._mean + shift * (count / total)
        self._count = total

    def result(self) -> tuple[Tensor, Tensor]:
        deviation = (self._squares / self._count).sqrt()
        # Rounding alone gives a constant feature a deviation; dividing by it would blow up noise.
        constant = deviation <= 1e-7 * self._mean.abs()
        return self._mean.float(), torch.where(constant, 1.0, deviation).float()


def _fit(chunks: Iterator[dict[str, Tensor]], per: _Per) -> _Scale:
    moments: dict[str, _Moments] = {}
    for chunk in chunks:
        for name, tensor in chunk.items():
            moments.setdefault(name, _Moments(per)).update(tensor)
    if not moments:
        raise DataError("`standardize` cannot learn from a split without samples")
    results = {name: moment.result() for name, moment in moments.items()}
    for name, (mean, _) in results.items():
        if not bool(mean.isfinite().all()):
            what = f"`{name}` has values" if name else "there are values"
            raise DataError(f"{what} that are NaN or infinite in the split to learn from; fill them in")
    return _Scale(
        {name: mean for name, (mean, _) in results.items()}, {name: dev for name, (_, dev) in results.items()}
    )
