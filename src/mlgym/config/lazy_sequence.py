"""Sequences of which each item is made when it is asked for, so that a long one takes no room."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

ItemT = TypeVar("ItemT", covariant=True)


class LazySequence(Sequence[ItemT]):
    """Base of such sequences; a slice of one is a list."""

    @abstractmethod
    def item(self, index: int) -> ItemT:
        """Makes an item.

        Args:
            index: as it was asked for, so that the sequence itself says what a negative one means.

        Raises:
            IndexError: there is no such item.
        """

    @overload
    def __getitem__(self, index: int) -> ItemT: ...
    @overload
    def __getitem__(self, index: slice) -> list[ItemT]: ...
    def __getitem__(self, index: int | slice) -> ItemT | list[ItemT]:
        if isinstance(index, slice):
            return [self.item(i) for i in range(*index.indices(len(self)))]
        return self.item(index)

    def __iter__(self) -> Iterator[ItemT]:
        return (self.item(i) for i in range(len(self)))
