"""The modes without folds: every point of the grid, or some drawn at random, each once or under several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from mlgym.config import Mode, ModeView, Plan, Point, SearchSpace
from mlgym.config.modes import VALIDATION_MODES
from mlgym.errors import Fault
from mlgym.validation.modes.seeds import Seeds, faults_of_seeds, seeds_of
from mlgym.validation.modes.select import Select, decision_of, faults_of_select, warnings_of_test
from mlgym.validation.modes.trials import TrialPlan

NumSamples = Annotated[int, Field(ge=1)]


@VALIDATION_MODES.register("grid_search")
class GridSearch(Mode):
    """Runs each point of the grid, on the splits as the config has them.

    Args:
        select: what decides between configurations; by default what early stopping or checkpoints follow.
        seeds: repeat each configuration under so many seeds, counted from the run's own, or under these. A split that
            is drawn with the run's seed is drawn anew under each; write a `seed` on it to keep it.
    """

    def __init__(self, *, select: Select | None = None, seeds: Seeds | None = None) -> None:
        self.select = select
        self.seeds = seeds

    def faults(self, view: ModeView) -> list[Fault]:
        """See `Mode`."""
        return [
            *super().faults(view),
            *faults_of_select(view, self.select, needed=False),
            *faults_of_seeds(view, self.seeds),
        ]

    def plan(self, view: ModeView, space: SearchSpace) -> Plan:
        """See `Mode`."""
        return _plan(self, view, space, None, 0)


@VALIDATION_MODES.register("random_search")
class RandomSearch(Mode):
    """Runs points drawn at random: from lists, all alternatives alike; from ranges; from distributions.

    A point depends on the seed and its number alone, not on how many there are or which worker runs it.

    Args:
        num_samples: how many, >= 1; all are different.
        seed: of the drawing, >= 0; the run's own unless given.
        select: what decides between configurations; by default what early stopping or checkpoints follow.
        seeds: repeat each configuration under so many seeds, counted from the run's own, or under these.

    Source: Bergstra and Bengio, Random search for hyper-parameter optimization, 2012.
    """

    draws = True

    def __init__(
        self,
        num_samples: NumSamples,
        *,
        seed: Annotated[int, Field(ge=0)],
        select: Select | None = None,
        seeds: Seeds | None = None,
    ) -> None:
        self.num_samples = num_samples
        self.seed = seed
        self.select = select
        self.seeds = seeds

    def faults(self, view: ModeView) -> list[Fault]:
        """See `Mode`."""
        return [*faults_of_select(view, self.select, needed=False), *faults_of_seeds(view, self.seeds)]

    def plan(self, view: ModeView, space: SearchSpace) -> Plan:
        """See `Mode`."""
        return _plan(self, view, space, self.num_samples, self.seed)


class _GridPlan(TrialPlan):
    """Configurations under their seeds."""

    def configured(self, point: Point, fold: int) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """See `TrialPlan`."""
        return point.config, {"role": "grid", "fold": None, "repeat": None}


def _plan(
    mode: GridSearch | RandomSearch, view: ModeView, space: SearchSpace, num_samples: int | None, seed: int
) -> Plan:
    decision = decision_of(view, mode.select)
    facts = {} if mode.select is None or decision is None else {"select": decision.facts}
    warnings = warnings_of_test(view, decision)
    seeds = seeds_of(view, mode.seeds)
    return _GridPlan(view, space, facts, warnings, seeds=seeds, num_samples=num_samples, seed=seed)
