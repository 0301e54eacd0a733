"""What the nodes of a config mean: values, components (`use`), alternatives (`sweep`) and references (`$name`).

`read_forms` turns nodes into forms and reports every malformed one. The tree over the sections, which follows `$vars`,
is in `tree`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from mlgym.config.distributions import DISTRIBUTIONS, DistributionValues
from mlgym.config.lazy_sequence import LazySequence
from mlgym.config.nodes import (
    ListNode,
    MapNode,
    Mark,
    Node,
    Path,
    PlainScalar,
    Scalar,
    shorten,
    to_plain,
)
from mlgym.config.references import ComponentName, FactName, VarName, is_reference, parse_reference, unescaped
from mlgym.errors import Fault
from mlgym.names import did_you_mean

MAX_RANGE: Final = 1_000_000
"""Largest number of values of one range."""
_RANGE_KEYS: Final = ("start", "stop", "num", "scale")


@dataclass(frozen=True, eq=False, slots=True)
class Form:
    """Base of the forms.

    Args:
        mark: where a reader finds it: the key of a mapping's value, else the value itself.
        origin: key path where it is written; differs from where it is used for what stands in `vars`.
    """

    mark: Mark
    origin: Path


@dataclass(frozen=True, eq=False, slots=True)
class Value(Form):
    """A scalar; `written` still has its `$$`."""

    written: PlainScalar

    @property
    def value(self) -> PlainScalar:
        """The scalar that is meant."""
        return unescaped(self.written) if isinstance(self.written, str) else self.written


@dataclass(frozen=True, eq=False, slots=True)
class Items(Form):
    """A list."""

    items: tuple[Form, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Entries(Form):
    """A mapping that is plain data."""

    entries: Mapping[str, Form]


@dataclass(frozen=True, eq=False, slots=True)
class Use(Form):
    """A component: the name it is registered as and its parameters; `name_mark` is where `use` is written."""

    name: str
    params: Mapping[str, Form]
    name_mark: Mark
    name_path: Path


@dataclass(frozen=True, eq=False, slots=True)
class Sweep(Form):
    """Alternatives; sweeps of one `group` move together. `origin` tells one sweep from another."""

    alternatives: Sequence[Form]
    group: str | None

    @property
    def distribution(self) -> DistributionValues | None:
        """What to draw from; None where the alternatives can be listed."""
        values = self.alternatives.values if isinstance(self.alternatives, RangeForms) else None
        return values if isinstance(values, DistributionValues) else None

    @property
    def is_of_names(self) -> bool:
        """Whether it stands behind `use`: components that differ in their name and share their parameters."""
        return self.origin[-1] == "use"

    def steps(self, index: int) -> Path:
        """Gives the key path from the swept thing to an alternative of it."""
        return () if self.is_of_names else ("sweep", index)


@dataclass(frozen=True, eq=False, slots=True)
class Reference(Form):
    """A component by name, or one of its outputs."""

    target: ComponentName


@dataclass(frozen=True, eq=False, slots=True)
class VarReference(Form):
    """A value of `vars`; stands for what is written there."""

    target: VarName


@dataclass(frozen=True, eq=False, slots=True)
class FactReference(Form):
    """A fact that the runner gives."""

    target: FactName


@dataclass(frozen=True, eq=False, slots=True)
class Hole(Form):
    """Something malformed that is reported already; fits everywhere, so that one mistake is one message."""


class RangeValues(LazySequence[PlainScalar]):
    """The numbers of a range, made when asked for; ints where all of them are integral and start and stop are ints."""

    def __init__(self, start: int | float, stop: int | float, num: int, *, log: bool = False) -> None:
        """Sets the range.

        Args:
            start: first value; > 0 where `log`.
            stop: last value, included; > 0 where `log`.
            num: number of values, >= 1.
            log: equal ratios instead of equal steps.
        """
        self._start, self._stop, self._num, self._log = start, stop, num, log
        self._integral = False
        self._integral = isinstance(start, int) and isinstance(stop, int) and self._stays_integral()

    def _stays_integral(self) -> bool:
        if self._log:
            return all(self._number(i) == int(self._number(i)) for i in range(self._num))
        return (self._stop - self._start) % max(self._num - 1, 1) == 0

    def __len__(self) -> int:
        return self._num

    def item(self, index: int) -> PlainScalar:
        """Gives a value by its place."""
        number = self._number(range(self._num)[index])
        return int(number) if self._integral else float(number)

    def corners(self) -> list[PlainScalar]:
        """Gives the values by which all are judged: every one of them."""
        return list(self)

    def __iter__(self) -> Iterator[PlainScalar]:
        cast = int if self._integral else float
        return (cast(self._number(i)) for i in range(self._num))

    def _number(self, index: int) -> int | float:
        if index == 0:
            return self._start
        if index == self._num - 1:
            return self._stop
        if self._log:
            ratio = index / (self._num - 1)
            number = math.exp(math.log(self._start) * (1 - ratio) + math.log(self._stop) * ratio)
        else:
            if self._integral:
                return self._start + (self._stop - self._start) * index // (self._num - 1)
            number = self._start + (self._stop - self._start) * index / (self._num - 1)
        # 0.30000000000000004 would become part of tables and file names.
        return float(f"{number:.12g}")


@dataclass(frozen=True, eq=False)
class RangeForms(LazySequence[Form]):
    """The alternatives of a range or distribution as forms, made when asked for."""

    mark: Mark
    origin: Path
    values: RangeValues | DistributionValues

    def __len__(self) -> int:
        return len(self.values)

    def item(self, index: int) -> Form:
        """Gives an alternative by its place."""
        return Value(self.mark, (*self.origin, "sweep", index), self.values[index])


Faults: TypeAlias = list[Fault]


@dataclass(slots=True)
class FormReader:
    """Turns nodes into forms; collects what is malformed in `faults`."""

    faults: Faults = field(default_factory=list)

    def read(self, node: Node, mark: Mark, path: Path) -> Form:
        """Gives the form of a node.

        Args:
            node: the node.
            mark: where a reader finds it.
            path: its key path.
        """
        match node:
            case Scalar():
                return self._scalar(node, mark, path)
            case ListNode():
                items = (self.read(item, item.mark, (*path, i)) for i, item in enumerate(node.items))
                return Items(mark, path, tuple(items))
            case MapNode() if "sweep" in node.entries:
                return self._sweep(node, mark, path)
            case MapNode() if "use" in node.entries:
                return self._use(node, mark, path)
            case MapNode():
                return Entries(mark, path, self._entries(node, path))

    def _entries(self, node: MapNode, path: Path) -> dict[str, Form]:
        return {key: self.read(entry.value, entry.mark, (*path, key)) for key, entry in node.entries.items()}

    def _hole(self, mark: Mark, path: Path, message: str) -> Hole:
        self.faults.append(mark.fault(path, message))
        return Hole(mark, path)

    def _scalar(self, node: Scalar, mark: Mark, path: Path) -> Form:
        if not isinstance(node.value, str) or not is_reference(node.value):
            return Value(mark, path, node.value)
        try:
            target = parse_reference(node.value)
        except ValueError as error:
            return self._hole(mark, path, str(error))
        match target:
            case ComponentName():
                return Reference(mark, path, target)
            case VarName():
                return VarReference(mark, path, target)
            case FactName():
                return FactReference(mark, path, target)

    def _use(self, node: MapNode, mark: Mark, path: Path) -> Form:
        use = node.entries["use"]
        params = {key: form for key, form in self._entries(node, path).items() if key != "use"}
        if isinstance(use.value, MapNode) and "sweep" in use.value.entries:
            return self._sweep_of_names(use.value, use.mark, path, params)
        return self._component(use.value, use.mark, (*path, "use"), mark, path, params)

    def _component(
        self, name: Node, name_mark: Mark, name_path: Path, mark: Mark, path: Path, params: Mapping[str, Form]
    ) -> Form:
        if isinstance(name, Scalar) and isinstance(name.value, str) and not is_reference(name.value):
            return Use(mark, path, name.value, params, name_mark, name_path)
        shown = shorten(str(to_plain(name)))
        return self._hole(name_mark, name_path, f"`use` takes the name of a component, got {shown}")

    def _sweep_of_names(self, node: MapNode, mark: Mark, path: Path, params: Mapping[str, Form]) -> Form:
        """`{use: {sweep: [adam, sgd]}, lr: 0.1}`: components that differ in their name alone."""
        name_path = (*path, "use")
        names = self._alternatives(node, mark, name_path)
        listed = node.entries["sweep"]
        if isinstance(names, Hole):
            return names
        if not isinstance(listed.value, ListNode):
            return self._hole(listed.mark, (*name_path, "sweep"), "names of components have no range; write a list")
        alternatives = tuple(
            self._component(name, name.mark, (*name_path, "sweep", i), mark, path, params)
            for i, name in enumerate(listed.value.items)
        )
        return Sweep(mark, name_path, alternatives, self._group(node, name_path))

    def _sweep(self, node: MapNode, mark: Mark, path: Path) -> Form:
        alternatives = self._alternatives(node, mark, path)
        if isinstance(alternatives, Hole):
            return alternatives
        return Sweep(mark, path, alternatives, self._group(node, path))

    def _group(self, node: MapNode, path: Path) -> str | None:
        group = node.entries.get("zip")
        if group is None:
            return None
        if isinstance(group.value, Scalar) and isinstance(group.value.value, str) and group.value.value:
            return group.value.value
        self.faults.append(group.mark.fault((*path, "zip"), "`zip` takes the name of a group, such as `zip: a`"))
        return None

    def _alternatives(self, node: MapNode, mark: Mark, path: Path) -> Sequence[Form] | Hole:
        for key, entry in node.entries.items():
            if key not in {"sweep", "zip"}:
                message = (
                    f"`{key}` cannot stand beside `sweep`; only `zip` can, everything else goes into the alternatives"
                )
                swept = node.entries["sweep"].value
                if isinstance(swept, MapNode) and (name := next(iter(swept.entries), None)) not in (None, *_RANGE_KEYS):
                    message += f"; for alternatives of `{name}` write `{name}: {{sweep: [...]}}`"
                return self._hole(entry.mark, (*path, key), message)
        entry = node.entries["sweep"]
        match entry.value:
            case ListNode(items=()):
                return self._hole(entry.mark, (*path, "sweep"), "a sweep needs at least one alternative")
            case ListNode(items=items):
                return tuple(self.read(item, item.mark, (*path, "sweep", i)) for i, item in enumerate(items))
            case MapNode(entries=entries) if any(name in entries for name in DISTRIBUTIONS):
                return self._distribution(entry.value, entry.mark, path)
            case MapNode():
                return self._range(entry.value, entry.mark, path)
        message = (
            "`sweep` takes a list of alternatives, a range {start, stop, num, scale}, or a distribution such as "
            "{log_uniform: [1e-4, 1e-1]}"
        )
        return self._hole(entry.mark, (*path, "sweep"), f"{message}, got {shorten(str(entry.value.value))}")

    def _range(self, node: MapNode, mark: Mark, path: Path) -> Sequence[Form] | Hole:
        where = (*path, "sweep")
        for key, entry in node.entries.items():
            if key not in _RANGE_KEYS:
                known = (*_RANGE_KEYS, *DISTRIBUTIONS)
                return self._hole(entry.mark, (*where, key), f"a range has no `{key}`{did_you_mean(key, known)}")
        missing = [key for key in ("start", "stop", "num") if key not in node.entries]
        if missing:
            return self._hole(mark, where, f"a range needs {', '.join(f'`{key}`' for key in missing)} too")
        numbers = {key: to_plain(node.entries[key].value) for key in node.entries}
        for key, entry in node.entries.items():
            complaint = _range_complaint(key, numbers)
            if complaint:
                return self._hole(entry.mark, (*where, key), f"{complaint}, got {shorten(str(numbers[key]))}")
        if not math.isfinite(float(numbers["stop"]) - float(numbers["start"])):
            return self._hole(mark, where, "a range cannot span so much; take a smaller `stop`")
        values = RangeValues(numbers["start"], numbers["stop"], numbers["num"], log=numbers.get("scale") == "log")
        return RangeForms(mark, path, values)

    def _distribution(self, node: MapNode, mark: Mark, path: Path) -> Sequence[Form] | Hole:
        where = (*path, "sweep")
        if len(node.entries) > 1:
            names = ", ".join(f"`{key}`" for key in node.entries)
            return self._hole(mark, where, f"a distribution stands alone: one of {names}")
        ((name, entry),) = node.entries.items()
        numbers = to_plain(entry.value)
        complaint = DistributionValues.complaint(name, numbers)
        if complaint:
            return self._hole(entry.mark, (*where, name), f"{complaint}, got {shorten(str(numbers))}")
        return RangeForms(mark, path, DistributionValues(name, *numbers))


def _range_complaint(key: str, numbers: Mapping[str, Any]) -> str | None:
    value = numbers[key]
    if key == "scale":
        return None if value in ("linear", "log") else "`scale` is `linear` or `log`"
    if key == "num":
        fits = type(value) is int and 1 <= value <= MAX_RANGE
        return None if fits else f"`num` must be a whole number from 1 to {MAX_RANGE:,}"
    if type(value) not in (int, float):
        return f"`{key}` must be a number"
    return f"`{key}` must be greater than 0 on a log scale" if numbers.get("scale") == "log" and value <= 0 else None


def children(form: Form) -> Iterator[tuple[Path, Form]]:
    """Gives what lies directly inside a form, with the steps that lead there; the numbers of a range are left out."""
    match form:
        case Items():
            yield from (((i,), item) for i, item in enumerate(form.items))
        case Entries():
            yield from (((key,), entry) for key, entry in form.entries.items())
        case Use():
            yield from (((key,), entry) for key, entry in form.params.items())
        case Sweep() if not isinstance(form.alternatives, RangeForms):
            yield from ((form.steps(i), alternative) for i, alternative in enumerate(form.alternatives))
