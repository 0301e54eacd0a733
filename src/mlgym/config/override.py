"""`KEY=VALUE` from the command line, put into the merged document; VALUE is YAML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mlgym.config.load import parse_yaml
from mlgym.config.nodes import (
    COMMAND_LINE_ORDER,
    Entry,
    ListNode,
    MapNode,
    Mark,
    Node,
    Path,
    Scalar,
    Source,
    shorten,
    show_path,
)
from mlgym.config.references import is_reference
from mlgym.config.scalars import word
from mlgym.errors import ConfigError, Fault
from mlgym.names import did_you_mean, nearest

SECTIONS: Final = (
    "version", "name", "seed", "extends", "imports", "vars", "components", "experiment", "validation", "auto_resume",
)  # fmt: skip
_FIXED: Final = ("version", "extends")
_MAPPINGS: Final = ("vars", "components", "validation")
_INDEX: Final = re.compile(r"\[(\d{1,9})\]")


def overridden(root: MapNode, overrides: Sequence[str]) -> tuple[MapNode, list[Fault]]:
    """Gives a document with overrides applied in order, and what is wrong with those that could not be.

    Args:
        root: the merged document.
        overrides: texts such as `optimizer.lr=0.01` or `model={use: mlp, hidden: 64}`.
    """
    faults: list[Fault] = []
    for number, text in enumerate(overrides):
        source = Source(f"command line `{shorten(text, 80)}`", COMMAND_LINE_ORDER + number, has_lines=False)
        try:
            root = _Override(source.start, text).apply(root)
        except ConfigError as error:
            faults += error.faults
    return root, faults


def override_path(key: str) -> tuple[str, ...]:
    """Gives the steps of a key as the command line takes it: `model.layers[0].out` lies under `components`."""
    steps = tuple(step.strip() for step in _INDEX.sub(r".\1", key).split("."))
    return steps if steps[0] in SECTIONS else ("components", *steps)


class _Override:
    """One `KEY=VALUE`."""

    def __init__(self, mark: Mark, text: str) -> None:
        key, sign, value = text.partition("=")
        self._mark = mark
        self._root = MapNode(mark, {})
        self._steps = list(override_path(key))
        if not sign or not all(self._steps):
            raise mark.error("", "an override is KEY=VALUE, such as `optimizer.lr=0.01`")
        self._value = _at(parse_yaml(value, mark.source), mark)

    def apply(self, root: MapNode) -> MapNode:
        section = self._steps[0]
        if section in _FIXED:
            raise self._mark.error(section, f"`{section}` cannot be overridden; write it into the config")
        if len(self._steps) > 1 and section not in root.entries and section in _MAPPINGS:
            root = root.with_entry(section, Entry(self._mark, MapNode(self._mark, {})))
        self._root = root
        result = self._set(root, self._steps, ())
        assert isinstance(result, MapNode)
        return result

    def _set(self, node: Node, steps: list[str], path: Path) -> Node:
        """Gives a copy of `node` with the value set at `steps`; the rest is shared."""
        match node:
            case MapNode():
                return self._set_entry(node, steps, path)
            case ListNode():
                return self._set_item(node, steps, path)
            case Scalar():
                raise self._mark.error(path, self._scalar_message(node, steps, path))

    def _set_entry(self, node: MapNode, steps: list[str], path: Path) -> MapNode:
        key, *rest = steps
        inner = (*path, key)
        if "sweep" in node.entries and key not in {"sweep", "zip"}:
            raise self._mark.error(inner, self._sweep_message(node, path, steps))
        if not rest:
            self._refuse_unknown_component(node, inner)
            # The place of a value that is set from outside is the command line, also that of its key.
            return node.with_entry(key, Entry(self._mark, self._value))
        below = node.entries.get(key)
        if below is None:
            raise self._mark.error(inner, self._missing_message(node, key, path))
        return node.with_entry(key, Entry(below.mark, self._set(below.value, rest, inner)))

    def _set_item(self, node: ListNode, steps: list[str], path: Path) -> ListNode:
        key, *rest = steps
        if not key.isdecimal() or int(key) >= len(node.items):
            last = f"0 to {len(node.items) - 1}" if node.items else "none, it is empty"
            raise self._mark.error(path, f"is a list; its indices are {last}, got `{key}`")
        index = int(key)
        item = self._set(node.items[index], rest, (*path, index)) if rest else self._value
        return ListNode(node.mark, (*node.items[:index], item, *node.items[index + 1 :]))

    def _refuse_unknown_component(self, node: MapNode, path: Path) -> None:
        if len(path) != 2 or path[0] != "components" or path[1] in node.entries:
            return
        is_component = isinstance(self._value, MapNode) and (
            "use" in self._value.entries or "sweep" in self._value.entries
        )
        if not is_component:
            raise self._mark.error(path, self._missing_message(node, str(path[1]), path[:1]))

    def _missing_message(self, node: MapNode, key: str, path: Path) -> str:
        if path == ("components",):
            near = nearest(key, [*node.entries, *(name for name in SECTIONS if name not in _FIXED)])
            meant = [near] if near else self._places_of(key)
            if meant:
                return f"no component named `{key}`; did you mean {' or '.join(f'`{one}`' for one in meant)}?"
            return (
                f"no component named `{key}`{did_you_mean(key, node.entries)}; give a new one as `{key}={{use: NAME}}`"
            )
        where = show_path(path)
        return f"`{where}` has no `{key}`{did_you_mean(key, node.entries, intro='it has')}"

    def _places_of(self, parameter: str) -> list[str]:
        """Gives where a parameter with this name stands: `optimizer.lr` for `lr`."""
        named = self._root.get("components")
        parts = {"experiment": self._root.get("experiment")}
        parts |= {name: entry.value for name, entry in named.entries.items()} if isinstance(named, MapNode) else {}
        holding = [name for name, part in parts.items() if isinstance(part, MapNode) and parameter in part.entries]
        return [f"{name}.{parameter}" for name in holding]

    def _scalar_message(self, node: Scalar, steps: list[str], path: Path) -> str:
        if isinstance(node.value, str) and is_reference(node.value):
            name = node.value[1:].partition(".")[0]
            target = node.value[1:] if name == "vars" else name
            return f"is the reference `{node.value}`; override `{'.'.join([target, *steps])}` instead"
        return f"is {shorten(word(node.value))}, so there is no `{steps[0]}` in it"

    def _sweep_message(self, node: MapNode, path: Path, steps: list[str]) -> str:
        where = ".".join(str(step) for step in (path[1:] if path[0] == "components" else path))
        alternative = f"{where}.sweep.0.{'.'.join(steps)}"
        return (
            f"`{where}` is a sweep, so it is not clear which alternative is meant; "
            f"override it whole, `{where}=...`, or one alternative, `{alternative}=...`"
        )


def _at(node: Node, mark: Mark) -> Node:
    """Gives a node whose parts all lie at one place: a line and column within an argument help nobody."""
    match node:
        case Scalar():
            return Scalar(mark, node.value)
        case ListNode():
            return ListNode(mark, tuple(_at(item, mark) for item in node.items))
        case MapNode():
            return MapNode(mark, {key: Entry(mark, _at(entry.value, mark)) for key, entry in node.entries.items()})
