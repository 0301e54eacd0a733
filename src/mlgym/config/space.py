"""The search space: which sweeps there are, how many points they make, and point `i` without the ones before it.

A sweep counts where it matters: one inside an alternative, or inside a component that only some alternatives need,
multiplies those alternatives alone. Axes are sorted by key path and the last varies fastest, as in scikit-learn's
`ParameterGrid`; how the file is ordered makes no difference.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlgym.config.axes import Axis, Choices, Space
from mlgym.config.lazy_sequence import LazySequence
from mlgym.config.placement import find_space
from mlgym.config.tree import Tree
from mlgym.config.unfold import Labels, Unfolding
from mlgym.errors import Fault


@dataclass(frozen=True, slots=True)
class Point:
    """One experiment of a search space.

    Args:
        experiment_id: its number, from 0.
        config: its config: plain data without sweeps and `$vars`, with what it needs and nothing else.
        swept: the chosen value of each sweep that matters here, by the key that an override would have.
        trial: what the experiment is for, as its validation mode says: see `events.ExperimentConfig`.
    """

    experiment_id: int
    config: dict[str, Any]
    swept: dict[str, Any]
    trial: dict[str, Any] = field(default_factory=dict)


class SearchSpace(LazySequence[Point]):
    """All points of a config; holds its sweeps, never its points."""

    def __init__(self, tree: Tree, space: Space, header: Mapping[str, Any], notes: Sequence[Fault]) -> None:
        """Takes what `SearchSpace.of` found.

        Args:
            tree: the config.
            space: its axes.
            header: the sections that are the same everywhere: version, name, imports.
            notes: what is odd but not wrong, such as a component that nothing uses.
        """
        self.notes = list(notes)
        self._tree = tree
        self._space = space
        self._header = header
        self._labels = Labels(tree)

    @classmethod
    def of(cls, tree: Tree, *, name: str, imports: Sequence[str], notes: Sequence[Fault] = ()) -> SearchSpace:
        """Gives the search space of a checked tree.

        Raises:
            ConfigError: zipped sweeps that differ in length or lie in different alternatives.
        """
        space = find_space(tree)
        header = {"version": 1, "name": name, **({"imports": list(imports)} if imports else {})}
        return cls(tree, space, header, notes)

    @property
    def num_points(self) -> int:
        """How many points there are; of a space with distributions, more than a sequence may have."""
        return self._space.num_points

    def __len__(self) -> int:
        return self._space.num_points

    def item(self, index: int) -> Point:
        """Gives a point of the grid; counted from 0, and not from the end."""
        number = operator.index(index)
        if not 0 <= number < len(self):
            raise IndexError(f"there is no experiment {index}; the grid has {len(self)}, numbered from 0")
        return self.at(number, self._space.decode(number))

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Everything that varies, those inside alternatives after the one that they are in."""
        return tuple(self._space.walk())

    @property
    def unconditional(self) -> frozenset[Axis]:
        """Those of the axes that matter at every point."""
        return frozenset(self._space.axes)

    def key(self, axis: Axis) -> str:
        """Gives the name of what an axis varies: the key that an override would have."""
        return self._labels.key(axis.sweeps[0])

    def decode(self, index: int) -> Choices:
        """Gives the alternatives of a point by its place in the grid."""
        return self._space.decode(index)

    def at(self, number: int, choices: Choices) -> Point:
        """Gives the point with these alternatives.

        Args:
            number: what it is called.
            choices: the alternative of each axis that matters, as `draw` gives them.
        """
        unfolding = Unfolding(self._tree, choices)
        config = {**self._header, **unfolding.sections()}
        return Point(number, config, self._labels.swept(choices, unfolding))

    def draw(self, alternative_of: Callable[[Axis], int]) -> Choices:
        """Gives the alternatives of a point, drawn one by one.

        Args:
            alternative_of: gives the alternative of an axis; asked for those that matter, given the ones before.
        """
        choices: Choices = {}
        pending = [self._space]
        while pending:
            for axis in pending.pop().axes:
                if axis not in choices:
                    choices[axis] = alternative_of(axis)
                    if choices[axis] in axis.spaces:
                        pending.append(axis.spaces[choices[axis]])
        return choices

    @functools.cached_property
    def swept_paths(self) -> tuple[str, ...]:
        """The keys of everything that is swept, in the order of the grid; a table has a column for each."""
        return tuple(dict.fromkeys(self._labels.key(sweep) for axis in self._space.walk() for sweep in axis.sweeps))
