"""Chooses the winners of a nested cross validation while it runs, and writes down why."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from typing import Any

from mlgym.errors import RunError
from mlgym.events import ExperimentConfig, JobStatus
from mlgym.execution.journal import Journal
from mlgym.execution.nested_source import NestedSource
from mlgym.execution.scheduler import Outcome
from mlgym.validation.choice import choose, refuse_unmeasured
from mlgym.validation.modes import NestedPlan


class NestedRun:
    """Looks after the outer folds of one driver.

    Attributes:
        source: gives the scheduler its experiments.
        num_unfit: fits that failed because their outer fold has no winner.
        error: why no winner can be chosen at all; None while all is well.
    """

    def __init__(
        self,
        plan: NestedPlan,
        settled: Container[int],
        journal: Journal,
        *,
        run_id: str,
        next_job_id: Callable[[], str],
        give_up: Callable[[], None],
    ) -> None:
        """Sets what is left to do.

        Args:
            plan: the experiments.
            settled: those that need not run.
            journal: has the results, takes the selections.
            run_id: the run.
            next_job_id: gives the id of a job that is about to be told of.
            give_up: ends the run.
        """
        self.source = NestedSource(plan, settled, self._decide)
        self.num_unfit = 0
        self.error: RunError | None = None
        self._plan = plan
        self._journal = journal
        self._run_id = run_id
        self._next_job_id = next_job_id
        self._give_up = give_up

    def ended(self, experiment_id: int, outcome: Outcome) -> None:
        """Takes note of the end of an experiment; one that was interrupted still has to be finished."""
        if outcome == "interrupted":
            return
        try:
            if outcome == "succeeded" and experiment_id in self._plan.competitors(self._fold_of(experiment_id)):
                refuse_unmeasured(self._plan, self._journal.state, experiment_id)
        except RunError as error:
            if self.error is None:
                self.error = error
                self._journal.note("error", str(error))
                self._give_up()
            return
        self.source.ended(experiment_id)

    def _fold_of(self, experiment_id: int) -> int:
        return self._plan.outer_fold_of(experiment_id)

    def _decide(self, outer_fold: int) -> bool:
        selection = choose(self._plan, self._journal.state, outer_fold)
        self._journal.emit(selection)
        if selection.configuration is not None:
            self._plan.decide(outer_fold, selection.configuration)
            return True
        error = (
            f"outer fold {outer_fold} has no winner: each of its {selection.num_configurations} configurations has "
            f"inner experiments without a value of `{selection.metric}` ({selection.num_failed} in all); "
            "`mlgym resume --retry-failed` tries them again"
        )
        for number in self._plan.fits(outer_fold):
            self._fail(number, error)
        return False

    def _fail(self, experiment_id: int, error: str) -> None:
        now = time.time()
        who: dict[str, Any] = {
            "grid_search_id": self._run_id,
            "experiment_id": experiment_id,
            "job_id": self._next_job_id(),
        }
        trial = dict(self._plan.outline(experiment_id).trial)
        self._journal.emit(ExperimentConfig(**who, config={}, trial=trial))
        self._journal.emit(JobStatus(**who, status="INIT"))
        self._journal.emit(JobStatus(**who, status="DONE", starting_time=now, finishing_time=now, error=error))
        self.num_unfit += 1
