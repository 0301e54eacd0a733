"""The section `validation`: its mode, the mode's parameters, and components in them such as ways to split."""

from __future__ import annotations

from typing import Any

from mlgym.config.build import RunFacts, build
from mlgym.config.component_check import ComponentCheck
from mlgym.config.document import Document
from mlgym.config.forms import FactReference, FormReader, Reference, Sweep, Use, VarReference
from mlgym.config.modes import DEFAULT_MODE
from mlgym.config.nodes import Entry, MapNode, Scalar, shorten, to_plain
from mlgym.config.plan import Mode, ModeView
from mlgym.config.produce import Producer
from mlgym.config.registry import Component, Registry
from mlgym.config.resolve import resolve
from mlgym.config.signature import SEED, signature_of
from mlgym.config.tree import Tree
from mlgym.errors import Fault, RegistryError
from mlgym.names import did_you_mean


def check_mode(
    document: Document,
    tree: Tree,
    *,
    registry: Registry,
    modes: Registry,
    scores: frozenset[str] | None = None,
) -> tuple[Mode | None, ModeView | None, list[Fault]]:
    """Gives the mode of a config with what it is told, or what is wrong with its section.

    Args:
        document: the config.
        tree: what it says.
        registry: the components.
        modes: the validation modes.
        scores: those that experiments will have; None where that is not known.
    """
    entry = document.root.entries.get("validation")
    if entry is None:
        mark = document.root.mark
        node = MapNode(mark, {"mode": Entry(mark, Scalar(mark, DEFAULT_MODE))})
        entry = Entry(mark, node)
    elif not isinstance(entry.value, MapNode):  # a wrong type is reported with the sections
        return None, None, []
    else:
        node = entry.value
    faults = _check_name(entry, node, modes) or _check_parameters(node, _Both(registry, modes))
    if faults:
        return None, None, faults
    both = _Both(registry, modes)
    given = _filled(to_plain(node), tree, both)
    mode: Mode = build({"experiment": given}, RunFacts(), registry=both)
    section = {"mode": given["use"], **{key: value for key, value in given.items() if key != "use"}}
    marks = {key: parameter.mark for key, parameter in node.entries.items()}
    view = ModeView(tree, registry, section, entry.mark, marks, scores)
    return mode, view, mode.faults(view)


def _check_name(entry: Entry, node: MapNode, modes: Registry) -> list[Fault]:
    mode = node.entries.get("mode")
    if mode is None:
        message = f"`validation` needs a `mode` (known: {', '.join(modes.names())})"
        return [entry.mark.fault("validation", message)]
    name = mode.value.value if isinstance(mode.value, Scalar) else None
    if isinstance(name, str) and name in modes:
        return []
    shown = name if isinstance(name, str) else shorten(str(to_plain(mode.value)))
    return [
        mode.mark.fault(
            "validation.mode", f"no validation mode is called `{shown}`{did_you_mean(shown, modes.names())}"
        )
    ]


def _check_parameters(node: MapNode, both: Registry) -> list[Fault]:
    """Takes `{mode: NAME, ...}` as a component NAME, in which other components may stand."""
    mode = node.entries["mode"]
    entries = {key: entry for key, entry in node.entries.items() if key != "mode"}
    reader = FormReader()
    section = reader.read(MapNode(node.mark, {"use": mode, **entries}), mode.mark, ("validation",))
    tree = Tree.read(MapNode(node.mark, {}))
    parts = ComponentCheck(tree, both, Producer(tree, both))
    faults = list(reader.faults)
    for path, form in tree.walk(section, ("validation",)):
        if isinstance(form, Sweep | Reference | FactReference | VarReference):
            faults.append(form.mark.fault(path, "`validation` takes plain values: no sweep, no reference"))
    if faults:
        return faults
    return [
        fault
        for path, form in tree.walk(section, ("validation",))
        if isinstance(form, Use)
        for fault in parts.check(form, path)
    ]


def _filled(section: dict[str, Any], tree: Tree, both: Registry) -> dict[str, Any]:
    """Gives the section as a component with every default; seeds that are left out are the run's own.

    Not derived from it, as those of other components are: whoever compares with another program gives it that seed.
    """
    component = {"use": section["mode"], **{key: value for key, value in section.items() if key != "mode"}}
    resolved: dict[str, Any] = resolve({"experiment": component}, registry=both)["experiment"]
    seed = ModeView(tree, both, {}, tree.experiment.mark).seed or 0
    _seed(resolved, resolved.get(SEED, seed), both)
    return resolved


def _seed(data: Any, seed: int, both: Registry) -> None:
    if isinstance(data, dict):
        name = data.get("use")
        if isinstance(name, str) and SEED in signature_of(both.find(name)).params:
            data.setdefault(SEED, seed)
    for inner in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        _seed(inner, seed, both)


class _Both(Registry):
    """Components and modes in one table; a mode is found only where no component has its name."""

    def __init__(self, registry: Registry, modes: Registry) -> None:
        super().__init__()
        self._tables = (registry, modes)

    def find(self, name: str) -> Component:
        for table in self._tables:
            if name in table:
                return table.find(name)
        raise RegistryError(f"no component is registered as `{name}`{did_you_mean(name, self.names())}")

    def names(self) -> list[str]:
        return self._tables[0].names()

    def refuse_twin(self, name: str) -> None:
        self._tables[0].refuse_twin(name)

    def __contains__(self, name: str) -> bool:
        return any(name in table for table in self._tables)
