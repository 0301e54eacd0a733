"""Ways to split rows that need not use each row once: random shares, the past and the future of a series, last rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import Field

from mlgym.components.data.folds import SCIKIT_LEARN, Count, NumFolds, Parts, Seed, parts_of
from mlgym.config.registry import register
from mlgym.errors import DataError
from mlgym.validation.splitter import Rows

Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)] | Count
"""A share of the rows, in (0, 1), or a number of rows, >= 1."""


@dataclass(frozen=True, kw_only=True)
class _Shuffled:
    """The parameters of splitters that draw at random, each time anew."""

    folds: Count = 10
    test_size: Share = 0.1
    train_size: Share | None = None
    seed: Seed

    @property
    def num_folds(self) -> int:
        """How many folds there are."""
        return self.folds

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "n_splits": self.folds,
            "test_size": self.test_size,
            "train_size": self.train_size,
            "random_state": self.seed % 2**32,
        }


@register("shuffle_split", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class ShuffleSplit(_Shuffled):
    """Random parts, drawn anew for each fold; a row may be held out several times, or never.

    Args:
        folds: how many, >= 1.
        test_size: the share that is held out, in (0, 1), or a number of rows.
        train_size: the share that is trained on; None for all others.
        seed: >= 0; the `random_state` of scikit-learn, modulo 2**32.

    Source: `sklearn.model_selection.ShuffleSplit`.
    """

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import ShuffleSplit as Folds

        return parts_of(Folds(**self._settings), rows)


@register("stratified_shuffle_split", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class StratifiedShuffleSplit(_Shuffled):
    """Random parts with the same share of every class, drawn anew for each fold.

    Args:
        folds: how many, >= 1.
        test_size: the share that is held out, in (0, 1), or a number of rows.
        train_size: the share that is trained on; None for all others.
        seed: >= 0; the `random_state` of scikit-learn, modulo 2**32.
        target: which target has the classes, where targets have names.

    Source: `sklearn.model_selection.StratifiedShuffleSplit`.
    """

    target: str | None = None

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import StratifiedShuffleSplit as Folds

        return parts_of(Folds(**self._settings), rows, rows.labels(self.target))


@register("group_shuffle_split", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class GroupShuffleSplit(_Shuffled):
    """Random parts in which no group is torn apart, drawn anew for each fold.

    Args:
        groups: the column that says to which group a row belongs.
        folds: how many, >= 1.
        test_size: the share of the *groups* that is held out, in (0, 1), or a number of groups.
        train_size: the share that is trained on; None for all others.
        seed: >= 0; the `random_state` of scikit-learn, modulo 2**32.

    Source: `sklearn.model_selection.GroupShuffleSplit`.
    """

    groups: str

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import GroupShuffleSplit as Folds

        return parts_of(Folds(**self._settings), rows, None, rows.column(self.groups))


@register("time_series_split", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class TimeSeriesSplit:
    """Trains on the past and holds out what follows; each fold's past includes that of the fold before.

    Rows must be in the order of time.

    Args:
        folds: how many, >= 2.
        gap: rows left out between the two, >= 0.
        test_size: rows held out in each fold; None for all rows divided by `folds` + 1.
        max_train_size: at most so many of the latest rows are trained on; None for all.

    Source: `sklearn.model_selection.TimeSeriesSplit`.
    """

    folds: NumFolds = 5
    gap: Annotated[int, Field(ge=0)] = 0
    test_size: Count | None = None
    max_train_size: Count | None = None

    @property
    def num_folds(self) -> int:
        """How many folds there are."""
        return self.folds

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import TimeSeriesSplit as Folds

        splitter = Folds(
            n_splits=self.folds, gap=self.gap, test_size=self.test_size, max_train_size=self.max_train_size
        )
        return parts_of(splitter, rows)


@register("last_rows")
@dataclass(frozen=True, kw_only=True)
class LastRows:
    """Holds out the last rows, once: the latest part of a series.

    Args:
        test_size: the share that is held out, in (0, 1), rounded up, or a number of rows.
    """

    test_size: Share = 0.1

    @property
    def num_folds(self) -> int:
        """One."""
        return 1

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        size = self.test_size
        held_out = size if isinstance(size, int) else int(np.ceil(round(size * rows.num_rows, 9)))
        if held_out >= rows.num_rows:
            raise DataError(f"`last_rows` would hold out {held_out} of {rows.num_rows} rows; make `test_size` smaller")
        places = np.arange(rows.num_rows)
        yield places[:-held_out], places[-held_out:]
