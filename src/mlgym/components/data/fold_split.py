"""The split that validation puts in place of the one in a config: parts of a dataset, cut off fold by fold."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, TypedDict

import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch.utils.data import Dataset

from mlgym.components.data.columns import column_of
from mlgym.components.data.labels import labels_of, num_samples_of
from mlgym.components.data.operations import select
from mlgym.config.registry import register
from mlgym.errors import DataError
from mlgym.validation.splitter import Indices, Splitter


class Cut(TypedDict):
    """One fold of a way to split.

    Args:
        part: what becomes of the rows held out; null leaves them out of the experiment.
        folds: how the rows that are there are split.
        fold: which fold, from 0.
    """

    part: str | None
    folds: Splitter
    fold: Annotated[int, Field(ge=0)]


@register("fold_split")
def fold_split(dataset: Dataset[Any], cuts: list[Cut], *, rest: str = "train") -> dict[str, Dataset[Any]]:
    """Cuts parts off a dataset, one after the other, each a fold of the rows that the one before left.

    Cross validation writes it into each experiment's config in place of the split that it validates. Only indices are
    computed, in the process of the experiment; no config holds any.

    Args:
        dataset: any dataset with a length, with its rows in a fixed order.
        cuts: `{part: val, folds: {use: k_fold, folds: 5, seed: 0}, fold: 3}` makes the fourth of five folds the part
            `val`; the next cut sees the rows that are left. A part that is null is left out.
        rest: what the rows are called that are left after all cuts.

    Returns:
        The parts by name, with the rows in the order in which their splitter gives them.

    Raises:
        DataError: there is no such fold, or the rows cannot be split in that way.
    """
    rows = np.arange(num_samples_of(dataset))
    parts: dict[str, Indices] = {}
    for cut in cuts:
        # Copies of data in memory are made of what is asked for, once: until then there are indices alone.
        train, held_out = _fold(_DatasetRows(dataset, rows), cut)
        if cut["part"] is not None:
            parts[cut["part"]] = rows[held_out]
        rows = rows[train]
    return {name: select(dataset, indices) for name, indices in ({rest: rows} | parts).items()}


def _fold(rows: _DatasetRows, cut: Cut) -> tuple[Indices, Indices]:
    number, num_folds = cut["fold"], cut["folds"].num_folds
    if number >= num_folds:
        raise DataError(f"there is no fold {number}; there are {num_folds}, numbered from 0")
    found = next(islice(cut["folds"].split(rows), number, None), None)
    if found is None:
        raise DataError(f"there is no fold {number}, although `num_folds` of the splitter is {num_folds}")
    return found


class _DatasetRows:
    """Rows of a dataset; see `validation.splitter.Rows`."""

    def __init__(self, dataset: Dataset[Any], rows: Indices) -> None:
        self._dataset = dataset
        self._rows = rows

    @property
    def num_rows(self) -> int:
        return len(self._rows)

    def labels(self, target: str | None = None) -> Indices:
        return labels_of(self._dataset, target)[self._rows]

    def column(self, name: str) -> npt.NDArray[Any]:
        return column_of(self._dataset, name)[self._rows]
