"""Finding the sweeps that matter and the scope in which each does.

A sweep in a component that only some alternatives need belongs into these alternatives, so that the grid has no point
twice; one that is needed everywhere is an axis of the whole grid. One that some alternatives of several sweeps need is
an axis of what holds all of them: points in which none of these alternatives is taken are then equal but for its label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from mlgym.config.axes import Axis, Space
from mlgym.config.forms import Form, RangeForms, Reference, Sweep, Value, children
from mlgym.config.nodes import Path, show_path
from mlgym.config.tree import Tree
from mlgym.errors import ConfigError, Fault

Scope: TypeAlias = tuple[Axis, int] | None
"""Inside one alternative of an axis; None: at the top."""
Owner: TypeAlias = str | Axis
"""What holds sweeps and references: a named component, or an axis with its alternatives."""
_ROOT = ""


def find_space(tree: Tree) -> Space:
    """Gives the space of everything that the experiment and the seed need.

    Args:
        tree: a checked config: its references are known and without circles.

    Raises:
        ConfigError: sweeps of one zip group that differ in length or lie in different alternatives.
    """
    placement = _Placement(tree, _find_axes(tree))
    order = placement.order()
    for owner in order:
        placement.put(owner)
    for owner in reversed(order):
        if isinstance(owner, Axis):
            owner.close()
    placement.root.close()
    return placement.root


def _find_axes(tree: Tree) -> dict[Sweep, Axis]:
    sweeps = list(_needed_sweeps(tree))
    by_path = {sweep.origin: sweep for sweep in sweeps}
    groups: dict[tuple[str, object], list[Sweep]] = defaultdict(list)
    for sweep in sweeps:
        groups[("zip", sweep.group) if sweep.group else ("path", sweep.origin)].append(sweep)
    faults = [fault for members in groups.values() for fault in _check_group(members, by_path)]
    if faults:
        raise ConfigError(faults)
    return {sweep: axis for members in groups.values() for axis in [Axis(members)] for sweep in members}


def _needed_sweeps(tree: Tree) -> Iterator[Sweep]:
    pending: list[Form] = [tree.seed, tree.experiment]
    sweeps: set[Sweep] = set()
    names: set[str] = set()
    while pending:
        for _, form in tree.walk(pending.pop()):
            if isinstance(form, Sweep) and form not in sweeps:
                sweeps.add(form)
                yield form
            elif isinstance(form, Reference) and form.target.name not in names:
                names.add(form.target.name)
                pending.append(tree.components[form.target.name])


def _check_group(members: list[Sweep], by_path: dict[Path, Sweep]) -> Iterator[Fault]:
    first, *others = members
    for other in others:
        here, there = len(other.alternatives), len(first.alternatives)
        if here != there:
            lengths = f"this sweep has {here} alternatives, {_place(first)} has {there}"
            yield other.mark.fault(other.origin, f"zip group `{first.group}` needs equal lengths: {lengths}")
        elif _lexical_scope(other, by_path) != _lexical_scope(first, by_path):
            message = f"zip group `{first.group}` cannot join sweeps inside different alternatives"
            yield other.mark.fault(other.origin, f"{message}: this one and {_place(first)}")


def _place(sweep: Sweep) -> str:
    return f"`{show_path(sweep.origin)}` ({sweep.mark.place})"


def _lexical_scope(sweep: Sweep, by_path: dict[Path, Sweep]) -> object:
    """Gives the alternative that a sweep is written in, None where it is in none."""
    for i in range(len(sweep.origin) - 1, 0, -1):
        if sweep.origin[i - 1] == "sweep" and isinstance(sweep.origin[i], int):
            around = by_path.get(sweep.origin[: i - 1])
            name = around.group if around and around.group else sweep.origin[: i - 1]
            return name, sweep.origin[i]
    return None


@dataclass(slots=True)
class _Placement:
    """Goes from users to what they use and gathers, for each owner, the scopes in which it is used."""

    tree: Tree
    axes: dict[Sweep, Axis]
    root: Space = field(default_factory=Space)
    _scopes: dict[Owner, dict[Scope, None]] = field(default_factory=lambda: defaultdict(dict))
    _parents: dict[Axis, list[Scope]] = field(default_factory=dict)
    _depths: dict[Axis, int] = field(default_factory=dict)

    def order(self) -> list[Owner]:
        """Gives all owners, users before what they use; the root comes first."""
        done: dict[Owner, None] = {}
        open_owners: set[Owner] = set()
        stack: list[tuple[Owner, bool]] = [(_ROOT, False)]
        while stack:
            owner, is_ready = stack.pop()
            if is_ready:
                open_owners.discard(owner)
                done[owner] = None
            elif owner in open_owners:
                self._refuse_circle(owner)
            elif owner not in done:
                open_owners.add(owner)
                stack.append((owner, True))
                used = dict.fromkeys(target for _, target in self._uses(owner))
                stack.extend((target, False) for target in used if target not in done)
        return list(reversed(done))

    def _refuse_circle(self, owner: Owner) -> None:
        sweep = next(sweep for sweep, axis in self.axes.items() if axis is owner or axis.sweeps[0].group)
        raise sweep.mark.error(sweep.origin, f"zip group `{sweep.group}` and another one lie inside each other")

    def _uses(self, owner: Owner) -> Iterator[tuple[int | None, Owner]]:
        """Gives what an owner uses directly, each with the alternative that does (None: all do)."""
        if isinstance(owner, Axis):
            for sweep in owner.sweeps:
                if not isinstance(sweep.alternatives, RangeForms):
                    for i, alternative in enumerate(sweep.alternatives):
                        if not isinstance(alternative, Value):
                            yield from ((i, used) for used in self._direct(alternative))
        else:
            forms = [self.tree.seed, self.tree.experiment] if owner == _ROOT else [self.tree.components[owner]]
            yield from ((None, used) for form in forms for used in self._direct(form))

    def _direct(self, form: Form) -> Iterator[Owner]:
        pending = [form]
        while pending:
            form = self.tree.follow(pending.pop())
            if isinstance(form, Sweep):
                yield self.axes[form]
            elif isinstance(form, Reference):
                yield form.target.name
            else:
                pending.extend(child for _, child in children(form))

    def put(self, owner: Owner) -> None:
        """Places an owner and tells what it uses about its scopes."""
        scopes: list[Scope] = [None] if owner == _ROOT else self._common(self._scopes[owner])
        if isinstance(owner, Axis):
            self._parents[owner] = scopes
            self._depths[owner] = 1 + max(self._depths[scope[0]] if scope else 0 for scope in scopes)
            for scope in scopes:
                space = scope[0].spaces.setdefault(scope[1], Space()) if scope else self.root
                space.axes[owner] = None
        for alternative, used in self._uses(owner):
            if isinstance(owner, Axis) and alternative is not None:
                self._scopes[used][owner, alternative] = None
            else:
                self._scopes[used].update(dict.fromkeys(scopes))

    def _common(self, scopes: Iterable[Scope]) -> list[Scope]:
        """Gives the innermost scopes that hold all of `scopes`: some alternatives of one axis, or the top."""
        found: dict[Axis, set[int]] = defaultdict(set)
        pending = list(scopes)
        while True:
            for scope in pending:
                if scope is None:
                    return [None]
                found[scope[0]].add(scope[1])
            full = [axis for axis, used in found.items() if len(used) == axis.num_alternatives]
            if not full and len(found) == 1:
                return [(axis, i) for axis, used in found.items() for i in sorted(used)]
            lifted = full[0] if full else max(found, key=lambda axis: (self._depths[axis], axis.order))
            del found[lifted]
            pending = self._parents[lifted]
