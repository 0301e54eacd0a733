"""Points drawn at random from a search space, each a function of the seed and its number alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, overload

from mlgym import seeding
from mlgym.config import ModeView, Point, SearchSpace
from mlgym.config.axes import Axis, Choices
from mlgym.config.nodes import show_path
from mlgym.errors import ConfigError

_MAX_TRIES: Final = 100


class Samples(Sequence[Point]):
    """Different points of a search space.

    How many there are changes none of them, and neither does a further sweep what is drawn for the others.
    """

    def __init__(self, space: SearchSpace, num_samples: int, seed: int) -> None:
        """Sets what is drawn.

        Args:
            space: what from.
            num_samples: how many points, at most as many as there are.
            seed: >= 0.
        """
        self._space = space
        self._num_samples = num_samples
        self._seed = seed
        self._drawn: list[Choices] = []
        self._seen: set[frozenset[tuple[Axis, int]]] = set()

    def __len__(self) -> int:
        return self._num_samples

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> list[Point]: ...
    def __getitem__(self, index: int | slice) -> Point | list[Point]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        while len(self._drawn) <= number:
            self._drawn.append(self._draw(len(self._drawn)))
        return self._space.at(number, self._drawn[number])

    def _draw(self, number: int) -> Choices:
        for attempt in range(_MAX_TRIES):
            choices = self._space.draw(partial(self._alternative, number, attempt))
            if self._is_new(choices):
                return choices
        # Nearly all points are taken: the first that is not.
        return next(
            choices for index in range(self._space.num_points) if self._is_new(choices := self._space.decode(index))
        )

    def _alternative(self, number: int, attempt: int, axis: Axis) -> int:
        place = min(show_path(sweep.origin) for sweep in axis.sweeps)
        generator = seeding.generator(self._seed, "random search", number, attempt, place)
        return int(generator.integers(axis.num_alternatives))

    def _is_new(self, choices: Choices) -> bool:
        key = frozenset(choices.items())
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


def configurations_of(view: ModeView, space: SearchSpace, num_samples: int | None, seed: int) -> Sequence[Point]:
    """Gives the configurations that are compared: the grid, or points drawn from it.

    Args:
        view: the config.
        space: its points.
        num_samples: how many to draw; None for all.
        seed: of the drawing.

    Raises:
        ConfigError: more are asked for than there are.
    """
    if num_samples is None:
        return space
    if num_samples > space.num_points:
        fault = view.fault(
            "num_samples",
            f"there are {space.num_points} different points, so that {num_samples} cannot be drawn; take at most "
            f"{space.num_points}, or go through all with `mode: grid_search`",
        )
        raise ConfigError([fault])
    return Samples(space, num_samples, seed)
