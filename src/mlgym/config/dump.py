"""Plain data to YAML text that `load` reads back as the same data, with a comment at each value where asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mlgym.config.nodes import ListNode, MapNode, Node, Scalar, from_plain
from mlgym.config.scalars import is_plain, quoted, word

_MAX_WIDTH: Final = 100
_INDENT: Final = "  "


def dump_yaml(data: Any) -> str:
    """Gives plain data as YAML: short lists and mappings on one line, the rest in blocks.

    Raises:
        ConfigError: it cannot be written as JSON.
    """
    return "".join(line + "\n" for line in _Writer(with_places=False).block(from_plain(data), ""))


def node_with_places(node: Node) -> str:
    """Gives a node as YAML with the place that each value came from as a comment: `lr: 0.1  # base.yml:3`."""
    return "\n".join(_Writer(with_places=True).block(node, ""))


class _Writer:
    def __init__(self, *, with_places: bool) -> None:
        self._with_places = with_places

    def block(self, node: Node, indent: str) -> Iterator[str]:
        """Gives the lines of a node that stands by itself."""
        match node:
            case MapNode() if node.entries:
                for key, entry in node.entries.items():
                    yield from self._line(f"{indent}{_key(key)}:", entry.value, entry.mark, indent)
            case ListNode() if node.items:
                for item in node.items:
                    yield from self._item(item, indent)
            case _:
                yield indent + flow(node)

    def _line(self, head: str, node: Node, mark: Any, indent: str) -> Iterator[str]:
        text = self._short(node, len(head))
        if text is not None:
            yield f"{head} {text}{self._comment(mark)}"
            return
        yield head
        yield from self.block(node, indent + _INDENT)

    def _item(self, node: Node, indent: str) -> Iterator[str]:
        text = self._short(node, len(indent) + 2)
        if text is not None:
            yield f"{indent}- {text}{self._comment(node.mark)}"
            return
        # The first line of what is inside stands behind the dash.
        lines = self.block(node, indent + _INDENT)
        yield f"{indent}- {next(lines)[len(indent) + len(_INDENT) :]}"
        yield from lines

    def _short(self, node: Node, used: int) -> str | None:
        """Gives the one-line form where there is a fitting one."""
        if isinstance(node, Scalar):
            return word(node.value)
        if self._with_places and not _is_of_one_place(node):
            return None
        if not _is_shallow(node):
            return None
        text = flow(node)
        return text if used + len(text) < _MAX_WIDTH else None

    def _comment(self, mark: Any) -> str:
        if not self._with_places:
            return ""
        return f"  # {mark.source.label}:{mark.line}" if mark.line else f"  # {mark.source.label}"


def _key(key: str) -> str:
    return key if is_plain(key) or key.isdecimal() else quoted(key)


def flow(node: Node) -> str:
    """Gives a node on one line."""
    match node:
        case Scalar():
            return word(node.value)
        case ListNode():
            return f"[{', '.join(flow(item) for item in node.items)}]"
        case MapNode():
            return f"{{{', '.join(f'{_key(key)}: {flow(entry.value)}' for key, entry in node.entries.items())}}}"


def _is_shallow(node: Node) -> bool:
    """A component, sweep or list of scalars and of lists of them reads well on one line; sections and such do not."""
    match node:
        case ListNode():
            return all(isinstance(item, Scalar) or _is_flat(item) for item in node.items)
        case MapNode():
            return not node.entries or "use" in node.entries or "sweep" in node.entries or _is_flat(node)
        case _:
            return True


def _is_flat(node: Node) -> bool:
    match node:
        case ListNode():
            return all(isinstance(item, Scalar) for item in node.items)
        case MapNode():
            return all(isinstance(entry.value, Scalar) for entry in node.entries.values())
        case _:
            return True


def _is_of_one_place(node: Node) -> bool:
    """Says whether everything in a node comes from the same line, so that one comment says it."""
    match node:
        case ListNode():
            marks = [item.mark for item in node.items]
            inside = node.items
        case MapNode():
            marks = [entry.mark for entry in node.entries.values()]
            inside = tuple(entry.value for entry in node.entries.values())
        case _:
            return True
    lines = {(mark.source, mark.line) for mark in [node.mark, *marks]}
    return len(lines) == 1 and all(_is_of_one_place(part) for part in inside)
