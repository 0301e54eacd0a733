"""What a validation mode makes of a search space: the experiments of a run, by their numbers."""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlgym.config.forms import Sweep, Value
from mlgym.config.lazy_sequence import LazySequence
from mlgym.config.nodes import Mark
from mlgym.config.registry import Registry
from mlgym.config.space import Point, SearchSpace
from mlgym.config.tree import Tree
from mlgym.errors import Fault


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of an experiment before anything has run.

    Args:
        experiment_id: its number, from 0.
        trial: what it is for.
        swept: the swept values; None where others have to run before they are decided.
    """

    experiment_id: int
    trial: Mapping[str, Any]
    swept: Mapping[str, Any] | None


class Plan(LazySequence[Point]):
    """The experiments of a run; order and numbers depend on the config alone, and none is made before it is asked for.

    Attributes:
        notes: what is odd but not wrong, such as a component that nothing uses.
        warnings: what will make numbers hard to defend, such as selecting on test data.
        facts: the section `validation` with its defaults, and what follows from it; becomes part of `run_started`.
        swept_paths: the keys of everything that is swept, in the order of the grid.
    """

    def __init__(
        self, space: SearchSpace, num_experiments: int, facts: Mapping[str, Any], warnings: Sequence[Fault] = ()
    ) -> None:
        """Sets what is known of all experiments together.

        Args:
            space: what the config unfolds to.
            num_experiments: how many there are.
            facts: as the attribute; the number of configurations is among them.
            warnings: as the attribute.
        """
        self.notes = list(space.notes)
        self.warnings = list(warnings)
        self.facts = dict(facts)
        self.swept_paths = space.swept_paths
        self._num_experiments = num_experiments

    def point(self, number: int) -> Point:
        """Gives an experiment.

        Args:
            number: in [0, experiments).

        Raises:
            RunError: its config is not decided yet.
        """
        raise NotImplementedError

    def outline(self, number: int) -> Outline:
        """Gives what is known of an experiment before anything has run."""
        point = self.point(number)
        return Outline(number, point.trial, point.swept)

    def __len__(self) -> int:
        return self._num_experiments

    def item(self, index: int) -> Point:
        """Gives an experiment; counted from 0, and not from the end."""
        number = operator.index(index)
        if not 0 <= number < len(self):
            raise IndexError(f"there is no experiment {index}; there are {len(self)}, numbered from 0")
        return self.point(number)


@dataclass(frozen=True)
class ModeView:
    """What a mode is told of the config.

    Args:
        tree: what the config says.
        registry: the components.
        given: the section `validation` with the defaults of its mode, the seeds of components in it included.
        mark: where the section, or else the config, begins.
        marks: where each of its entries is written.
        scores: those that experiments will have, `split/metric`; None where only building them shows it.
    """

    tree: Tree
    registry: Registry
    given: Mapping[str, Any]
    mark: Mark
    marks: Mapping[str, Mark] = field(default_factory=dict)
    scores: frozenset[str] | None = None

    @property
    def seed(self) -> int | None:
        """The run's seed; None where it is swept, or wrong."""
        form = self.tree.follow(self.tree.seed)
        seed = form.value if isinstance(form, Value) else None
        return seed if type(seed) is int and seed >= 0 else None

    def fault(self, key: str, message: str) -> Fault:
        """Gives a fault of an entry of the section, at the section where it isn't written."""
        return self.marks.get(key, self.mark).fault(f"validation.{key}", message)


class Mode:
    """How a config unfolds into experiments; modes are registered in `VALIDATION_MODES`.

    The signature of its constructor is the schema of the section `validation`. This base gives each point once.
    """

    draws = False
    """Whether it takes sweeps over distributions."""

    def faults(self, view: ModeView) -> list[Fault]:
        """Gives what is wrong with the section in view of the rest of the config."""
        return [] if self.draws else undrawn(view.tree)

    def plan(self, view: ModeView, space: SearchSpace) -> Plan:
        """Gives the experiments.

        Args:
            view: a config without faults.
            space: its points.

        Raises:
            ConfigError: there would be too many.
        """
        return GridPlan(view, space)


class GridPlan(Plan):
    """Each point of a search space once."""

    def __init__(self, view: ModeView, space: SearchSpace) -> None:
        """Sets the points."""
        num_points = countable(view, space.num_points)
        super().__init__(space, num_points, {**view.given, "num_configurations": num_points})
        self._space = space

    def point(self, number: int) -> Point:
        """See `Plan.point`."""
        return self._space[number]


def countable(view: ModeView, num_experiments: int) -> int:
    """Gives a number of experiments back where a run can have so many.

    Raises:
        ConfigError: it cannot.
    """
    if num_experiments > sys.maxsize:
        message = f"the grid has {num_experiments:.3g} points; sweep over less"
        raise view.tree.experiment.mark.error("", message)
    return num_experiments


def undrawn(tree: Tree) -> list[Fault]:
    """Gives a fault for each distribution, for modes that go through all alternatives."""
    return [
        form.mark.fault(
            path,
            f"`{form.distribution.name}` has no end of values; draw from it with `mode: random_search` and "
            "`num_samples`, or give a list or a range",
        )
        for section, root in tree.sections()
        for path, form in tree.walk(root, section)
        if isinstance(form, Sweep) and form.distribution is not None
    ]
