"""Whether what a run decided on its way would be decided again: the trials of a search, the winners of outer folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """How the decisions that a run recorded compare with those that follow now.

    Args:
        of: what decided, as in a sentence: `the search`, `the nested cross validation`.
        num_recorded: how many the original run took.
        num_equal: how many of them, from the first on, are the same now.
        original: the first that is another one now, as it was; None where none is.
        new: the same as it is now.
        from_new_results: whether they follow from what the repetition measured; else from what was recorded.
    """

    of: str
    num_recorded: int
    num_equal: int
    original: str | None = None
    new: str | None = None
    from_new_results: bool

    @property
    def differ(self) -> bool:
        """Whether one of them is another one now."""
        return self.original is not None

    @property
    def are_the_same(self) -> bool:
        """Whether all of them were taken again."""
        return self.num_equal == self.num_recorded and not self.differ

    def to_text(self) -> str:
        """Gives what came of it in a line."""
        told = "told the new results" if self.from_new_results else "told the recorded results"
        if self.differ:
            before = f" after {self.num_equal} that are the same" if self.num_equal else ""
            return f"{self.of}, {told}, decides otherwise{before}: {self.original} -> {self.new}"
        if self.are_the_same:
            plural = "s" if self.num_recorded > 1 else ""
            return f"{self.of}, {told}, decides the same: {self.num_recorded} decision{plural}"
        return (
            f"{self.of}, {told}, decides the same as far as it came: {self.num_equal} of {self.num_recorded} decisions"
        )

    def to_dict(self) -> dict[str, Any]:
        """Gives the same for scripts."""
        return {
            "of": self.of,
            "same": self.are_the_same,
            "num_recorded": self.num_recorded,
            "num_equal": self.num_equal,
            "original": self.original,
            "new": self.new,
            "from_new_results": self.from_new_results,
        }
