"""What a run decided while it went on, decided again by the results of its repetition.

The experiments of a repetition are known from the start, and each is trained in one go to where the original left it.
So nothing waits: whenever results are there that a decision followed from, it is asked for again, compared with the
recorded one, and written down. The first that is another one ends that; experiments go on as they were.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest

from mlgym.errors import RunError
from mlgym.events import ExperimentState, SearchDecision, SearchResult, SearchStep, SelectionRecord
from mlgym.execution.course.course import Course, Desk
from mlgym.execution.scheduler import Outcome
from mlgym.reproduction.decisions import Decisions
from mlgym.validation.choice import choose
from mlgym.validation.modes import NestedPlan, SearchPlan
from mlgym.validation.ranking import Selection
from mlgym.validation.search import Action, Finish, Promote, Result, Stop, Try
from mlgym.validation.search.account import SearchAccount, decision_of, recorded_decision, result_of
from mlgym.validation.statistics import mean_of


@dataclass(frozen=True)
class _Other:
    """A decision that is another one now, in words."""

    then: str
    now: str


class RepeatedSearch(Course):
    """Asks the strategy of a search again, in the recorded order of results."""

    def __init__(
        self,
        plan: SearchPlan,
        steps: Sequence[SearchStep],
        desk: Desk,
        *,
        num_experiments: int,
        settled: Container[int],
        until_epochs: Mapping[int, int | None],
    ) -> None:
        """Begins anew.

        Args:
            plan: what was searched.
            steps: what the strategy was asked and told then.
            desk: what it has of its driver.
            num_experiments: see `Course`.
            settled: see `Course`.
            until_epochs: see `Course`.

        Raises:
            StrategyError: the strategy does not fit any more.
        """
        super().__init__(num_experiments, settled, until_epochs)
        self._plan = plan
        self._desk = desk
        self._account = plan.begin()
        self._steps = deque(steps)
        self._num_recorded = sum(step.action != "result" for step in steps)
        self._num_equal = 0
        self._other: _Other | None = None
        self._come: set[int] = set()
        self._go_on()

    @property
    def decisions(self) -> Decisions:
        """How they compare so far."""
        return _decisions("the search", self._num_recorded, self._num_equal, self._other, from_new_results=True)

    def ended(self, experiment_id: int, outcome: Outcome) -> None:
        """See `Course`."""
        if outcome == "succeeded":
            self._come.add(experiment_id)
            self._go_on()

    def _go_on(self) -> None:
        while self._steps and self._other is None:
            step = self._steps[0]
            if step.action == "result":
                result = self._result(step)
                if result is None:
                    return
                self._tell(result)
            else:
                self._ask(step)
            self._steps.popleft()

    def _ask(self, step: SearchStep) -> None:
        action = _ask_again(self._account, step)
        if isinstance(action, _Other):
            self._other = action
            self._desk.journal.note("warning", self.decisions.to_text())
            return
        self._num_equal += 1
        self._desk.journal.emit(self._event(action, step))

    def _event(self, action: Action, step: SearchStep) -> SearchDecision:
        assert isinstance(action, Try | Promote | Stop | Finish)
        return SearchDecision(
            grid_search_id=self._desk.run_id,
            experiment_id=None if step.trial is None else self._plan.experiments(step.trial)[0],
            action=step.action,  # type: ignore[arg-type]  # one of ours, as it was asked again
            trial=step.trial,
            epochs=step.epochs,
            rung=getattr(action, "rung", None),
            choices=dict(step.choices),
            parameters=dict(step.parameters),
            score=None if step.trial is None else self._account.scores.get(step.trial),
            reason=action.reason,
        )

    def _tell(self, result: Result) -> None:
        self._desk.journal.emit(
            SearchResult(
                grid_search_id=self._desk.run_id,
                experiment_id=self._plan.experiments(result.trial)[0],
                trial=result.trial,
                epochs=result.epochs,
                score=result.score,
                state=result.state,
            )
        )
        self._account.tell(result)

    def _result(self, step: SearchStep) -> Result | None:
        """Gives what came of a trial this time; None where it has not come to its end."""
        assert step.trial is not None
        if step.state == "failed":  # then: what failed is not run again
            return result_of(step)
        numbers = self._plan.experiments(step.trial)
        if not all(number in self._come for number in numbers):
            return None
        experiments = [self._desk.journal.state.experiments[number] for number in numbers]
        selection = self._plan.decision.selection
        scores = [score for one in experiments if (score := _score_at(one, selection, step.epochs)) is not None]
        return Result(
            trial=step.trial,
            epochs=step.epochs,
            score=mean_of(scores) if len(scores) == len(experiments) else None,
            state=self._account.state_of(
                step.epochs, stopped_early=all(_had_stopped(one, step.epochs) for one in experiments)
            ),
        )


def decided_again(plan: SearchPlan, steps: Sequence[SearchStep]) -> Decisions:
    """Asks the strategy of a search again, told what it was told then, and gives how its decisions compare.

    Args:
        plan: what was searched.
        steps: what the strategy was asked and told.
    """
    account, num_equal, other = plan.begin(), 0, None
    for step in steps:
        if step.action == "result":
            account.tell(result_of(step))
            continue
        action = _ask_again(account, step)
        if isinstance(action, _Other):
            other = action
            break
        num_equal += 1
    num_recorded = sum(step.action != "result" for step in steps)
    return _decisions("the search", num_recorded, num_equal, other, from_new_results=False)


def compare_decisions(original: Sequence[SearchStep], new: Sequence[SearchStep]) -> Decisions | None:
    """Gives how the decisions of two searches compare, one after the other; None where one of two runs is no search."""
    if not original or not new:
        return None
    then, now = ([recorded_decision(step) for step in steps if step.action != "result"] for steps in (original, new))
    pairs = zip_longest(then, now)
    num_equal = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(then, now, strict=False)))
    first = next(((one, other) for one, other in pairs if one != other), None)
    other = None if first is None else _Other(*("nothing" if each is None else each.to_text() for each in first))
    return _decisions("the search", len(then), num_equal, other, from_new_results=True)


class RepeatedSelections(Course):
    """Chooses the winners of a nested cross validation again."""

    def __init__(
        self,
        plan: NestedPlan,
        selections: Mapping[int, SelectionRecord],
        desk: Desk,
        *,
        num_experiments: int,
        settled: Container[int],
        failed: Container[int],
    ) -> None:
        """Begins anew.

        Args:
            plan: the experiments.
            selections: the winners then, by outer fold; those that are to be chosen again.
            desk: what it has of its driver.
            num_experiments: see `Course`.
            settled: see `Course`.
            failed: competitors that failed then; they are not run again, and have no score now either.
        """
        super().__init__(num_experiments, settled)
        self._plan = plan
        self._selections = selections
        self._desk = desk
        self._open = {
            fold: {number for number in plan.competitors(fold) if number not in failed} for fold in selections
        }
        self._equal: set[int] = set()
        self._other: _Other | None = None

    @property
    def decisions(self) -> Decisions:
        """How they compare so far."""
        num_recorded = len(self._selections)
        return _decisions(
            "the nested cross validation", num_recorded, len(self._equal), self._other, from_new_results=True
        )

    def ended(self, experiment_id: int, outcome: Outcome) -> None:
        """See `Course`."""
        fold = self._plan.outer_fold_of(experiment_id)
        if outcome == "succeeded" and experiment_id in self._open.get(fold, ()):
            self._open[fold].remove(experiment_id)
            if not self._open[fold]:
                self._choose(fold)

    def _choose(self, fold: int) -> None:
        selection = choose(self._plan, self._desk.journal.state, fold)
        self._desk.journal.emit(selection)
        then = self._selections[fold].configuration
        if selection.configuration == then:
            self._equal.add(fold)
        elif self._other is None:
            self._other = _Other(
                f"configuration {then} for outer fold {fold}", f"configuration {selection.configuration}"
            )
            self._desk.journal.note("warning", self.decisions.to_text())


def _ask_again(account: SearchAccount, step: SearchStep) -> Action | _Other:
    """Gives what a strategy decides now, where that is what it decided then."""
    number, then = len(account.configurations), recorded_decision(step)
    try:
        action = account.ask()
    except RunError as error:
        return _Other(then.to_text(), str(error))
    now = decision_of(action, number)
    return action if now == then else _Other(then.to_text(), now.to_text())


def _decisions(
    of: str, num_recorded: int, num_equal: int, other: _Other | None, *, from_new_results: bool
) -> Decisions:
    return Decisions(
        of=of,
        num_recorded=num_recorded,
        num_equal=num_equal,
        original=None if other is None else other.then,
        new=None if other is None else other.now,
        from_new_results=from_new_results,
    )


def _score_at(experiment: ExperimentState, selection: Selection, epochs: int | None) -> float | None:
    """Gives what an experiment would have been judged by, had it ended after so many epochs."""
    history = experiment.metrics.get(selection.metric)
    points = [] if history is None else [history[place] for place in range(len(history))]
    values = [point.value for point in points if epochs is None or point.epoch <= epochs]
    if selection.at == "best":
        numbers = [value for value in values if math.isfinite(value)]
        values = [(min if selection.best == "min" else max)(numbers)] if numbers else []
    return values[-1] if values and math.isfinite(values[-1]) else None


def _had_stopped(experiment: ExperimentState, epochs: int | None) -> bool:
    last = max(experiment.measured.epochs, default=0)
    return experiment.stop_reason is not None and (epochs is None or last <= epochs)
