"""Named components that are none: a bare word, or a mapping in which `use` was forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mlgym.config.forms import Entries, Form, Hole, Reference, Sweep, Use, Value
from mlgym.config.nodes import Path, shorten
from mlgym.config.registry import Registry
from mlgym.config.scalars import word
from mlgym.config.tree import Tree
from mlgym.errors import Fault
from mlgym.names import nearest

_IMPORT_PATHS: Final = ("_target_", "class_path")
_OTHER_WORDS: Final = (*_IMPORT_PATHS, "type", "class", "name", "kind")
"""What other tools have for `use`; the first ones are never anything else."""


def check_named(tree: Tree, name: str, registry: Registry) -> list[Fault]:
    """Gives what is wrong with a named component as a whole; what is inside a component is not looked at."""
    faults = []
    for where, inner in alternatives(tree, tree.components[name], ("components", name)):
        if isinstance(inner, Value):
            shown = shorten(word(inner.value))
            remedy = (
                f"write `{{use: {inner.value}}}`" if isinstance(inner.value, str) else "shared values go into `vars`"
            )
            faults.append(inner.mark.fault(where, f"a component is a mapping with `use`, got {shown}; {remedy}"))
            continue
        forgotten = _forgotten(inner, registry) if isinstance(inner, Entries) else None
        if forgotten or not _holds_component(tree, inner):
            remedy = forgotten or "shared values go into `vars`"
            faults.append(inner.mark.fault(where, f"a component needs `use: NAME`; {remedy}"))
    return faults


def alternatives(tree: Tree, form: Form, path: Path) -> Iterator[tuple[Path, Form]]:
    """Yields what a form can be, each with its key path."""
    form = tree.follow(form)
    if not isinstance(form, Sweep):
        yield path, form
        return
    for i, alternative in enumerate(form.alternatives):
        yield from alternatives(tree, alternative, (*path, *form.steps(i)))


def _holds_component(tree: Tree, form: Form) -> bool:
    return any(isinstance(part, Use | Reference | Hole) for _, part in tree.walk(form))


def _forgotten(mapping: Entries, registry: Registry) -> str | None:
    """Gives what to write where a mapping names its component in another way; None where it does not."""
    for key in _OTHER_WORDS:
        form = mapping.entries.get(key)
        if isinstance(form, Value) and isinstance(form.value, str):
            known = nearest(form.value.rpartition(".")[2].lower(), registry.names())
            if form.value in registry or key in _IMPORT_PATHS:
                return f"write `use: {known or 'NAME'}` in place of `{key}: {form.value}`"
    only = next(iter(mapping.entries)) if len(mapping.entries) == 1 else ""
    return f"write `{{use: {only}, ...}}`" if only in registry else None
