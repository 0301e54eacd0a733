"""Checking a config against the registry: every fault at once, in all alternatives, before anything is built."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from mlgym.config.circles import find_circles, needs_of, used_components
from mlgym.config.component_check import ComponentCheck
from mlgym.config.document import Document
from mlgym.config.forms import Entries, FactReference, Items, Reference, Sweep, Use, Value
from mlgym.config.implied import imply_references
from mlgym.config.imports import import_faults
from mlgym.config.kinds import bare, origin_class, type_text
from mlgym.config.mode_check import check_mode
from mlgym.config.modes import VALIDATION_MODES
from mlgym.config.named_check import alternatives, check_named
from mlgym.config.nodes import Path
from mlgym.config.plan import Plan
from mlgym.config.produce import Producer
from mlgym.config.registry import REGISTRY, Registry
from mlgym.config.scores import known_scores, unmeasured
from mlgym.config.space import SearchSpace
from mlgym.config.tree import Tree
from mlgym.errors import ConfigError, Fault
from mlgym.names import did_you_mean

_SEED: Final = Annotated[int, Field(ge=0, lt=2**63)]


def check(document: Document, *, registry: Registry = REGISTRY, modes: Registry = VALIDATION_MODES) -> Plan:
    """Gives the experiments of a config in which nothing is wrong; imports the user's modules.

    Args:
        document: the config.
        registry: the components.
        modes: the validation modes.

    Raises:
        ConfigError: everything that is wrong, in reading order.
    """
    broken_imports = import_faults(document)
    try:
        tree = Tree.read(document.root)
        imply_references(tree, registry)
        circles = find_circles(needs_of(tree))
        faults = [*document.faults, *broken_imports, *tree.faults, *circles]
        faults += _check_tree(tree, registry, names_are_known=not broken_imports)
        scores = None if circles else known_scores(tree, registry, faults)
        if scores is not None:
            told = {fault.path for fault in faults}
            faults += [fault for fault in unmeasured(tree, registry, scores) if fault.path not in told]
        mode, view, mode_faults = check_mode(document, tree, registry=registry, modes=modes, scores=scores)
        faults += mode_faults
    except RecursionError:
        raise document.root.mark.error("", "components refer to each other in too many steps") from None
    if faults or mode is None or view is None:
        raise ConfigError(list(dict.fromkeys(faults)))
    space = SearchSpace.of(tree, name=document.name, imports=document.imports, notes=_unused(tree))
    return mode.plan(view, space)


def _check_tree(tree: Tree, registry: Registry, *, names_are_known: bool) -> list[Fault]:
    producer = Producer(tree, registry)
    named = {name: found for name in tree.components if (found := check_named(tree, name, registry))}
    parts = ComponentCheck(tree, registry, producer, names_are_known=names_are_known, told=named)
    faults: list[Fault] = []
    for path, form in tree.sections():
        for where, inner in tree.walk(form, path):
            if isinstance(inner, Use):
                faults += parts.check(inner, where)
            elif isinstance(inner, Reference):
                faults += _check_reference(inner, where, producer)
    faults += parts.check_value(tree.seed, ("seed",), _SEED) + _check_seed(tree)
    faults += [fault for found in named.values() for fault in found]
    return faults + _check_experiment(tree, producer)


def _check_reference(reference: Reference, path: Path, producer: Producer) -> list[Fault]:
    name, output = reference.target.name, reference.target.output
    if name not in producer.tree.components:
        message = f"no component named `{name}`{did_you_mean(name, producer.tree.components)}"
        return [reference.mark.fault(path, message)]
    alternatives = producer.outputs(name) if output is not None else []
    for outputs in alternatives:
        if output is not None and outputs.kind(output) is None:
            tail = did_you_mean(output, outputs.shown, intro="it has") or "; it has none"
            always = "" if len(alternatives) == 1 else " in every alternative"
            return [reference.mark.fault(path, f"`{name}` has no output `{output}`{always}{tail}")]
    return []


def _check_seed(tree: Tree) -> list[Fault]:
    """The seed is known before anything is built, so it cannot come from a component or the runner."""
    return [
        form.mark.fault(path, "the seed must be a number that the config itself gives")
        for path, form in tree.walk(tree.seed, ("seed",))
        if isinstance(form, Reference | FactReference | Use)
    ]


def _check_experiment(tree: Tree, producer: Producer) -> list[Fault]:
    faults = []
    for where, form in alternatives(tree, tree.experiment, ("experiment",)):
        if isinstance(form, Items | Entries | Value | FactReference):
            faults.append(form.mark.fault(where, "the experiment must be a component: a mapping with `use: NAME`"))
            continue
        for product in producer.products(form):
            cls = origin_class(bare(product.kind))
            if product.group is not None or (cls is not None and not hasattr(cls, "run")):
                what = "a list or mapping" if product.group is not None else type_text(product.kind)
                message = f"the experiment needs a method `run(context)`, but {product.text} is {what}"
                faults.append(form.mark.fault(where, message))
    return faults


def _unused(tree: Tree) -> list[Fault]:
    """Gives a note for each component that no alternative of the experiment needs, and for each unused variable."""
    used = used_components(tree)
    notes = [
        form.mark.fault(
            form.origin, f"`{form.origin[-1]}` is not used: nothing refers to `${'.'.join(map(str, form.origin))}`"
        )
        for form in tree.unused_variables()
    ]
    for name, form in tree.components.items():
        if name not in used:
            has_sweep = any(isinstance(inner, Sweep) for _, inner in tree.walk(form))
            tail = "; its sweep adds no experiments" if has_sweep else ""
            path = ("components", name)
            notes.append(form.mark.fault(path, f"`{name}` is not used by the experiment{tail}"))
    return notes
