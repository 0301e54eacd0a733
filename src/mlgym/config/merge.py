"""`extends`: one config built on others. Mappings merge; lists, and anything whose `use` differs, replace."""

from __future__ import annotations

import importlib.resources
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlgym.config.load import parse_yaml, read_file
from mlgym.config.nodes import Entry, ListNode, MapNode, Mark, Node, Scalar, Source
from mlgym.config.versions import Migration, migrated
from mlgym.names import SAFE_NAME, did_you_mean

PRESET: Final = "preset/"
_MAX_FILES: Final = 64


def merged(base: Node, over: Node) -> Node:
    """Gives `over` on top of `base`; each value keeps the place where it is written."""
    if not isinstance(base, MapNode) or not isinstance(over, MapNode) or _replaces(base, over):
        return over
    return _merged_entries(base, over)


def _merged_entries(base: MapNode, over: MapNode) -> MapNode:
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        below = entries.get(key)
        entries[key] = Entry(entry.mark, merged(below.value, entry.value)) if below else entry
    return MapNode(over.mark, entries)


def _replaces(base: MapNode, over: MapNode) -> bool:
    if "sweep" in base.entries or "sweep" in over.entries:
        return True
    own = over.get("use")
    if own is None:  # some parameters of the component below
        return False
    below = base.get("use")
    return not (isinstance(own, Scalar) and isinstance(below, Scalar) and own.value == below.value)


@dataclass(slots=True)
class Extender:
    """Reads the files that a config extends, and those that they extend.

    Args:
        migrations: steps from older versions of the language; each file may have its own version.
    """

    migrations: Mapping[int, Migration]
    _order: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _num_files: int = 0

    def extended(self, node: MapNode, folder: Path, trail: tuple[tuple[str, str], ...] = ()) -> MapNode:
        """Gives a config on top of those that it extends.

        Args:
            node: the config.
            folder: what its relative paths start from.
            trail: (identity, label) of the files that led here.

        Raises:
            ConfigError: a file that cannot be read, or files that extend each other in a circle.
        """
        entry = node.entries.get("extends")
        if entry is None:
            return node
        below = MapNode(node.mark, {})
        for name, mark in _names(entry):
            below = _merged_entries(below, self._read(name, mark, folder, trail))
        own = MapNode(node.mark, {key: value for key, value in node.entries.items() if key != "extends"})
        # Sections are no alternatives: a `sweep` among them is a fault of its own and replaces nothing.
        return _merged_entries(below, own)

    def _read(self, name: str, mark: Mark, folder: Path, trail: tuple[tuple[str, str], ...]) -> MapNode:
        self._num_files += 1
        if self._num_files > _MAX_FILES:
            raise mark.error("extends", f"extends more than {_MAX_FILES} files")
        if name.startswith(PRESET):
            return self._read_preset(name, mark)
        path = folder / name
        identity = os.path.realpath(path)
        label = _label(mark, name)
        known = [identity for identity, _ in trail]
        if identity in known:
            ring = [label for _, label in trail[known.index(identity) :]]
            raise mark.error("extends", f"files extend each other in a circle: {' -> '.join([*ring, ring[0]])}")
        if not path.is_file():
            raise mark.error("extends", f"no such file: `{name}`, looked for in {folder}")
        source = Source(label, next(self._order))
        node = migrated(document_node(parse_yaml(read_file(path, source), source)), self.migrations)
        return self.extended(node, path.parent, (*trail, (identity, label)))

    def _read_preset(self, name: str, mark: Mark) -> MapNode:
        folder = importlib.resources.files("mlgym.config") / "presets"
        preset = name.removeprefix(PRESET)
        file = folder / f"{preset}.yml"
        if not SAFE_NAME.fullmatch(preset) or not file.is_file():
            known = sorted(
                PRESET + file.name.removesuffix(".yml") for file in folder.iterdir() if file.name.endswith(".yml")
            )
            raise mark.error("extends", f"no preset is called `{name}`{did_you_mean(name, known)}")
        source = Source(name, next(self._order))
        return document_node(parse_yaml(file.read_text(encoding="utf-8"), source))


def _label(mark: Mark, name: str) -> str:
    """Gives a file's name as seen from where the user stands, as that of the file that names it."""
    own = mark.source.label
    is_file = mark.source.has_lines
    return os.path.normpath(os.path.join(os.path.dirname(own), name)) if is_file else name  # noqa: PTH118, PTH120 - labels are text


def _names(entry: Entry) -> list[tuple[str, Mark]]:
    node = entry.value
    nodes = [(item, item.mark) for item in node.items] if isinstance(node, ListNode) else [(node, entry.mark)]
    names = []
    for one, mark in nodes:
        if not isinstance(one, Scalar) or not isinstance(one.value, str) or not one.value or "\0" in one.value:
            raise mark.error("extends", "`extends` takes a file name, `preset/NAME`, or a list of them")
        names.append((one.value, mark))
    return names


def document_node(node: Node) -> MapNode:
    """Gives a config's node back when it is a mapping; an empty file is an empty mapping.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(node, Scalar) and node.value is None:
        raise node.mark.error("", "is empty; a config needs at least `experiment`")
    if not isinstance(node, MapNode):
        raise node.mark.error("", "a config is a mapping of sections: `components`, `experiment`, ...")
    return node
