"""YAML text to nodes with places: one document, no tags, no duplicate keys, bounded in every direction.

Built on PyYAML's event stream, which is iterative, so that depth and size are refused before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from mlgym.config.nodes import MAX_DEPTH, MAX_NODES, Entry, ListNode, MapNode, Mark, Node, Scalar, Source
from mlgym.config.scalars import resolve_word
from mlgym.errors import ConfigError

MAX_BYTES: Final = 2**20
"""Largest file: 1 MiB."""
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_file(path: Path, source: Source) -> str:
    """Gives the text of a config file.

    Raises:
        ConfigError: missing, a folder, unreadable, larger than `MAX_BYTES`, or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise source.start.error("", "no such file") from None
    except IsADirectoryError:
        raise source.start.error("", "is a folder; give a YAML file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise source.start.error("", f"cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise source.start.error("", f"is larger than {MAX_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise Mark(source, line, column).error("", "is not UTF-8 text; save it with that encoding") from None


def parse_yaml(text: str, source: Source) -> Node:
    """Gives the nodes of a YAML text; an empty one is a null scalar.

    Raises:
        ConfigError: a syntax error, a tag, a merge key, a duplicate or nested key, more than one document, a number
            that is not finite, or more bytes, levels or values than are allowed.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise source.start.error("", f"is larger than {MAX_BYTES:,} bytes")
    try:
        return _Composer(source).compose(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, source, text) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise source.start.error("", f"is not YAML: {_reader_problem(error, text)}") from None


def _syntax_error(error: yaml.MarkedYAMLError, source: Source, text: str) -> ConfigError:
    where = error.problem_mark or error.context_mark
    mark = Mark(source, where.line + 1, where.column + 1) if where else source.start
    if where and error.problem and "cannot start any token" in error.problem:
        character = text[where.index : where.index + 1]
        what = "a tab: indent with spaces" if character == "\t" else f"`{character}` begins no value: put it in quotes"
        return mark.error("", f"is not YAML: {what}")
    context = f" {error.context}" if error.context else ""
    if error.context and error.context_mark and error.context_mark.line + 1 != mark.line:
        context += f" that starts at line {error.context_mark.line + 1}"
    problem = error.problem or "cannot be read"
    remedy = next((remedy for part, remedy in _REMEDIES.items() if part in problem), "")
    if "${" in "".join(text.splitlines()[mark.line - 1 : mark.line]):
        remedy = "; there are no `${...}` here: `$vars.x` is a value of `vars`"
    return mark.error("", f"is not YAML:{context}{':' if context else ''} {problem}{remedy}")


def _reader_problem(error: Exception, text: str) -> str:
    reason = getattr(error, "reason", None) or "it holds characters that are not allowed"
    bad = next((i for i, char in enumerate(text) if char < " " and char not in "\t\n\r"), None)
    return reason if bad is None else f"{reason} (line {text.count(chr(10), 0, bad) + 1})"


# By what libyaml says; what PyYAML's own parser says in its place behind it.
_REMEDIES: Final = {
    "could not find expected ':'": "; write `key: value`, with a colon and a space",
    "mapping values are not allowed": "; text with `: ` in it needs quotes, and keys stand each on a line of their own",
    "did not find expected key": "; the keys of one mapping begin in the same column",
    "expected <block end>": "; the keys of one mapping begin in the same column",
}


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    mark: Mark
    is_mapping: bool
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    key: tuple[str, Mark] | None = None
    num_nodes: int = 1
    depth: int = 0


@dataclass(frozen=True, slots=True)
class _Anchored:
    node: Node
    num_nodes: int
    depth: int


class _Composer:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}  # None: not closed yet
        self._root: Node | None = None
        self._num_documents = 0

    def compose(self, events: Iterator[Event]) -> Node:
        for event in events:
            self._take(event)
        return self._root or Scalar(self._source.start, None)

    def _take(self, event: Event) -> None:
        match event:
            case MappingStartEvent() | SequenceStartEvent():
                self._open(event)
            case MappingEndEvent() | SequenceEndEvent():
                self._close()
            case AliasEvent():
                self._alias(event)
            case ScalarEvent():
                self._scalar(event)
            case DocumentStartEvent():
                self._num_documents += 1
                if self._num_documents > 1:
                    self._refuse(event, "holds a second document; a config is one, so remove the `---`")

    def _mark(self, event: Any) -> Mark:
        return Mark(self._source, event.start_mark.line + 1, event.start_mark.column + 1)

    def _refuse(self, event: Event, message: str) -> NoReturn:
        raise self._mark(event).error(self._path(), message)

    def _path(self) -> str:
        return ".".join(part.key[0] for part in self._stack if part.key)

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            shown = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(event, f"tags such as `{shown}` are not allowed; a config is plain data")

    def _open(self, event: Any) -> None:
        self._refuse_tag(event)
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(event, f"is nested more than {MAX_DEPTH} levels deep")
        is_mapping = isinstance(event, MappingStartEvent)
        self._refuse_key_kind(event, "a list or mapping cannot be a key")
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(_Open(self._mark(event), is_mapping, event.anchor))

    def _close(self) -> None:
        part = self._stack.pop()
        node: Node = MapNode(part.mark, part.entries) if part.is_mapping else ListNode(part.mark, tuple(part.items))
        self._add(node, part.anchor, part.num_nodes, part.depth + 1, part.mark)

    def _alias(self, event: Any) -> None:
        self._refuse_key_kind(event, "an alias cannot be a key")
        if event.anchor not in self._anchors:
            self._refuse(event, f"there is no anchor `&{event.anchor}` before this alias")
        target = self._anchors[event.anchor]
        if target is None:
            self._refuse(event, f"the alias `*{event.anchor}` lies inside its own anchor")
        self._add(target.node, None, target.num_nodes, target.depth, self._mark(event))

    def _scalar(self, event: Any) -> None:
        part = self._stack[-1] if self._stack else None
        if part and part.is_mapping and part.key is None:
            self._key(event, part)
            return
        self._refuse_tag(event)
        mark = self._mark(event)
        try:
            value = resolve_word(event.value) if event.implicit[0] else event.value
        except ValueError as error:
            self._refuse(event, f"{error}, got {event.value[:40]}")
        self._add(Scalar(mark, value), event.anchor, 1, 0, mark)

    def _key(self, event: Any, part: _Open) -> None:
        self._refuse_tag(event)
        if event.anchor:
            self._refuse(event, "a key cannot have an anchor")
        if event.value == "<<" and event.implicit[0]:
            self._refuse(
                event, "`<<` is not allowed; use `extends` to build on another file, or `vars` for shared values"
            )
        if event.value in part.entries:
            first = part.entries[event.value].mark
            self._refuse(event, f"the key `{event.value}` is there twice, first at {first.place}")
        part.key = event.value, self._mark(event)

    def _refuse_key_kind(self, event: Event, message: str) -> None:
        part = self._stack[-1] if self._stack else None
        if part and part.is_mapping and part.key is None:
            self._refuse(event, message)

    def _add(self, node: Node, anchor: str | None, num_nodes: int, depth: int, mark: Mark) -> None:
        if anchor:
            self._anchors[anchor] = _Anchored(node, num_nodes, depth)
        if not self._stack:
            self._root = node
            return
        part = self._stack[-1]
        part.num_nodes += num_nodes
        part.depth = max(part.depth, depth)
        # Counted where aliases are added, before anybody walks through them.
        if part.num_nodes > MAX_NODES:
            raise mark.error("", f"holds more than {MAX_NODES:,} values once its aliases are written out")
        if len(self._stack) + depth > MAX_DEPTH:
            raise mark.error(
                self._path(), f"is nested more than {MAX_DEPTH} levels deep once its aliases are written out"
            )
        if part.key is None:
            part.items.append(node)
        else:
            part.entries[part.key[0]] = Entry(part.key[1], node)
            part.key = None
