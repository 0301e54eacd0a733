"""The order in which named components need each other, and circles among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlgym.config.forms import Use
from mlgym.config.nodes import Mark, Path
from mlgym.config.tree import Tree
from mlgym.errors import Fault


@dataclass(frozen=True, slots=True)
class Need:
    """One component needs another.

    Args:
        user: name of the component that refers.
        target: name of the one referred to.
        mark: where it does.
        path: key path of the reference.
    """

    user: str
    target: str
    mark: Mark
    path: Path


def needs_of(tree: Tree) -> dict[str, list[Need]]:
    """Gives what each named component needs directly, in all alternatives; unknown names are left out."""
    return {
        name: [
            Need(name, reference.target.name, reference.mark, path)
            for path, reference in tree.references(form, ("components", name))
            if reference.target.name in tree.components
        ]
        for name, form in tree.components.items()
    }


def find_circles(needs: Mapping[str, list[Need]]) -> list[Fault]:
    """Gives a fault for each circle of components, with the ring and where each step of it is written."""
    return [_fault(ring) for ring in _rings(needs)]


def _fault(ring: list[Need]) -> Fault:
    first = min(range(len(ring)), key=lambda i: (ring[i].mark.source.order, ring[i].mark.line, ring[i].mark.column))
    ring = ring[first:] + ring[:first]
    steps = " -> ".join(f"{need.user} ({need.mark.place})" for need in ring)
    message = f"components need each other in a circle: {steps} -> {ring[0].user}"
    return ring[0].mark.fault(ring[0].path, message)


def _rings(needs: Mapping[str, list[Need]]) -> list[list[Need]]:
    """Depth first, without recursion: the chain of components may be long."""
    rings: list[list[Need]] = []
    done: set[str] = set()
    for root in needs:
        trail: list[Need] = []
        on_trail = {root: 0}
        pending = [iter(needs[root] if root not in done else ())]
        while pending:
            need = next(pending[-1], None)
            if need is None:
                pending.pop()
                left = trail.pop().target if trail else root
                on_trail.pop(left, None)
                done.add(left)
            elif need.target in on_trail:
                rings.append([*trail[on_trail[need.target] :], need])
            elif need.target not in done:
                trail.append(need)
                on_trail[need.target] = len(trail)
                pending.append(iter(needs[need.target]))
    return rings


def build_order(needs: Mapping[str, list[Need]], roots: Iterable[str]) -> list[str]:
    """Gives the components that `roots` need, each after those that it needs itself; there must be no circles."""
    order: dict[str, None] = {}
    stack = [(name, False) for name in roots]
    while stack:
        name, is_ready = stack.pop()
        if is_ready:
            order.setdefault(name)
        elif name not in order:
            stack.append((name, True))
            stack.extend((need.target, False) for need in needs[name] if need.target not in order)
    return list(order)


def used_components(tree: Tree) -> frozenset[str]:
    """Gives the components that the experiment needs in some alternative; there must be no circles."""
    roots = [reference.target.name for _, reference in tree.references(tree.experiment)]
    return frozenset(build_order(needs_of(tree), [name for name in roots if name in tree.components]))


def used_forms(tree: Tree) -> Iterator[tuple[Path, Use]]:
    """Yields each component that the experiment needs in some alternative, nested ones too; see `used_components`."""
    used = used_components(tree)
    for path, section in tree.sections():
        if path[0] != "components" or path[1] in used:
            yield from ((where, form) for where, form in tree.walk(section, path) if isinstance(form, Use))
