"""Which component needs which, as an indented tree and as a Mermaid diagram."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlgym.config.document import Document
from mlgym.config.forms import Form, Sweep, Use
from mlgym.config.implied import imply_references
from mlgym.config.nodes import MapNode, from_plain, override_key
from mlgym.config.registry import REGISTRY, Registry
from mlgym.config.tree import Tree

ROOT: Final = "experiment"
_MAX_NAMES: Final = 4


@dataclass(frozen=True, slots=True)
class Edge:
    """One component refers to another.

    Args:
        user: name of the one that refers; `experiment` for the root.
        target: name of the one referred to.
        key: the parameter that does, such as `datasets.train`.
        output: the output that is taken, None for the component itself.
    """

    user: str
    target: str
    key: str
    output: str | None = None

    @property
    def label(self) -> str:
        """The parameter, and the output where there is one."""
        return f"{self.key}: .{self.output}" if self.output else self.key


@dataclass(frozen=True, slots=True)
class Graph:
    """The components of a config and what they need.

    Args:
        kinds: what each is registered as, alternatives with bars: `adam | sgd`; `experiment` comes first.
        edges: who needs whom.
    """

    kinds: Mapping[str, str]
    edges: tuple[Edge, ...]

    def text(self) -> str:
        """Gives an indented tree from the experiment down; a component is written out where it comes first."""
        seen: set[str] = set()
        lines = list(self._tree_lines(ROOT, seen))
        for name in self.kinds:
            if name not in seen:
                lines += ["", "not used:"] if "not used:" not in lines else []
                lines += list(self._tree_lines(name, seen))
        return "\n".join(lines) + "\n"

    def _tree_lines(self, root: str, seen: set[str]) -> Iterator[str]:
        pending: list[tuple[int, Edge | None, str]] = [(0, None, root)]
        while pending:
            depth, edge, name = pending.pop()
            label = f"{edge.label} = " if edge else ""
            is_known = name in seen
            seen.add(name)
            below = [] if is_known else [inner for inner in self.edges if inner.user == name]
            mark = " (see above)" if is_known and any(inner.user == name for inner in self.edges) else ""
            yield f"{'  ' * depth}{label}{name} ({self.kinds.get(name, 'unknown')}){mark}"
            pending.extend((depth + 1, inner, inner.target) for inner in reversed(below))

    def mermaid(self) -> str:
        """Gives a Mermaid flow chart; arrows lead from what is needed to what needs it, as data flows."""
        lines = ["flowchart TD"]
        lines += [f'    {_id(name)}["{_escaped(name)}<br/>{_escaped(kind)}"]' for name, kind in self.kinds.items()]
        for edge in self.edges:
            lines.append(f'    {_id(edge.target)} -->|"{_escaped(edge.label)}"| {_id(edge.user)}')
        return "\n".join(lines) + "\n"


def graph(config: Document | Mapping[str, Any], *, registry: Registry = REGISTRY) -> Graph:
    """Gives the component graph of a config; sweeps count with all their alternatives, nothing is built.

    Args:
        config: a document, or plain data.
        registry: the components; says which references follow from the rest of the config.

    Raises:
        ConfigError: its values written out would be too many or too deep.
    """
    root = config.root if isinstance(config, Document) else from_plain(config)
    assert isinstance(root, MapNode)
    tree = Tree.read(root)
    imply_references(tree, registry)
    forms = {ROOT: tree.experiment, **tree.components}
    kinds = {name: " | ".join(_names(tree, form)) or "group" for name, form in forms.items()}
    edges = dict.fromkeys(edge for name, form in forms.items() for edge in _edges(tree, name, form))
    return Graph(kinds, tuple(edges))


def _edges(tree: Tree, name: str, form: Form) -> Iterator[Edge]:
    for path, reference in tree.references(form):
        steps = tuple(step for i, step in enumerate(path) if not _is_sweep_step(path, i))
        yield Edge(name, reference.target.name, override_key(steps) or "is", reference.target.output)


def _is_sweep_step(path: tuple[str | int, ...], i: int) -> bool:
    after = path[i + 1] if i + 1 < len(path) else None
    before = path[i - 1] if i else None
    return (path[i] == "sweep" and isinstance(after, int)) or (before == "sweep" and isinstance(path[i], int))


def _names(tree: Tree, form: Form) -> list[str]:
    form = tree.follow(form)
    if isinstance(form, Use):
        return [form.name]
    if not isinstance(form, Sweep):
        return []
    names = dict.fromkeys(name for part in form.alternatives for name in _names(tree, part))
    return [*list(names)[:_MAX_NAMES], *(["..."] if len(names) > _MAX_NAMES else [])]


def _id(name: str) -> str:
    # `end` and the like are words of Mermaid.
    return f"c_{name}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
