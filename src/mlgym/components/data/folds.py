"""Ways to split rows into folds, in each of which another part is held out: k-fold with its variants, and leaving out.

They are scikit-learn's splitters, called on the rows in their order, so that the same seed gives the same folds there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mlgym.config.registry import register
from mlgym.errors import DataError
from mlgym.validation.splitter import Indices, Rows

SCIKIT_LEARN: Final = ("sklearn.model_selection",)
NumFolds: TypeAlias = Annotated[int, Field(ge=2)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Seed: TypeAlias = Annotated[int, Field(ge=0)]
Parts: TypeAlias = Iterator[tuple[Indices, Indices]]
"""Of each fold: the places of its training rows, and of those held out."""


@dataclass(frozen=True, kw_only=True)
class _Repeatable:
    """The parameters of k-fold splitters."""

    folds: NumFolds = 5
    shuffle: bool = True
    repeats: Count = 1
    seed: Seed

    @property
    def num_folds(self) -> int:
        """How many folds there are, over all repeats."""
        return self.folds * self.repeats

    def _split(self, make: Callable[..., Any], rows: Rows, labels: Indices | None, groups: Any = None) -> Parts:
        if self.repeats > 1 and not self.shuffle:
            raise DataError("`repeats` needs `shuffle: true`: without it every repeat would have the same folds")
        # One generator for all repeats, as in scikit-learn's `RepeatedKFold`.
        generator = random_state(self.seed) if self.shuffle else None
        for _ in range(self.repeats):
            splitter = make(n_splits=self.folds, shuffle=self.shuffle, random_state=generator)
            yield from parts_of(splitter, rows, labels, groups)


@register("k_fold", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class KFold(_Repeatable):
    """Folds of equal size, to within one row.

    Args:
        folds: how many, >= 2.
        shuffle: deal the rows out at random; false takes them block by block in their order, which is wrong for rows
            that are sorted.
        repeats: how often to do it, each time shuffled anew, >= 1.
        seed: of the shuffling, >= 0; the `random_state` of scikit-learn, modulo 2**32.

    Source: `sklearn.model_selection.KFold`, `RepeatedKFold`.
    """

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import KFold as Folds

        return self._split(Folds, rows, None)


@register("stratified_k_fold", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class StratifiedKFold(_Repeatable):
    """Folds that have the same share of every class.

    Args:
        folds: how many, >= 2; a class with fewer rows is missing from some folds.
        shuffle: deal the rows of each class out at random.
        repeats: how often to do it, each time shuffled anew, >= 1.
        seed: of the shuffling, >= 0; the `random_state` of scikit-learn, modulo 2**32.
        target: which target has the classes, where targets have names.

    Source: `sklearn.model_selection.StratifiedKFold`, `RepeatedStratifiedKFold`.
    """

    target: str | None = None

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import StratifiedKFold as Folds

        return self._split(Folds, rows, rows.labels(self.target))


@register("group_k_fold", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class GroupKFold(_Repeatable):
    """Folds in which no group is torn apart, such as all the images of one patient.

    Args:
        groups: the column that says to which group a row belongs.
        folds: how many, >= 2, at most as many as there are groups.
        shuffle: deal the groups out at random; false makes folds of nearly equal size.
        repeats: how often to do it, each time shuffled anew, >= 1.
        seed: of the shuffling, >= 0; the `random_state` of scikit-learn, modulo 2**32.

    Source: `sklearn.model_selection.GroupKFold`.
    """

    groups: str

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import GroupKFold as Folds

        return self._split(Folds, rows, None, rows.column(self.groups))


@register("stratified_group_k_fold", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class StratifiedGroupKFold(_Repeatable):
    """Folds in which no group is torn apart and classes have nearly the same share, as far as groups allow it.

    Args:
        groups: the column that says to which group a row belongs.
        folds: how many, >= 2.
        shuffle: deal the groups out at random among those that balance equally well.
        repeats: how often to do it, each time shuffled anew, >= 1.
        seed: of the shuffling, >= 0; the `random_state` of scikit-learn, modulo 2**32.
        target: which target has the classes, where targets have names.

    Source: `sklearn.model_selection.StratifiedGroupKFold`.
    """

    groups: str
    target: str | None = None

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import StratifiedGroupKFold as Folds

        return self._split(Folds, rows, rows.labels(self.target), rows.column(self.groups))


@register("leave_one_out", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """A fold for each row, which is held out alone.

    Args:
        folds: the number of rows, >= 2; it has to be said, since experiments are counted before data is read.

    Source: `sklearn.model_selection.LeaveOneOut`.
    """

    folds: NumFolds

    @property
    def num_folds(self) -> int:
        """How many folds there are."""
        return self.folds

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import LeaveOneOut as Folds

        refuse_other_count("leave_one_out", "rows", rows.num_rows, self.folds)
        return parts_of(Folds(), rows)


@register("leave_one_group_out", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class LeaveOneGroupOut:
    """A fold for each group, in the sorted order of groups.

    Args:
        groups: the column that says to which group a row belongs.
        folds: the number of groups, >= 2; it has to be said, since experiments are counted before data is read.

    Source: `sklearn.model_selection.LeaveOneGroupOut`.
    """

    groups: str
    folds: NumFolds

    @property
    def num_folds(self) -> int:
        """How many folds there are."""
        return self.folds

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import LeaveOneGroupOut as Folds

        groups = rows.column(self.groups)
        refuse_other_count("leave_one_group_out", f"groups in `{self.groups}`", len(np.unique(groups)), self.folds)
        return parts_of(Folds(), rows, None, groups)


@register("predefined_folds", late_imports=SCIKIT_LEARN)
@dataclass(frozen=True, kw_only=True)
class PredefinedFolds:
    """Folds that a column gives: the rows of one value are held out together, values in sorted order.

    Args:
        column: the column that says in which fold a row is held out; rows with -1 are always trained on.
        folds: the number of different values other than -1, >= 1; it has to be said, since experiments are counted
            before data is read.

    Source: `sklearn.model_selection.PredefinedSplit`.
    """

    column: str
    folds: Count

    @property
    def num_folds(self) -> int:
        """How many folds there are."""
        return self.folds

    def split(self, rows: Rows) -> Parts:
        """See `Splitter`."""
        from sklearn.model_selection import PredefinedSplit as Folds

        numbers = _fold_numbers(rows.column(self.column))
        found = len(np.unique(numbers[numbers >= 0]))
        refuse_other_count("predefined_folds", f"folds in `{self.column}`", found, self.folds)
        return parts_of(Folds(numbers), rows)


def _fold_numbers(column: npt.NDArray[Any]) -> Indices:
    """Gives -1 or the place of each value among the sorted distinct ones, int64 (rows,)."""
    if column.dtype.kind not in "iubfUO":
        raise DataError(f"a column of folds holds numbers or texts, not {column.dtype}")
    always = column == -1 if column.dtype.kind in "iuf" else np.isin(column.astype(str), ["-1"])
    numbers = np.full(len(column), -1, dtype=np.int64)
    numbers[~always] = np.unique(column[~always], return_inverse=True)[1]
    return numbers


def random_state(seed: int) -> np.random.RandomState:
    """Gives the generator that scikit-learn makes of this `random_state`."""
    return np.random.RandomState(seed % 2**32)


def parts_of(splitter: Any, rows: Rows, labels: Indices | None = None, groups: Any = None) -> Parts:
    """Yields what a splitter of scikit-learn makes of rows; of their inputs it sees nothing.

    Raises:
        DataError: it refuses, for too few rows of a class or too few groups, for example.
    """
    # No memory, whatever the number of rows.
    inputs = np.broadcast_to(np.float32(0), (rows.num_rows, 1))
    try:
        yield from splitter.split(inputs, labels, groups)
    except ValueError as error:
        raise DataError(f"the {rows.num_rows} rows cannot be split into folds: {error}") from error


def refuse_other_count(name: str, what: str, found: int, given: int) -> None:
    """Refuses data that has another number of folds than was said.

    Raises:
        DataError: it has.
    """
    if found != given:
        raise DataError(f"`{name}` has `folds: {given}`, but there are {found} {what}; set `folds: {found}`")
