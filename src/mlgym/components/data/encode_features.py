"""Numbers for the text columns of a table, learned from one split and applied to all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlgym.components.data.table import Categories, TableData, count_missing
from mlgym.components.data.tensor_data import TensorData
from mlgym.config.registry import register
from mlgym.errors import DataError
from mlgym.names import did_you_mean

_T = TypeVar("_T")


@register("encode_features", outputs="datasets")
def encode_features(
    datasets: dict[str, Dataset[Any]],
    fit_on: str = "train",
    *,
    method: Literal["one_hot", "ordinal"] = "one_hot",
    missing: Literal["mean", "error"] = "mean",
) -> dict[str, Dataset[Any]]:
    """Turns the columns of tables into inputs (rows, features) float32.

    Everything is learned from the split `fit_on` alone, so nothing leaks from the others: the categories of a text
    column, and the mean that fills in the gaps of a numeric one. A category that `fit_on` does not have, and a missing
    one, is all zeros. Datasets that are tensors already are given back.

    Args:
        datasets: the dataset of each split: tables with the same columns.
        fit_on: the split that is learned from.
        method: `one_hot` gives a 0-or-1 feature for each category, in sorted order; `ordinal` gives one feature, the
            place of the category in [0, categories), -1 for an unknown one.
        missing: `mean` fills gaps of numeric columns with the mean of `fit_on`; `error` refuses any gap.

    Raises:
        DataError: there is no split `fit_on`, columns differ, or values are missing that cannot be filled in.
    """
    fitting = split_named(datasets, fit_on, "fit_on")
    if not isinstance(fitting, TableData):
        return dict(datasets)
    if missing == "error":
        _refuse_missing(datasets)
    encoding = _Encoding.fit(fitting, method)
    return {split: _apply(encoding, split, dataset) for split, dataset in datasets.items()}


def split_named(splits: Mapping[str, _T], name: str, parameter: str) -> _T:
    """Gives the split of that name.

    Raises:
        DataError: there is none; `parameter` is what named it.
    """
    if name not in splits:
        raise DataError(f"`{parameter}` names no split: `{name}`{did_you_mean(name, splits)}")
    return splits[name]


@dataclass(frozen=True)
class _Encoding:
    """What was learned: the mean of each numeric column, the sorted categories of each other one."""

    columns: tuple[str, ...]
    means: dict[str, float]
    categories: dict[str, list[str]]
    method: Literal["one_hot", "ordinal"]

    @classmethod
    def fit(cls, data: TableData, method: Literal["one_hot", "ordinal"]) -> _Encoding:
        means = {name: float(column.nanmean(dtype=torch.float64)) for name, column in data.numeric.items()}
        categories = {
            name: sorted({value for value in column if value is not None}) for name, column in data.categorical.items()
        }
        empty = [name for name, mean in means.items() if math.isnan(mean)]
        empty += [name for name, found in categories.items() if not found]
        if empty:
            raise DataError(f"column `{empty[0]}` has no value at all in the split to learn from")
        return cls(data.features, means, categories, method)

    @property
    def features(self) -> list[str]:
        """Names of the features, such as `colour=red`."""
        return [feature for name in self.columns for feature in self._features_of(name)]

    def _features_of(self, name: str) -> list[str]:
        if name in self.means or self.method == "ordinal":
            return [name]
        return [f"{name}={category}" for category in self.categories[name]]

    def inputs(self, data: TableData) -> Tensor:
        """Gives the inputs (rows, features) float32."""
        return torch.cat([self._encode(name, data) for name in self.columns], dim=1)

    def _encode(self, name: str, data: TableData) -> Tensor:
        if name in self.means:
            return data.numeric[name].nan_to_num(nan=self.means[name])[:, None]  # (rows, 1)
        places = _places(data.categorical[name], self.categories[name])
        if self.method == "ordinal":
            return places[:, None].float()  # (rows, 1)
        return (places[:, None] == torch.arange(len(self.categories[name]))).float()  # (rows, categories)


def _places(column: Categories, categories: list[str]) -> Tensor:
    known = {category: place for place, category in enumerate(categories)}
    return torch.from_numpy(np.array([known.get(value, -1) for value in column], dtype=np.int64))


def _apply(encoding: _Encoding, split: str, data: Dataset[Any]) -> TensorData:
    same = isinstance(data, TableData) and set(data.features) == set(encoding.columns)
    if not isinstance(data, TableData) or not same or set(data.numeric) != set(encoding.means):
        raise DataError(f"split `{split}` is no table with the columns {', '.join(encoding.columns)} of the same types")
    return TensorData(
        encoding.inputs(data), data.targets, classes=data.classes, features=encoding.features, metadata=data.metadata
    )


def _refuse_missing(datasets: Mapping[str, Dataset[Any]]) -> None:
    for split, data in datasets.items():
        incomplete = count_missing(data) if isinstance(data, TableData) else {}
        if incomplete:
            listed = ", ".join(f"`{name}` ({count})" for name, count in incomplete.items())
            raise DataError(f"split `{split}` misses values in {listed}; `missing: mean` fills in numbers")
