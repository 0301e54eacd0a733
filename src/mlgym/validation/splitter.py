"""What a way of splitting rows into folds is: the contract between modes, which count folds, and who makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Indices: TypeAlias = npt.NDArray[np.int64]


class Rows(Protocol):
    """The rows that are split, as a splitter sees them; labels and columns are read only when asked for."""

    @property
    def num_rows(self) -> int:
        """How many there are."""

    def labels(self, target: str | None = None) -> Indices:
        """Gives the class of each row, (rows,), of the target of that name where there are several."""

    def column(self, name: str) -> npt.NDArray[Any]:
        """Gives what is known of each row under that name, (rows,)."""


class Splitter(Protocol):
    """Splits rows into a training and a held-out part, several times.

    `num_folds` is known without the rows, so that experiments can be counted before any data is read.
    """

    num_folds: int

    def split(self, rows: Rows) -> Iterator[tuple[Indices, Indices]]:
        """Gives for each fold the places of its training rows and of those held out, in [0, rows)."""
