"""A search under way: its strategy, and who runs, waits or has ended; rebuilt from what a log says of it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlgym.errors import RunError
from mlgym.events import SearchStep
from mlgym.validation.search.parameters import Configuration
from mlgym.validation.search.strategy import (
    Action,
    Finish,
    Problem,
    Promote,
    Result,
    ResultState,
    Stop,
    Strategy,
    Try,
    Wait,
)


class SearchAccount:
    """Asks and tells a strategy, and refuses what makes no sense.

    Attributes:
        configurations: those that were tried, by trial.
        running: the trials whose results are still to come, with the epochs that they run to; None for all.
        scores: the latest score of each trial that has a result; None for none.
        is_over: whether the strategy has finished.
        num_decisions: how many decisions were replayed.
        rungs: the epochs at which trials are compared; empty where they are not.
    """

    def __init__(self, strategy: Strategy, problem: Problem, steps: Iterable[SearchStep] = ()) -> None:
        """Begins a search, or goes on with one.

        Args:
            strategy: as its constructor left it; the search has a copy of its own.
            problem: what it searches.
            steps: what the strategy was asked and told so far.

        Raises:
            StrategyError: the strategy does not fit the problem.
            RunError: the strategy does not decide what it decided then.
        """
        self.configurations: list[Configuration] = []
        self.running: dict[int, int | None] = {}
        self.scores: dict[int, float | None] = {}
        self.is_over = False
        self.num_decisions = 0
        self._strategy = copy.deepcopy(strategy)
        self._problem = problem
        self._paused: dict[int, int] = {}
        self._strategy.begin(problem)
        self.rungs = tuple(self._strategy.rungs)
        for step in steps:
            self._replay(step)

    def ask(self) -> Action:
        """Gives what comes next.

        Raises:
            RunError: it cannot be done.
        """
        action = self._strategy.ask()
        complaint = self._complaint(action)
        if complaint is not None:
            raise RunError(f"the strategy `{type(self._strategy).__name__}` of the search {complaint}")
        match action:
            case Try():
                self.running[len(self.configurations)] = action.epochs
                self.configurations.append(action.configuration)
            case Promote():
                del self._paused[action.trial]
                self.running[action.trial] = action.epochs
            case Stop():
                del self._paused[action.trial]
            case Finish():
                self.is_over = True
        return action

    def tell(self, result: Result) -> None:
        """Takes the result of a trial that runs."""
        del self.running[result.trial]
        self.scores[result.trial] = result.score
        if result.state == "paused":
            assert result.epochs is not None
            self._paused[result.trial] = result.epochs
        self._strategy.tell(result)

    def state_of(self, epochs: int | None, *, stopped_early: bool) -> ResultState:
        """Gives whether a trial that has come to where it was to run can go on."""
        last = self._problem.max_epochs
        return "ended" if epochs is None or stopped_early or (last is not None and epochs >= last) else "paused"

    def _complaint(self, action: Action) -> str | None:
        """Gives why an action cannot be taken, as the second half of a sentence; None where it can."""
        match action:
            case Try() if len(self.configurations) >= self._problem.num_trials:
                return f"tries more than the {self._problem.num_trials} configurations of `num_trials`"
            case Try(epochs=epochs):
                self._problem.parameters.choices(action.configuration)
                return None if epochs is None or epochs >= 1 else f"tries a configuration for {epochs} epochs"
            case Promote() | Stop() if action.trial not in self._paused:
                return f"decides about trial {action.trial}, which is not paused"
            case Promote(epochs=epochs) if epochs is not None and epochs <= self._paused[action.trial]:
                return f"goes on with trial {action.trial} until epoch {epochs}, which it has behind it"
            case Wait() if not self.running:
                return "waits for results, but nothing runs"
            case Finish() if self.running:
                return f"has finished while {len(self.running)} trials run"
        return None

    def _replay(self, step: SearchStep) -> None:
        if step.action == "result":
            if step.trial not in self.running:
                raise RunError(f"the log has a result of trial {step.trial}, which did not run: it is damaged")
            self.tell(result_of(step))
            return
        number, then = len(self.configurations), recorded_decision(step)
        now = decision_of(self.ask(), number)
        if now != then:
            raise RunError(
                f"the search cannot go on as it began: its decision {self.num_decisions} was {then.to_text()}, and "
                f"would be {now.to_text()} now. Its strategy, or a package behind it such as Optuna, is another "
                "version: `run_config.yml` of the run has the versions that it began with"
            )
        self.num_decisions += 1


@dataclass(frozen=True)
class Decided:
    """What a strategy decided, as far as a log has it and as it has to repeat.

    Args:
        action: `try`, `promote`, `stop`, `finish` or `wait`.
        trial: which one; None where it is about none.
        epochs: until when it is trained; None for its end.
        choices: of a new configuration, the number of each value.
    """

    action: str
    trial: int | None = None
    epochs: int | None = None
    choices: Mapping[str, int] = field(default_factory=dict)

    def to_text(self) -> str:
        """Gives the decision in words."""
        who = "" if self.trial is None else f" trial {self.trial}"
        until = "" if self.epochs is None else f" until epoch {self.epochs}"
        listed = ", ".join(f"{name} number {place}" for name, place in self.choices.items())
        return f"`{self.action}`{who}{until}{f' with {listed}' if listed else ''}"


def decision_of(action: Action, number: int) -> Decided:
    """Gives an action as a log has it.

    Args:
        action: what the strategy says.
        number: of the trial, where it is a new one.
    """
    match action:
        case Try():
            return Decided("try", number, action.epochs, dict(action.configuration))
        case Promote():
            return Decided("promote", action.trial, action.epochs)
        case Stop():
            return Decided("stop", action.trial)
        case Finish():
            return Decided("finish")
    return Decided("wait")


def recorded_decision(step: SearchStep) -> Decided:
    """Gives the decision of a step."""
    return Decided(step.action, step.trial, step.epochs, dict(step.choices))


def result_of(step: SearchStep) -> Result:
    """Gives the result of a step."""
    assert step.trial is not None
    state: ResultState = "paused" if step.state == "paused" else "failed" if step.state == "failed" else "ended"
    return Result(trial=step.trial, epochs=step.epochs, score=step.score, state=state)
