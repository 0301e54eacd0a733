"""A search in its driver: asks the strategy when a slot is free, tells it what came out, and writes both down."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, TypeAlias

from mlgym.errors import RunError
from mlgym.events import ExperimentState, SearchDecision, SearchResult
from mlgym.execution.course.course import Course, Desk
from mlgym.execution.scheduler import Outcome
from mlgym.validation.choice import refuse_unmeasured
from mlgym.validation.modes import SearchPlan
from mlgym.validation.search import Action, Finish, Promote, Result, Stop, Try, Wait
from mlgym.validation.statistics import mean_of

_Name: TypeAlias = Literal["try", "promote", "stop", "finish"]


class SearchRun(Course):
    """The course of a search; goes on where the log says that it was."""

    def __init__(self, plan: SearchPlan, desk: Desk) -> None:
        """Takes up the search.

        Args:
            plan: its trials, as far as the log has them.
            desk: what it has of its driver.

        Raises:
            RunError: the strategy does not decide what the log says that it did.
        """
        super().__init__(0, ())
        self._plan = plan
        self._desk = desk
        self._account = plan.begin(desk.journal.state.search)
        self._ready: deque[int] = deque()
        self._open: dict[int, set[int]] = {}
        self._waits = False
        for trial in list(self._account.running):
            self._send(trial)

    def next_experiment(self) -> int | None:
        """See `Course`."""
        while not (self._ready or self._waits or self._account.is_over or self.error):
            try:
                self._take(self._account.ask())
            except RunError as error:
                self._give_up(error)
        return self._ready.popleft() if self._ready else None

    def until_epoch(self, experiment_id: int) -> int | None:
        """See `Course`."""
        return self._account.running[self._plan.trial_of(experiment_id)]

    def ended(self, experiment_id: int, outcome: Outcome) -> None:
        """See `Course`; an experiment that was interrupted still has to come to where it was to."""
        if outcome == "interrupted":
            return
        try:
            if outcome == "succeeded":
                refuse_unmeasured(self._plan.decision, self._desk.journal.state, experiment_id)
        except RunError as error:
            self._give_up(error)
            return
        trial = self._plan.trial_of(experiment_id)
        self._open[trial].discard(experiment_id)
        if not self._open[trial]:
            self._tell(trial)

    def _send(self, trial: int) -> None:
        """Has the experiments of a trial run to where it is to come; those that are there already need not."""
        numbers = self._plan.experiments(trial)
        self._open[trial] = {number for number in numbers if not self._has_come(number)}
        self._ready.extend(sorted(self._open[trial]))
        if not self._open[trial]:
            self._tell(trial)

    def _has_come(self, experiment_id: int) -> bool:
        experiment = self._desk.journal.state.experiments.get(experiment_id)
        if experiment is None or experiment.status not in ("done", "failed"):
            return False
        # One that was done with fewer epochs has not begun with these; one that stopped early has come to its end.
        is_there = experiment.until_epoch == self.until_epoch(experiment_id)
        return is_there or experiment.status == "failed" or experiment.stop_reason is not None

    def _take(self, action: Action) -> None:
        """Writes a decision down, then does it."""
        match action:
            case Wait():
                self._waits = True
            case Try():
                point = self._plan.take(action.configuration)
                self._decided(
                    "try", point.experiment_id, action, choices=dict(action.configuration), parameters=point.swept
                )
                self._send(point.experiment_id)
            case Promote():
                self._decided("promote", action.trial, action, score=self._account.scores.get(action.trial))
                self._send(action.trial)
            case Stop():
                self._decided("stop", action.trial, action, score=self._account.scores.get(action.trial))
            case Finish():
                self._plan.close()
                self._decided("finish", None, action)

    def _decided(self, name: _Name, trial: int | None, action: Try | Promote | Stop | Finish, **facts: Any) -> None:
        self._desk.journal.emit(
            SearchDecision(
                grid_search_id=self._desk.run_id,
                experiment_id=None if trial is None else self._plan.experiments(trial)[0],
                action=name,
                trial=trial,
                epochs=getattr(action, "epochs", None),
                rung=getattr(action, "rung", None),
                reason=action.reason,
                **facts,
            )
        )

    def _tell(self, trial: int) -> None:
        """Writes a result down, then tells the strategy of it."""
        result = self._result(trial)
        self._desk.journal.emit(
            SearchResult(
                grid_search_id=self._desk.run_id,
                experiment_id=self._plan.experiments(trial)[0],
                trial=trial,
                epochs=result.epochs,
                score=result.score,
                state=result.state,
            )
        )
        self._account.tell(result)
        self._waits = False

    def _result(self, trial: int) -> Result:
        state, epochs = self._desk.journal.state, self._account.running[trial]
        experiments = [state.experiments[number] for number in self._plan.experiments(trial)]
        if any(one.status == "failed" for one in experiments):
            return Result(trial=trial, epochs=epochs, score=None, state="failed")
        scores = [score for one in experiments if (score := self._score(one)) is not None]
        return Result(
            trial=trial,
            epochs=epochs,
            score=mean_of(scores) if len(scores) == len(experiments) else None,
            state=self._account.state_of(epochs, stopped_early=all(one.stop_reason is not None for one in experiments)),
        )

    def _score(self, experiment: ExperimentState) -> float | None:
        point = self._plan.decision.selection.point_of(experiment)
        return None if point is None else point.value

    def _give_up(self, error: RunError) -> None:
        if self.error is None:
            self.error = error
            self._desk.journal.note("error", str(error))
            self._desk.give_up()
