"""The axes of a search space: sweeps, or groups of zipped ones, and how many points they make.

Sums and products: a `Space` is the product of its axes, an `Axis` the sum of its alternatives, and an alternative may
have a space of its own. Which axis lies in which space is found in `placement`.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from mlgym.config.forms import Sweep
from mlgym.config.nodes import Path

Choices: TypeAlias = "dict[Axis, int]"
"""The alternative of each axis that matters at a point."""


@dataclass(eq=False)
class Axis:
    """Something that varies: one sweep, or the sweeps of one zip group.

    Args:
        sweeps: the sweep, or those that move together; each written in one place, whatever the number of its uses.
        spaces: the space of each alternative in which something else varies.
        num_points: points of this axis alone, known once it is closed.
    """

    sweeps: list[Sweep]
    spaces: dict[int, Space] = field(default_factory=dict)
    num_points: int = 0
    _ends: list[int] | None = None

    @property
    def num_alternatives(self) -> int:
        """How many alternatives there are."""
        return len(self.sweeps[0].alternatives)

    @functools.cached_property
    def order(self) -> tuple[tuple[int, int, str], ...]:
        """Sorts axes by key path, list indices as numbers."""
        return min(_sort_key(sweep.origin) for sweep in self.sweeps)

    def close(self) -> None:
        """Counts the points; the axes inside must be closed."""
        for space in self.spaces.values():
            space.close()
        if not self.spaces:
            self.num_points = self.num_alternatives
            return
        counts = (self.spaces[i].num_points if i in self.spaces else 1 for i in range(self.num_alternatives))
        self._ends = list(itertools.accumulate(counts))
        self.num_points = self._ends[-1]

    def decode(self, index: int) -> tuple[int, int]:
        """Gives the alternative of a point of this axis, and the point within that alternative's own space."""
        if self._ends is None:
            return index, 0
        alternative = bisect.bisect_right(self._ends, index)
        return alternative, index - (self._ends[alternative - 1] if alternative else 0)


@dataclass(eq=False)
class Space:
    """The product of some axes.

    Args:
        axes: sorted by key path once the space is closed.
        num_points: points of the product, known once it is closed.
    """

    axes: dict[Axis, None] = field(default_factory=dict)
    num_points: int = 1

    def close(self) -> None:
        """Sorts the axes and counts the points; the axes must be closed."""
        self.axes = dict.fromkeys(sorted(self.axes, key=lambda axis: axis.order))
        self.num_points = math.prod(axis.num_points for axis in self.axes)

    def decode(self, index: int) -> Choices:
        """Gives the alternatives of a point; the last axis varies fastest."""
        choices: Choices = {}
        pending = [(self, index)]
        while pending:
            space, rest = pending.pop()
            for axis in reversed(space.axes):
                rest, digit = divmod(rest, axis.num_points)
                choices[axis], inside = axis.decode(digit)
                if choices[axis] in axis.spaces:
                    pending.append((axis.spaces[choices[axis]], inside))
        return choices

    def walk(self) -> Iterator[Axis]:
        """Gives every axis once, those inside alternatives after the one they are in."""
        seen: dict[Axis, None] = {}
        pending = list(reversed(self.axes))
        while pending:
            axis = pending.pop()
            if axis not in seen:
                seen[axis] = None
                yield axis
                inner = [inside for i in sorted(axis.spaces) for inside in axis.spaces[i].axes]
                pending.extend(reversed(inner))


def _sort_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, step, "") if isinstance(step, int) else (1, 0, step) for step in path)
