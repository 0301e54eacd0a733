"""Plans of which some experiments are decided while others run."""

from __future__ import annotations

import abc
from typing import ClassVar

from mlgym.config import Point
from mlgym.events import RunState
from mlgym.validation.modes.trials import TrialPlan


class DecidingPlan(TrialPlan, abc.ABC):
    """A plan whose further experiments follow from the results of those before them."""

    procedure: ClassVar[str]
    """What it is called in a sentence, such as `a search`."""
    closed_because: ClassVar[str]
    """Why a result may count no more."""

    @abc.abstractmethod
    def recall(self, state: RunState) -> None:
        """Takes over what the log of a run says was decided."""

    @abc.abstractmethod
    def is_closed(self, number: int) -> bool:
        """Says whether what an experiment competed for is decided, so that its result counts no more."""

    @abc.abstractmethod
    def example(self) -> Point:
        """Gives a point like those that will be run, before anything is decided."""
