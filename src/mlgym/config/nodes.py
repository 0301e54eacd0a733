"""A config as a tree of small nodes, each with the place where a reader finds it.

YAML files, presets, command line values and dicts built in Python all become this one representation. What the nodes
mean (components, references, sweeps) is in `forms`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Final, NamedTuple, TypeAlias

from mlgym.errors import ConfigError, Fault

MAX_DEPTH: Final = 64
"""How many lists and mappings may lie inside each other."""
MAX_NODES: Final = 250_000
"""How many values a config may hold, aliases and `$vars` written out."""
SMALLEST_INT: Final = -(2**63)
LARGEST_INT: Final = 2**64 - 1
COMMAND_LINE_ORDER: Final = 1_000_000

PlainScalar: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str | int, ...]
"""Key path within a config: `("components", "model", "layers", 0)`."""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that a config is read from.

    Args:
        label: how messages call it: `mnist.yml`, `preset/regression`, `python`, ``command line `optimizer.lr=1` ``.
        order: faults of a lower order are shown first.
        has_lines: whether line and column help to find something in it.
    """

    label: str
    order: int = 0
    has_lines: bool = True

    @property
    def start(self) -> Mark:
        """The mark of the whole."""
        return Mark(self)


class Mark(NamedTuple):
    """Where something is written.

    Args:
        source: the file or the like.
        line: counted from 1; 0 where there are no lines.
        column: counted from 1.
    """

    source: Source
    line: int = 0
    column: int = 0

    @property
    def place(self) -> str:
        """As a reader finds it: `mnist.yml:16:5`."""
        has_lines = self.line and self.source.has_lines
        return f"{self.source.label}:{self.line}:{self.column}" if has_lines else self.source.label

    def fault(self, path: Path | str, message: str) -> Fault:
        """Gives a fault at this mark."""
        shown = path if isinstance(path, str) else show_path(path)
        return Fault((self.source.order, self.line, self.column), self.place, shown, message)

    def error(self, path: Path | str, message: str) -> ConfigError:
        """Gives an error with one fault at this mark."""
        return ConfigError([self.fault(path, message)])


PYTHON: Final = Source("python", has_lines=False)


@dataclass(frozen=True, eq=False, slots=True)
class Scalar:
    """A string, number, truth value or null; strings as written, `$` signs included."""

    mark: Mark
    value: PlainScalar


@dataclass(frozen=True, eq=False, slots=True)
class ListNode:
    """A list."""

    mark: Mark
    items: tuple[Node, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """The value of a key, and where the key is written."""

    mark: Mark
    value: Node


@dataclass(frozen=True, eq=False, slots=True)
class MapNode:
    """A mapping; keys are always text."""

    mark: Mark
    entries: Mapping[str, Entry]

    def get(self, key: str) -> Node | None:
        """Gives the value of a key, or None where there is no such key."""
        entry = self.entries.get(key)
        return entry.value if entry else None

    def with_entry(self, key: str, entry: Entry) -> MapNode:
        """Gives a copy with one entry set; a new key comes last."""
        return MapNode(self.mark, {**self.entries, key: entry})


Node: TypeAlias = Scalar | ListNode | MapNode


def show_path(path: Path) -> str:
    """Gives a key path as errors show it: `components.model.layers[0].out`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def purpose_path(path: Path) -> str:
    """Gives a key path with dots alone: `components.model.layers.0`, the purpose of a derived seed."""
    return ".".join(str(step) for step in path)


def override_key(path: Path) -> str:
    """Gives a key path as the command line takes it: `model.layers.0.out`, without `components.`."""
    return purpose_path(path[1:] if path[:1] == ("components",) and len(path) > 1 else path)


def to_plain(node: Node) -> Any:
    """Gives the plain data of a node: dict, list, str, int, float, bool, None."""
    match node:
        case Scalar():
            return node.value
        case ListNode():
            return [to_plain(item) for item in node.items]
        case MapNode():
            return {key: to_plain(entry.value) for key, entry in node.entries.items()}


def from_plain(data: object, source: Source = PYTHON) -> Node:
    """Gives the node of plain data built in Python; tuples, paths and NumPy scalars are taken as what they hold.

    Raises:
        ConfigError: something cannot be written as JSON, the data is nested too deep, contains itself or is too large.
    """
    return _PlainReader(source).node(data, (), 0)


class _PlainReader:
    def __init__(self, source: Source) -> None:
        self._mark = source.start
        self._num_nodes = 0

    def node(self, data: object, path: Path, depth: int) -> Node:
        self._num_nodes += 1
        if self._num_nodes > MAX_NODES:
            raise self._mark.error("", f"holds more than {MAX_NODES:,} values")
        if depth > MAX_DEPTH:
            raise self._mark.error(path[:8], f"is nested more than {MAX_DEPTH} levels deep, or contains itself")
        if isinstance(data, Mapping):
            return MapNode(self._mark, dict(self._entries(data, path, depth)))
        if isinstance(data, list | tuple):
            items = (self.node(item, (*path, i), depth + 1) for i, item in enumerate(data))
            return ListNode(self._mark, tuple(items))
        return Scalar(self._mark, self._scalar(data, path))

    def _entries(self, data: Mapping[Any, object], path: Path, depth: int) -> Iterator[tuple[str, Entry]]:
        seen: set[str] = set()
        for key, value in data.items():
            if not isinstance(key, str | int | float | bool | None):
                raise self._mark.error(path, f"a key must be text, got {shorten(repr(key))}")
            text = str(self._scalar(_key_text(key), path))
            if text in seen:
                raise self._mark.error(path, f"the key `{text}` is there twice")
            seen.add(text)
            yield text, Entry(self._mark, self.node(value, (*path, text), depth + 1))

    def _scalar(self, data: object, path: Path) -> PlainScalar:
        if isinstance(data, os.PathLike):
            data = os.fspath(data)
        if data is None or isinstance(data, bool):
            return data
        try:
            return _number_or_text(data)
        except ValueError as error:
            raise self._mark.error(path, str(error)) from None


def _number_or_text(data: object) -> PlainScalar:
    if isinstance(data, str):
        if any("\ud800" <= char <= "\udfff" for char in data):
            raise ValueError(f"text must be valid Unicode, got {shorten(ascii(data))}")
        return str(data)
    if isinstance(data, Integral):
        return checked_int(int(data))
    if isinstance(data, Real):
        return checked_float(float(data))
    if type(data).__module__ == "numpy" and type(data).__name__ in {"bool", "bool_"}:
        return bool(data)
    raise ValueError(
        f"must be plain data (numbers, text, lists, mappings), got {shorten(repr(data))} of type {type(data).__name__}"
    )


def _key_text(key: object) -> str:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return str(key)


def checked_int(value: int) -> int:
    """Gives `value` back when it fits into 64 bits.

    Raises:
        ValueError: it does not, so that other readers of JSON would change it.
    """
    if not SMALLEST_INT <= value <= LARGEST_INT:
        raise ValueError("integers must fit into 64 bits; write it as text")
    return value


def checked_float(value: float) -> float:
    """Gives `value` back when it is finite.

    Raises:
        ValueError: NaN or an infinity, which JSON cannot hold.
    """
    if not math.isfinite(value):
        raise ValueError(f"numbers must be finite, since JSON has no {value}; leave it out or take a large number")
    return value


def shorten(text: str, max_length: int = 60) -> str:
    """Gives `text`, cut with dots where it is longer than `max_length` characters."""
    return text if len(text) <= max_length else text[: max_length - 3] + "..."
