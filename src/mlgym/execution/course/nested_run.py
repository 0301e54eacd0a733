"""Chooses the winners of a nested cross validation while it runs, and writes down why."""

from __future__ import annotations

import time
from collections.abc import Container
from typing import Any

from mlgym.errors import RunError
from mlgym.events import ExperimentConfig, JobStatus
from mlgym.execution.course.course import Course, Desk
from mlgym.execution.course.nested_source import NestedSource
from mlgym.execution.scheduler import Outcome
from mlgym.validation.choice import choose, refuse_unmeasured
from mlgym.validation.modes import NestedPlan


class NestedRun(Course):
    """Looks after the outer folds of one driver."""

    def __init__(self, plan: NestedPlan, settled: Container[int], desk: Desk) -> None:
        """Sets what is left to do.

        Args:
            plan: the experiments.
            settled: those that need not run.
            desk: what it has of its driver.
        """
        super().__init__(len(plan), settled)
        self._plan = plan
        self._desk = desk
        self._source = NestedSource(plan, settled, self._decide)

    def next_experiment(self) -> int | None:
        """See `Course`."""
        return self._source()

    def ended(self, experiment_id: int, outcome: Outcome) -> None:
        """See `Course`; an experiment that was interrupted still has to be finished."""
        if outcome == "interrupted":
            return
        try:
            if outcome == "succeeded" and experiment_id in self._plan.competitors(self._fold_of(experiment_id)):
                refuse_unmeasured(self._plan.decision, self._desk.journal.state, experiment_id)
        except RunError as error:
            if self.error is None:
                self.error = error
                self._desk.journal.note("error", str(error))
                self._desk.give_up()
            return
        self._source.ended(experiment_id)

    def _fold_of(self, experiment_id: int) -> int:
        return self._plan.outer_fold_of(experiment_id)

    def _decide(self, outer_fold: int) -> bool:
        selection = choose(self._plan, self._desk.journal.state, outer_fold)
        self._desk.journal.emit(selection)
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
            "grid_search_id": self._desk.run_id,
            "experiment_id": experiment_id,
            "job_id": self._desk.next_job_id(),
        }
        trial = dict(self._plan.outline(experiment_id).trial)
        self._desk.journal.emit(ExperimentConfig(**who, config={}, trial=trial))
        self._desk.journal.emit(JobStatus(**who, status="INIT"))
        self._desk.journal.emit(JobStatus(**who, status="DONE", starting_time=now, finishing_time=now, error=error))
        self.unfit.add(experiment_id)
