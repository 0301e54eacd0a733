"""The search space as a strategy sees it: named parameters with numbered values, some of which matter only at times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from mlgym.config import SearchSpace
from mlgym.config.axes import Axis, Choices
from mlgym.config.distributions import DistributionValues
from mlgym.config.forms import Form, Items, Sweep, Use, Value
from mlgym.config.nodes import show_path
from mlgym.errors import RunError

MAX_SHOWN: Final = 20
"""Further values of a parameter are not shown."""
Configuration: TypeAlias = Mapping[str, int]
"""A point of the search space: for each parameter that matters there, by its name, the number of its value."""


@dataclass(frozen=True, eq=False, slots=True)
class Parameter:
    """Something that is swept.

    Args:
        name: where it is written, such as `components.optimizer.lr`; no two have the same.
        key: its short name in tables, such as `optimizer.lr`.
        num_values: how many values there are; those of a distribution are equally probable, and over a million.
        is_ordered: whether the values are numbers, from the smallest to the largest or the other way round.
        is_conditional: whether it matters only where others have certain values.
        distribution: what the values are drawn from; None where they are listed.
        shown: the first of the listed values as people know them, at most `MAX_SHOWN`.
    """

    name: str
    key: str
    num_values: int
    is_ordered: bool
    is_conditional: bool
    distribution: DistributionValues | None
    shown: tuple[Any, ...] = ()


class Parameters:
    """All parameters of a search space, those that matter only at times after those that they depend on.

    Attributes:
        num_points: how many configurations there are.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Takes the search space of a config."""
        self.num_points = space.num_points
        self._space = space
        always = space.unconditional
        self._by_axis = {axis: _parameter(space, axis, is_conditional=axis not in always) for axis in space.axes}
        self._all = tuple(self._by_axis.values())

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._all)

    def configure(self, choose: Callable[[Parameter], int]) -> Configuration:
        """Gives a configuration, chosen one by one.

        Args:
            choose: gives the number of the value of a parameter, from 0; asked for those that matter, given the ones
                before.
        """
        return self._named(self._space.draw(lambda axis: choose(self._by_axis[axis])))

    def at(self, index: int) -> Configuration:
        """Gives a configuration by its place in the grid."""
        return self._named(self._space.decode(index))

    def choices(self, configuration: Configuration) -> Choices:
        """Gives a configuration as the search space takes it; parameters that do not matter in it are passed over.

        Raises:
            RunError: a parameter that matters has no value, or one that there is not.
        """

        def alternative(axis: Axis) -> int:
            parameter = self._by_axis[axis]
            place = configuration.get(parameter.name)
            if type(place) is not int or not 0 <= place < parameter.num_values:
                raise RunError(
                    f"the strategy of the search gave `{parameter.name}` the value number {place}, but it has values "
                    f"0 to {parameter.num_values - 1}"
                )
            return place

        return self._space.draw(alternative)

    def _named(self, choices: Choices) -> Configuration:
        return {self._by_axis[axis].name: place for axis, place in choices.items()}


def name_of(axis: Axis) -> str:
    """Gives the name of the parameter behind an axis: the first of the places where its sweeps are written."""
    return min(show_path(sweep.origin) for sweep in axis.sweeps)


def _parameter(space: SearchSpace, axis: Axis, *, is_conditional: bool) -> Parameter:
    sweep = axis.sweeps[0]
    return Parameter(
        name=name_of(axis),
        key=space.key(axis),
        num_values=axis.num_alternatives,
        is_ordered=_is_ordered(sweep),
        is_conditional=is_conditional,
        distribution=sweep.distribution,
        shown=() if sweep.distribution is not None else tuple(map(_shown, sweep.alternatives[:MAX_SHOWN])),
    )


def _shown(form: Form) -> Any:
    match form:
        case Value():
            return form.value
        case Use():
            return form.name
        case Items():
            return [_shown(item) for item in form.items]
    return "..."


def _is_ordered(sweep: Sweep) -> bool:
    if not isinstance(sweep.alternatives, tuple | list):
        return True  # a range or a distribution
    numbers: list[Any] = [form.value for form in sweep.alternatives if isinstance(form, Value)]
    if len(numbers) < len(sweep.alternatives) or any(type(number) not in (int, float) for number in numbers):
        return False
    return numbers in (sorted(numbers), sorted(numbers, reverse=True))
