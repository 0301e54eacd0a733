"""Parameters of one component that do not go together, as their annotations say it.

Types say what one parameter takes; what it takes only beside certain others is marked with `NotWith`, `Needs` or
`AsManyAs`, so that it is refused where it is written, before anything is started. The same holds for what a launch
gives in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from mlgym.config.choices import Choices, alternatives_of, go_together, taken_of
from mlgym.config.circles import used_forms
from mlgym.config.document import Document
from mlgym.config.forms import Entries, Form, Items, RangeForms, Reference, Sweep, Use, Value
from mlgym.config.kinds import bare, marks_of, origin_class
from mlgym.config.nodes import Path
from mlgym.config.produce import Producer
from mlgym.config.registry import REGISTRY, Registry
from mlgym.config.signature import Signature, signature_of
from mlgym.config.tree import Tree
from mlgym.errors import Fault

_Mark = TypeVar("_Mark")


def _is_given(value: object) -> bool:
    return value is not None


@dataclass(frozen=True, slots=True)
class NotWith:
    """Marks a parameter that does not go with objects of a class: `Annotated[bool, NotWith(LBFGS, ...)]`.

    Args:
        kind: the class.
        within: other parameters of the same component that such an object must not be, or be part of.
        message: why, and what to do.
        values: which values of the marked parameter it is about; by default all but None.
    """

    kind: type
    within: tuple[str, ...]
    message: str
    values: Callable[[Any], bool] = _is_given


@dataclass(frozen=True, slots=True)
class Needs:
    """Marks a parameter whose objects of a class need another parameter: `Annotated[Scheduler, Needs(Plateau, ...)]`.

    Args:
        kind: the class.
        other: the parameter of the same component that must then be given, and not be None.
        message: why, and what to do.
    """

    kind: type
    other: str
    message: str


@dataclass(frozen=True, slots=True)
class AsManyAs:
    """Marks a list that needs one item for each of another one: `Annotated[list[float], AsManyAs("losses")]`.

    Args:
        other: the parameter of the same component that is the other list.
    """

    other: str


def contradictions(use: Use, path: Path, signature: Signature, producer: Producer) -> Iterator[Fault]:
    """Yields a fault for each marked parameter that does not go with another one, in some alternative.

    Args:
        use: the component.
        path: its key path.
        signature: that of the component.
        producer: says what references become.
    """
    for key, form in use.params.items():
        faults = [
            *(_fault(mark, form, (*path, key), use, producer) for mark in _marks(signature, key, NotWith)),
            *(_lacking(mark, form, (*path, key), use, producer) for mark in _marks(signature, key, Needs)),
            *(_other_length(mark, form, (*path, key), use, producer) for mark in _marks(signature, key, AsManyAs)),
        ]
        yield from (fault for fault in faults if fault is not None)


def contradictions_of_launch(document: Document, parameter: str, *, registry: Registry = REGISTRY) -> list[Fault]:
    """Gives a fault for each object that a parameter does not go with which the launch gives and the config does not.

    Args:
        document: a config without faults.
        parameter: its name, such as `parallelism` where experiments get several devices.
        registry: the components.
    """
    tree = Tree.read(document.root)
    producer = Producer(tree, registry)
    faults: dict[Fault, None] = {}
    for _, use in used_forms(tree):
        component = producer.component(use.name)
        for mark in () if component is None else _marks(signature_of(component), parameter, NotWith):
            met = (place for _, place in _met(mark, use, producer))
            faults.update((place.mark.fault(place.origin, mark.message), None) for place in met)
    return list(faults)


def _marks(signature: Signature, name: str, kind: type[_Mark]) -> list[_Mark]:
    known = signature.parameter(name)
    return [] if known is None else marks_of(known.annotation, kind)


def _met(mark: NotWith, use: Use, producer: Producer) -> Iterator[tuple[Choices, Use]]:
    """Yields each object among the other parameters of a component that a marked one does not go with."""
    for name in mark.within:
        if name in use.params:
            yield from _places_of(mark.kind, use.params[name], producer)


def _fault(mark: NotWith, form: Form, path: Path, use: Use, producer: Producer) -> Fault | None:
    met = [choices for choices, _ in _met(mark, use, producer)]
    for where, choices, value in alternatives_of(producer.tree, form, path, {}):
        is_meant = mark.values(value.value) if isinstance(value, Value) else True
        if is_meant and any(go_together(choices, one) for one in met):
            return value.mark.fault(where, mark.message)
    return None


def _lacking(mark: Needs, form: Form, path: Path, use: Use, producer: Producer) -> Fault | None:
    other = use.params.get(mark.other)
    missing: list[Choices] = [{}]
    if other is not None:
        places = alternatives_of(producer.tree, other, path, {})
        missing = [choices for _, choices, one in places if isinstance(one, Value) and one.value is None]
    met = (choices for choices, _ in _places_of(mark.kind, form, producer))
    found = any(go_together(choices, without) for choices in met for without in missing)
    return form.mark.fault(path, mark.message) if found else None


def _other_length(mark: AsManyAs, form: Form, path: Path, use: Use, producer: Producer) -> Fault | None:
    if mark.other not in use.params:
        return None
    others = list(_lists(use.params[mark.other], path, {}, producer.tree))
    for where, choices, own in _lists(form, path, {}, producer.tree):
        for _, other_choices, other in others:
            wanted, has = len(other.items), len(own.items)
            if wanted != has and go_together(choices, other_choices):
                message = f"needs one for each of the {wanted} in `{mark.other}`, but has {has}"
                return own.mark.fault(where, message)
    return None


def _lists(
    form: Form, path: Path, choices: Choices, tree: Tree, seen: frozenset[str] = frozenset()
) -> Iterator[tuple[Path, Choices, Items]]:
    """Yields the lists that a form can be, itself or by reference; what only building shows is left out."""
    for where, taken, one in alternatives_of(tree, form, path, choices):
        if isinstance(one, Items):
            yield where, taken, one
        elif isinstance(one, Reference) and one.target.output is None:
            name = one.target.name
            if name in tree.components and name not in seen:
                yield from _lists(tree.components[name], where, taken, tree, seen | {name})


def _places_of(kind: type, root: Form, producer: Producer) -> Iterator[tuple[Choices, Use]]:
    """Yields each object of a class that a form is, refers to or is made of, and the choices that lead to it."""
    tree, seen = producer.tree, set[tuple[str, frozenset[tuple[Any, int]]]]()
    stack: list[tuple[Form, Choices]] = [(root, {})]
    while stack:
        form, choices = stack.pop()
        match form := tree.follow(form):
            case Use():
                component = producer.component(form.name)
                made = None if component is None else origin_class(bare(signature_of(component).kind))
                if made is not None and issubclass(made, kind):
                    yield choices, form
                stack += [(inner, choices) for inner in form.params.values()]
            case Sweep() if not isinstance(form.alternatives, RangeForms):
                stack += [(form.alternatives[number], taken) for number, taken in taken_of(form, choices)]
            case Reference() if form.target.name in tree.components:
                key = form.target.name, frozenset(choices.items())
                if key not in seen:
                    seen.add(key)
                    stack.append((tree.components[form.target.name], choices))
            case Items():
                stack += [(inner, choices) for inner in form.items]
            case Entries():
                stack += [(inner, choices) for inner in form.entries.values()]
