"""Strategies that train every configuration to its end: all points of the grid, or some drawn at random."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlgym.config.registry import register
from mlgym.validation.search.draws import Draws
from mlgym.validation.search.parameters import Configuration, Parameters
from mlgym.validation.search.strategy import WAIT, Action, Finish, Problem, Result, Strategy, StrategyError, Try

Seed = Annotated[int, Field(ge=0)]


class _Whole(Strategy):
    """Tries one configuration after the other, whatever comes of them."""

    def begin(self, problem: Problem) -> None:
        """See `Strategy`."""
        super().begin(problem)
        self._num_tried = self._num_ended = 0

    def ask(self) -> Action:
        """See `Strategy`."""
        num_trials = self.problem.num_trials
        if self._num_tried < num_trials:
            self._num_tried += 1
            return Try(configuration=self.configuration(self._num_tried - 1))
        return WAIT if self._num_ended < num_trials else Finish(reason=f"all {num_trials} trials have ended")

    def tell(self, result: Result) -> None:
        """See `Strategy`."""
        self._num_ended += 1

    def configuration(self, number: int) -> Configuration:
        """Gives the configuration of a trial."""
        raise NotImplementedError


@register("grid")
class Grid(_Whole):
    """Tries all points of the grid in their order, each to its end."""

    def default_num_trials(self, parameters: Parameters) -> int | None:
        """See `Strategy`."""
        return parameters.num_points

    def begin(self, problem: Problem) -> None:
        """See `Strategy`."""
        super().begin(problem)
        drawn = next((one for one in problem.parameters if one.distribution is not None), None)
        if drawn is not None:
            raise StrategyError(
                "use", f"`{drawn.key}` is a distribution and has no end of values: take `random`, or give a range"
            )
        refuse_too_many(problem)

    def configuration(self, number: int) -> Configuration:
        """See `_Whole`."""
        return self.problem.parameters.at(number)


@register("random")
class Random(_Whole):
    """Tries different points drawn at random, each to its end: those that `mode: random_search` draws.

    Source: Bergstra and Bengio, Random search for hyper-parameter optimization, 2012.
    """

    def __init__(self, *, seed: Seed = 0) -> None:
        """Sets what is drawn.

        Args:
            seed: of the drawing, >= 0; the run's own unless given.
        """
        self.seed = seed

    def begin(self, problem: Problem) -> None:
        """See `Strategy`."""
        super().begin(problem)
        refuse_too_many(problem)
        self._draws = Draws(problem.parameters, self.seed)

    def configuration(self, number: int) -> Configuration:
        """See `_Whole`."""
        return self._draws[number]


def refuse_too_many(problem: Problem) -> None:
    """Checks that there are as many different configurations as are to be tried.

    Raises:
        StrategyError: there are fewer.
    """
    num_points = problem.parameters.num_points
    if problem.num_trials > num_points:
        raise StrategyError(
            "num_trials",
            f"there are {num_points} different configurations, so that {problem.num_trials} cannot be tried; take at "
            f"most {num_points}, or sweep over more",
        )
