"""What a search strategy is: it is asked what comes next, and told what came of it. Register further ones as they are.

A strategy is rebuilt after a crash by asking and telling it all that it was asked and told before. So what it says may
depend on its parameters, its seed and what it was told, in that order, and on nothing else.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from mlgym.errors import MlgymError
from mlgym.names import Best
from mlgym.validation.search.parameters import Configuration, Parameters


class StrategyError(MlgymError):
    """A strategy does not fit the rest of the config.

    Args:
        parameter: which of its own parameters is to be changed; empty for none of them.
        message: what is wrong, and what to do.
    """

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a strategy searches.

    Args:
        parameters: the search space.
        best: whether the smallest or the largest score is the best.
        num_trials: how many configurations may be tried, >= 1.
        max_epochs: how many epochs a training has by its config; None where the config does not say one number.
        evaluate_every_n_epochs: epochs from one score to the next, >= 1.
    """

    parameters: Parameters
    best: Best
    num_trials: int
    max_epochs: int | None
    evaluate_every_n_epochs: int = 1

    def loss(self, score: float | None) -> float:
        """Gives a score so that less is better; infinity where there is none."""
        if score is None or math.isnan(score):
            return math.inf
        return score if self.best == "min" else -score

    def rungs(self, min_epochs: int, reduction_factor: int) -> Sequence[int]:
        """Gives the epochs at which trials are compared: `min_epochs`, each time `reduction_factor` times as many, all.

        The last step may be a longer one, so that all epochs of the config are the last rung.

        Raises:
            StrategyError: they do not fit the epochs of the config.
        """
        if self.max_epochs is None:
            raise StrategyError("", "compares trials at epochs, but `experiment.epochs` is not one number")
        if min_epochs >= self.max_epochs:
            raise StrategyError(
                "min_epochs",
                f"the first comparison is after {min_epochs} epochs, but a training has {self.max_epochs}: take less, "
                "or more `experiment.epochs`",
            )
        rungs = [min_epochs]
        while rungs[-1] * reduction_factor**2 <= self.max_epochs:
            rungs.append(rungs[-1] * reduction_factor)
        if rungs[-1] * reduction_factor <= self.max_epochs:
            rungs.append(self.max_epochs)
        else:
            raise StrategyError(
                "reduction_factor",
                f"from {min_epochs} epochs on, {reduction_factor} times as many are more than the {self.max_epochs} of "
                "a training: there is nothing to go on to",
            )
        self.refuse_unmeasured(rungs[:-1], "min_epochs")
        return rungs

    def refuse_unmeasured(self, epochs: Sequence[int], parameter: str) -> None:
        """Checks that there are scores where trials are compared.

        Raises:
            StrategyError: an evaluation is not due then.
        """
        every = self.evaluate_every_n_epochs
        if not_due := [epoch for epoch in epochs if epoch % every]:
            raise StrategyError(
                parameter,
                f"compares trials after epoch {not_due[0]}, but `evaluate_every_n_epochs` is {every}: take a multiple "
                "of it",
            )


@dataclass(frozen=True, kw_only=True)
class Try:
    """Try a new configuration; trials are numbered in this order, from 0.

    Args:
        configuration: which one.
        epochs: train so many epochs, then tell; None for all of them.
        rung: the place of `epochs` among those at which trials are compared, from 0, for tables.
        reason: why, in words.
    """

    configuration: Configuration
    epochs: int | None = None
    rung: int | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Promote:
    """Go on with a trial that is paused; see `Try`.

    Args:
        trial: its number.
        epochs: train until it has so many epochs behind it, then tell; None for all of them.
        rung: see `Try`.
        reason: why, in words.
    """

    trial: int
    epochs: int | None = None
    rung: int | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Never go on with a trial that is paused.

    Args:
        trial: its number.
        reason: why, in words.
    """

    trial: int
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Finish:
    """The search is over.

    Args:
        reason: why, in words.
    """

    reason: str = ""


@dataclass(frozen=True)
class Wait:
    """Nothing now: results have to come first. Asked again, a strategy must not have changed by saying so."""


Action: TypeAlias = Try | Promote | Stop | Finish | Wait
ResultState: TypeAlias = Literal["paused", "ended", "failed"]
WAIT: Final = Wait()


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a trial.

    Args:
        trial: its number.
        epochs: how many epochs it was to have behind it; None for all of them.
        score: the value of the metric that decides; None where it has none.
        state: `paused`: it can go on; `ended`: it cannot, because all epochs are done or training stopped early;
            `failed`.
    """

    trial: int
    epochs: int | None
    score: float | None
    state: ResultState


class Strategy(abc.ABC):
    """Decides which configurations are tried, and for how long.

    Attributes:
        problem: what it searches; set before it is asked.
        rungs: the epochs at which it compares trials, for tables; empty where it does not.
    """

    def begin(self, problem: Problem) -> None:
        """Is called once, on a fresh object, before anything is asked.

        Raises:
            StrategyError: it does not fit the problem; raised when a config is checked.
        """
        # Not annotated on the class: configs would take them for outputs of the component.
        self.problem = problem
        self.rungs: Sequence[int] = ()

    def default_num_trials(self, parameters: Parameters) -> int | None:
        """Gives how many trials there are where the config does not say it; None where it has to."""
        return None

    @abc.abstractmethod
    def ask(self) -> Action:
        """Gives what comes next."""

    @abc.abstractmethod
    def tell(self, result: Result) -> None:
        """Takes what came of a trial that it had tried or gone on with."""
