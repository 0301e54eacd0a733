"""Points drawn at random from a search space, each a function of the seed and its number alone."""

from __future__ import annotations

from collections.abc import Sequence

from mlgym.config import ModeView, Point, SearchSpace
from mlgym.config.lazy_sequence import LazySequence
from mlgym.errors import ConfigError
from mlgym.validation.search.draws import Draws
from mlgym.validation.search.parameters import Parameters


class Samples(LazySequence[Point]):
    """Different points of a search space; see `Draws`."""

    def __init__(self, space: SearchSpace, num_samples: int, seed: int) -> None:
        """Sets what is drawn.

        Args:
            space: what from.
            num_samples: how many points, at most as many as there are.
            seed: >= 0.
        """
        self._space = space
        self._num_samples = num_samples
        self._parameters = Parameters(space)
        self._draws = Draws(self._parameters, seed)

    def __len__(self) -> int:
        return self._num_samples

    def item(self, index: int) -> Point:
        """Gives a point by the number of its drawing."""
        number = range(len(self))[index]
        return self._space.at(number, self._parameters.choices(self._draws[number]))


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
