"""Search problems without training: a config's space, a known function of its values, and a search over it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlgym.config import load
from mlgym.config.check import check
from mlgym.validation.modes import SearchPlan
from mlgym.validation.search import (
    Action,
    Finish,
    Problem,
    Promote,
    Result,
    Stop,
    Strategy,
    Try,
    Wait,
)
from mlgym.validation.search.account import SearchAccount
from tests.validation.modes.configs import WITHOUT_PRESET

NESTED_SWEEPS: Final[dict[str, Any]] = {
    "optimizer": {
        "sweep": [
            {"use": "sgd", "model": "$model", "lr": {"sweep": {"log_uniform": [1e-3, 1.0]}}},
            {"use": "adam", "model": "$model", "lr": {"sweep": [1e-3, 1e-2]}, "eps": {"sweep": [1e-8, 1e-6]}},
        ]
    }
}
"""Two optimizers, each with a learning rate of its own, one with a parameter that the other has not."""


def search_config(components: Mapping[str, Any], epochs: Any = 9, **validation: Any) -> dict[str, Any]:
    """Gives a config with a section `validation` of mode `search`, and some other components."""
    given = {"strategy": {"use": "random"}, "num_trials": 4, "select": {"metric": "val/f1_macro", "best": "max"}}
    return {
        **WITHOUT_PRESET,
        "components": {**WITHOUT_PRESET["components"], **components},
        "experiment": {**WITHOUT_PRESET["experiment"], "epochs": epochs},
        "validation": {"mode": "search", **given, **validation},
    }


def adam(**params: Any) -> dict[str, Any]:
    """Gives the component `optimizer`."""
    return {"optimizer": {"use": "adam", "model": "$model", **params}}


def search_plan(components: Mapping[str, Any], epochs: Any = 9, **validation: Any) -> SearchPlan:
    """Gives the plan of such a config."""
    plan = check(load(search_config(components, epochs, **validation)))
    assert isinstance(plan, SearchPlan)
    return plan


def problem_of(plan: SearchPlan, **changes: Any) -> Problem:
    """Gives the problem of a plan, but for some changes."""
    return Problem(**{**vars(plan.problem), **changes})


LR: Final = adam(lr={"sweep": {"log_uniform": [1e-4, 1.0]}})
Score = Callable[[int, int], float]
"""Gives the score of a trial after so many epochs."""


@dataclass
class Simulation:
    """A search over a known function, with workers that take as long as they train.

    Args:
        strategy: what decides.
        problem: what it searches.
        score: gives a score of a trial after its epochs; NaN for none.
        workers: how many there are.
        fails: says which trials fail.
        stops: the epoch at which a trial stops early; none for those left out.
        duration: gives how long an epoch of a trial takes.
    """

    strategy: Strategy
    problem: Problem
    score: Score
    workers: int = 1
    fails: Callable[[int], bool] = lambda trial: False
    stops: Mapping[int, int] = field(default_factory=dict)
    duration: Callable[[int], float] = lambda trial: 1.0
    actions: list[Action] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def run(self, max_actions: int = 10_000) -> Simulation:
        """Runs it to its end."""
        account = SearchAccount(self.strategy, self.problem)
        now, done_epochs = 0.0, dict.fromkeys(range(self.problem.num_trials), 0)
        running: list[tuple[float, int, int | None]] = []
        for _ in range(max_actions):
            action = account.ask() if len(running) < self.workers else Wait()
            match action:
                case Finish():
                    self.actions.append(action)
                    return self
                case Try() | Promote():
                    self.actions.append(action)
                    trial = len(account.configurations) - 1 if isinstance(action, Try) else action.trial
                    until = action.epochs or self.problem.max_epochs or 1
                    took = (until - done_epochs[trial]) * self.duration(trial)
                    heapq.heappush(running, (now + took, trial, action.epochs))
                case Stop():
                    self.actions.append(action)
                case Wait():
                    now, trial, epochs = heapq.heappop(running)
                    result = self._result(account, trial, epochs)
                    done_epochs[trial] = epochs or self.problem.max_epochs or 1
                    account.tell(result)
                    self.results.append(result)
        raise AssertionError("the search does not end")

    def _result(self, account: SearchAccount, trial: int, epochs: int | None) -> Result:
        if self.fails(trial):
            return Result(trial=trial, epochs=epochs, score=None, state="failed")
        until = epochs or self.problem.max_epochs or 1
        stopped = trial in self.stops and self.stops[trial] <= until
        score = self.score(trial, min(until, self.stops.get(trial, until)))
        return Result(
            trial=trial,
            epochs=epochs,
            score=None if math.isnan(score) else score,
            state=account.state_of(epochs, stopped_early=stopped),
        )

    def reached(self) -> dict[int, int]:
        """Gives the epochs that each trial came to."""
        return {result.trial: result.epochs or self.problem.max_epochs or 0 for result in self.results}


def lr_of(problem: Problem, configuration: Mapping[str, int]) -> float:
    """Gives the learning rate of a configuration of `LR`."""
    (parameter,) = problem.parameters
    assert parameter.distribution is not None
    rate: Any = parameter.distribution[configuration[parameter.name]]
    return float(rate)
