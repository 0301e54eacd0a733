"""References that a config leaves out because they follow from the rest of it.

A model that takes its sizes from the data it will see has a parameter marked with `Follows`; where a named component
does not give it, it becomes the reference that stands at that place. The config of each experiment says so, like any
default.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass

from mlgym.config.forms import Form, Reference, Sweep, Use
from mlgym.config.kinds import marks_of
from mlgym.config.registry import Registry
from mlgym.config.signature import signature_of
from mlgym.config.tree import Tree
from mlgym.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Follows:
    """Marks a parameter that follows from another part of the config: `Annotated[Loader | None, Follows(...)] = None`.

    Args:
        path: where the reference stands, such as `experiment.trainer.loader`; named components on the way are entered.
    """

    path: str


def imply_references(tree: Tree, registry: Registry) -> None:
    """Fills in what follows, in every named component that leaves it out; what cannot be found stays out."""
    for form in tree.components.values():
        for use in _alternatives(tree, form):
            _complete(use, tree, registry)


def _alternatives(tree: Tree, form: Form) -> Iterator[Use]:
    form = tree.follow(form)
    if isinstance(form, Use):
        yield form
    elif isinstance(form, Sweep):
        for alternative in form.alternatives:
            yield from _alternatives(tree, alternative)


def _complete(use: Use, tree: Tree, registry: Registry) -> None:
    for name, follows in _following(use.name, registry):
        target = _find(tree, follows.path)
        if name not in use.params and target is not None:
            # The parameters of a form are its own dict, made when the tree was read.
            typing.cast("dict[str, Form]", use.params)[name] = Reference(use.mark, use.origin, target.target)


def _following(component: str, registry: Registry) -> Iterator[tuple[str, Follows]]:
    try:
        parameters = signature_of(registry.find(component)).params.values()
    except RegistryError:
        return
    for parameter in parameters:
        yield from ((parameter.name, mark) for mark in marks_of(parameter.annotation, Follows))


def _find(tree: Tree, path: str) -> Reference | None:
    section, *steps = path.split(".")
    form: Form | None = dict(_by_name(tree)).get(section)
    for step in steps:
        form = _entered(tree, form)
        form = tree.follow(form.params[step]) if isinstance(form, Use) and step in form.params else None
    return form if isinstance(form, Reference) else None


def _by_name(tree: Tree) -> Iterator[tuple[str, Form]]:
    return ((str(path[0]), form) for path, form in tree.sections() if len(path) == 1)


def _entered(tree: Tree, form: Form | None) -> Form | None:
    form = tree.follow(form) if form is not None else None
    if isinstance(form, Reference) and form.target.output is None:
        named = tree.components.get(form.target.name)
        return tree.follow(named) if named is not None else None
    return form
