"""Configurations drawn at random, each a function of the seed and its number alone."""

from __future__ import annotations

from functools import partial
from typing import Final

from mlgym import seeding
from mlgym.validation.search.parameters import Configuration, Parameter, Parameters

_MAX_TRIES: Final = 100


class Draws:
    """Different configurations.

    How many are drawn changes none of them, and neither does a further sweep what is drawn for the others.
    """

    def __init__(self, parameters: Parameters, seed: int) -> None:
        """Sets what is drawn.

        Args:
            parameters: what from.
            seed: >= 0.
        """
        self._parameters = parameters
        self._seed = seed
        self._drawn: list[Configuration] = []
        self._seen: set[frozenset[tuple[str, int]]] = set()

    def __getitem__(self, number: int) -> Configuration:
        """Gives the configuration of a number, less than there are different ones."""
        while len(self._drawn) <= number:
            self._drawn.append(self._draw(len(self._drawn)))
        return self._drawn[number]

    def _draw(self, number: int) -> Configuration:
        parameters = self._parameters
        for attempt in range(_MAX_TRIES):
            configuration = parameters.configure(partial(self._place, number, attempt))
            if self._is_new(configuration):
                return configuration
        # Nearly all are taken: the first that is not.
        return next(
            configuration
            for index in range(parameters.num_points)
            if self._is_new(configuration := parameters.at(index))
        )

    def _place(self, number: int, attempt: int, parameter: Parameter) -> int:
        generator = seeding.generator(self._seed, "random search", number, attempt, parameter.name)
        return int(generator.integers(parameter.num_values))

    def _is_new(self, configuration: Configuration) -> bool:
        key = frozenset(configuration.items())
        if key in self._seen:
            return False
        self._seen.add(key)
        return True
