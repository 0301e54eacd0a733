"""Which experiment comes next, and what follows from how one ended: in their order, or as results decide.

The driver asks and tells; what decides is in `nested_run` and `search_run`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from mlgym.errors import RunError
from mlgym.execution.journal import Journal
from mlgym.execution.scheduler import Outcome, in_order


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What a course has of its driver.

    Args:
        run_id: the run.
        journal: has the results, takes what is decided.
        next_job_id: gives the id of a job that is about to be told of.
        give_up: ends the run.
    """

    run_id: str
    journal: Journal
    next_job_id: Callable[[], str]
    give_up: Callable[[], None]


class Course:
    """The course of a run whose experiments do not depend on each other.

    Attributes:
        error: why the run had to end; None while all is well.
        unfit: experiments that failed without a job, because what they depend on did not come about.
    """

    def __init__(
        self, num_experiments: int, settled: Container[int], until_epochs: Mapping[int, int | None] | None = None
    ) -> None:
        """Sets what is left to do.

        Args:
            num_experiments: how many there are.
            settled: those that need not run.
            until_epochs: after how many epochs experiments end where these are not all of their configs.
        """
        self.error: RunError | None = None
        self.unfit: set[int] = set()
        self._until_epochs = until_epochs or {}
        self._next = in_order(num_experiments, settled)

    def next_experiment(self) -> int | None:
        """Gives the next experiment; None where all that are left wait for others, and where none are left."""
        return self._next()

    def until_epoch(self, experiment_id: int) -> int | None:
        """Gives after how many epochs an experiment is to end; None for all of its config."""
        return self._until_epochs.get(experiment_id)

    def ended(self, experiment_id: int, outcome: Outcome) -> None:
        """Takes note of the end of an experiment, once it is written down."""


class OwnCourse(abc.ABC):
    """Experiments that bring a course of their own."""

    @abc.abstractmethod
    def course(self, settled: Container[int], desk: Desk) -> Course:
        """Gives it.

        Args:
            settled: experiments that need not run.
            desk: what it has of its driver.
        """
