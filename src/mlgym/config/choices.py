"""Which alternatives go together in one experiment: sweeps of one group move together, a sweep used twice is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from mlgym.config.forms import Entries, Form, Items, Sweep, Value
from mlgym.config.nodes import Path
from mlgym.config.tree import Tree

Choices: TypeAlias = Mapping[Any, int]
"""The alternative that was taken of each sweep on the way, by what tells one sweep from another."""


def go_together(one: Choices, other: Choices) -> bool:
    """Says whether there is an experiment in which both sets of alternatives are taken."""
    return all(one[sweep] == other[sweep] for sweep in one.keys() & other.keys())


def taken_of(sweep: Sweep, choices: Choices) -> Iterator[tuple[int, Choices]]:
    """Yields each alternative that is still open, with the choices that it adds to."""
    key = sweep.group or sweep.origin
    for number in range(len(sweep.alternatives)):
        if choices.get(key, number) == number:
            yield number, {**choices, key: number}


def alternatives_of(tree: Tree, form: Form, path: Path, choices: Choices) -> Iterator[tuple[Path, Choices, Form]]:
    """Yields what a form can be, with its key path and the choices that lead there; distributions are left out."""
    form = tree.follow(form)
    if not isinstance(form, Sweep):
        yield path, choices, form
    elif form.distribution is None:
        for number, taken in taken_of(form, choices):
            yield from alternatives_of(tree, form.alternatives[number], (*path, *form.steps(number)), taken)


def values_of(tree: Tree, form: Form, choices: Choices) -> Iterator[tuple[Any, Choices]]:
    """Yields the plain values that a form has in experiments; none where a part of it is no plain value."""
    for _, taken, one in alternatives_of(tree, form, (), choices):
        match one:
            case Value():
                yield one.value, taken
            case Entries():
                for values, further in _values_of_all(tree, list(one.entries.values()), taken):
                    yield dict(zip(one.entries, values, strict=True)), further
            case Items():
                yield from _values_of_all(tree, one.items, taken)


def _values_of_all(tree: Tree, forms: Sequence[Form], choices: Choices) -> Iterator[tuple[list[Any], Choices]]:
    if not forms:
        yield [], choices
        return
    for first, taken in values_of(tree, forms[0], choices):
        for others, further in _values_of_all(tree, forms[1:], taken):
            yield [first, *others], further
