"""The sections of a config as forms, and the one walk over them that checking, unfolding, building and drawing share.

`$vars.x` stands for what is written there: every step of the walk follows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mlgym.config.forms import (
    Entries,
    Form,
    FormReader,
    Hole,
    Items,
    Reference,
    Sweep,
    Use,
    Value,
    VarReference,
    children,
)
from mlgym.config.nodes import MAX_DEPTH, MAX_NODES, MapNode, Node, Path, from_plain, show_path
from mlgym.config.references import RESERVED_NAMES
from mlgym.errors import ConfigError, Fault
from mlgym.names import COMPONENT_NAME, did_you_mean


@dataclass(slots=True)
class Tree:
    """What a config says, section by section.

    Args:
        seed: the run's seed.
        variables: what `$vars` refers to.
        components: the named components.
        experiment: the root, a hole where it is missing.
        faults: everything malformed that was found while reading.
    """

    seed: Form
    variables: Entries
    components: Mapping[str, Form]
    experiment: Form
    faults: list[Fault] = field(default_factory=list)
    _followed: dict[VarReference, Form] = field(default_factory=dict)

    @classmethod
    def read(cls, root: MapNode) -> Tree:
        """Gives the tree of a document.

        Raises:
            ConfigError: its values written out would be too many or too deep; other faults are kept in `faults`.
        """
        reader = FormReader()
        seed = _section(reader, root, "seed") or Value(root.mark, ("seed",), 0)
        experiment = _section(reader, root, "experiment") or Hole(root.mark, ("experiment",))
        variables = _mapping_section(reader, root, "vars")
        components = _mapping_section(reader, root, "components")
        tree = cls(seed, variables, components.entries, experiment, reader.faults)
        tree._check_names()
        tree._check_variables()
        return tree

    def sections(self) -> Iterator[tuple[Path, Form]]:
        """Gives everything that takes part in an experiment: the seed, each named component, the root."""
        yield ("seed",), self.seed
        yield from ((("components", name), form) for name, form in self.components.items())
        yield ("experiment",), self.experiment

    def follow(self, form: Form) -> Form:
        """Gives what stands behind `$vars.x`, or the form itself where it is something else."""
        while isinstance(form, VarReference):
            form = self._followed[form]
        return form

    def walk(self, form: Form, path: Path = ()) -> Iterator[tuple[Path, Form]]:
        """Gives a form and everything inside it, with key paths, `$vars` followed, `$name` not."""
        stack = [(path, form)]
        while stack:
            path, form = stack.pop()
            form = self.follow(form)
            yield path, form
            if not isinstance(form, Value):
                stack.extend([((*path, *steps), child) for steps, child in children(form)][::-1])

    def references(self, form: Form, path: Path = ()) -> Iterator[tuple[Path, Reference]]:
        """Gives every `$name` inside a form, in all alternatives."""
        return ((where, inner) for where, inner in self.walk(form, path) if isinstance(inner, Reference))

    def unused_variables(self) -> list[Form]:
        """Gives what stands in `vars` and is referred to nowhere."""
        used = {reference.target.steps[0] for reference in self._followed}
        return [form for name, form in self.variables.entries.items() if name not in used]

    def _check_names(self) -> None:
        for name, form in self.components.items():
            if name in RESERVED_NAMES or not COMPONENT_NAME.fullmatch(name):
                why = f"`${name}.x` means something else" if name in RESERVED_NAMES else "letters, digits and `_` only"
                self.faults.append(form.mark.fault(form.origin, f"a component cannot be named `{name}`: {why}"))

    def _check_variables(self) -> None:
        resolver = _VariableResolver(self.variables, self.faults)
        resolver.expand(self.variables)
        num_nodes = sum(resolver.expand(form) for _, form in self.sections())
        if num_nodes > MAX_NODES:
            raise self.experiment.mark.error("", f"holds more than {MAX_NODES:,} values once `$vars` are written out")
        self._followed = resolver.followed


def _section(reader: FormReader, root: MapNode, name: str) -> Form | None:
    entry = root.entries.get(name)
    return reader.read(entry.value, entry.mark, (name,)) if entry else None


def _mapping_section(reader: FormReader, root: MapNode, name: str) -> Entries:
    entry = root.entries.get(name)
    if entry is None or not isinstance(entry.value, MapNode):  # a wrong type is reported with the sections
        return Entries(entry.mark if entry else root.mark, (name,), {})
    node = entry.value
    forms = {key: reader.read(child.value, child.mark, (name, key)) for key, child in node.entries.items()}
    return Entries(entry.mark, (name,), forms)


@dataclass(slots=True)
class _Extent:
    """How much a form is once written out."""

    num_nodes: int = 1
    depth: int = 0


_LEAF: Final = _Extent()


class _VariableResolver:
    """Finds what each `$vars.x` stands for; refuses circles and what grows too large, before anybody walks into it."""

    def __init__(self, variables: Entries, faults: list[Fault]) -> None:
        self._variables = variables
        self._faults = faults
        self._extents: dict[Form, _Extent] = {}
        self.followed: dict[VarReference, Form] = {}

    def expand(self, root: Form) -> int:
        """Gives the number of values in a form once written out; iterative, since a chain of `$vars` may be long."""
        stack: list[tuple[Form, bool]] = [(root, False)]
        open_forms: dict[Form, None] = {}
        while stack:
            form, is_done = stack.pop()
            if isinstance(form, Value):
                self._extents[form] = _LEAF
            elif is_done:
                del open_forms[form]
                self._measure(form)
            elif form not in self._extents:
                open_forms[form] = None
                stack.append((form, True))
                stack.extend((child, False) for child in self._inside(form, open_forms))
        return self._extents[root].num_nodes

    def _inside(self, form: Form, open_forms: Mapping[Form, None]) -> list[Form]:
        if not isinstance(form, VarReference):
            return [child for _, child in children(form)]
        target = self._find(form)
        if target in open_forms:
            self._report_circle(form, target, list(open_forms))
            target = Hole(form.mark, form.origin)
        self.followed[form] = target
        return [target]

    def _find(self, reference: VarReference) -> Form:
        form: Form = self._variables
        for i, step in enumerate(reference.target.steps):
            form = self._followed_far(form)
            inside = _named_children(form)
            if step not in inside:
                if not isinstance(form, Hole):
                    where = ".".join(("vars", *reference.target.steps[:i]))
                    self._report_unknown(reference, step, where, form, list(inside))
                return Hole(reference.mark, reference.origin)
            form = inside[step]
        return form

    def _followed_far(self, form: Form) -> Form:
        seen: set[Form] = set()
        while isinstance(form, VarReference):
            if form in seen:
                return Hole(form.mark, form.origin)
            seen.add(form)
            form = self.followed.get(form) or self._find_shallow(form)
        return form

    def _find_shallow(self, reference: VarReference) -> Form:
        # A name inside a value that is itself a reference: `$vars.a.x` where a is `$vars.b`.
        form: Form = self._variables
        for step in reference.target.steps:
            inside = _named_children(form)
            if step not in inside:
                return Hole(reference.mark, reference.origin)
            form = inside[step]
        return form

    def _report_unknown(self, reference: VarReference, step: str, where: str, form: Form, known: list[str]) -> None:
        if isinstance(form, Sweep):
            message = f"`{reference.target}` goes into `{where}`, which is a sweep; name the value inside it instead"
        else:
            message = f"`{where}` has no `{step}`{did_you_mean(step, known)}"
        self._faults.append(reference.mark.fault(reference.origin, message))

    def _report_circle(self, reference: VarReference, target: Form, open_forms: list[Form]) -> None:
        ring = open_forms[open_forms.index(target) :]
        steps = [f"{show_path(form.origin)} ({form.mark.place})" for form in ring if not _is_inner(form, ring)]
        text = " -> ".join([*steps, show_path(target.origin)])
        self._faults.append(reference.mark.fault(reference.origin, f"values need each other in a circle: {text}"))

    def _measure(self, form: Form) -> None:
        inside = [self.followed[form]] if isinstance(form, VarReference) else [child for _, child in children(form)]
        # What lies on a refused circle has no extent yet; it counts as nothing.
        known = [self._extents[child] for child in inside if child in self._extents]
        step = 0 if isinstance(form, VarReference) else 1
        num_nodes = step + sum(part.num_nodes for part in known)
        depth = (step if inside else 0) + max((part.depth for part in known), default=0)
        if num_nodes > MAX_NODES:
            raise form.mark.error(form.origin, f"holds more than {MAX_NODES:,} values once `$vars` are written out")
        if depth > MAX_DEPTH - 2:  # a section and a name lie above it
            raise form.mark.error(
                form.origin, f"is nested more than {MAX_DEPTH} levels deep once `$vars` are written out"
            )
        self._extents[form] = _Extent(num_nodes, depth)


def _named_children(form: Form) -> Mapping[str, Form]:
    match form:
        case Entries():
            return form.entries
        case Use():
            return form.params
        case Items():
            return {str(i): item for i, item in enumerate(form.items)}
    return {}


def _is_inner(form: Form, ring: list[Form]) -> bool:
    # Of `a: [1, {x: $vars.b}]` the ring shows `a` alone.
    return any(form is not other and form.origin[: len(other.origin)] == other.origin for other in ring)


def tree_of(config: Mapping[str, object]) -> Tree:
    """Gives the tree of a plain config, such as the one of a point.

    Raises:
        ConfigError: it is not plain data, or malformed.
    """
    node: Node = from_plain(config)
    assert isinstance(node, MapNode)
    tree = Tree.read(node)
    if tree.faults:
        raise ConfigError(tree.faults)
    return tree
