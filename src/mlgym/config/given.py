"""Parts of a config as a component's class may look at them before anything is built: what stands there, no more.

A class tells by a class method of its own, such as `scores_of`, what its objects will be like. It is asked without
making one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mlgym.config.build import RunFacts, build
from mlgym.config.forms import Entries, Form, Items, RangeForms, Reference, Sweep, Use, Value
from mlgym.config.kinds import bare
from mlgym.config.nodes import Path, PlainScalar, show_path
from mlgym.config.registry import Component, Registry
from mlgym.config.signature import signature_of
from mlgym.config.tree import Tree
from mlgym.errors import Fault, MlgymError

_MOST_VARIANTS: Final = 64
_MOST_STEPS: Final = 10_000


class NotKnownError(Exception):
    """What is asked for is not known before something is built."""


@dataclass(slots=True)
class Glance:
    """A look at a config, which ends before it becomes a long one: alternatives within alternatives multiply.

    Args:
        tree: the config.
        registry: the components.
        steps_left: at how many more forms it may look.
        seen: the forms at which it looked.
    """

    tree: Tree
    registry: Registry
    steps_left: int = _MOST_STEPS
    seen: set[Form] = field(default_factory=set)

    def take_step(self, form: Form) -> Form:
        """Counts a form and gives what stands behind it.

        Raises:
            NotKnownError: it was one too many.
        """
        self.steps_left -= 1
        if self.steps_left < 0:
            raise NotKnownError
        followed = self.tree.follow(form)
        self.seen |= {form, followed}
        return followed

    def meets(self, faults: Collection[Fault]) -> bool:
        """Says whether something is wrong with a part of the config at which it looked."""
        if not faults:
            return False
        places = {fault.path for fault in faults}
        parts = {form.origin[:length] for form in self.seen for length in range(len(form.origin) + 1)}
        unknown = (
            (*form.origin, key)
            for form in self.seen
            if isinstance(form, Use) and form.name in self.registry
            for key in form.params
            if signature_of(self.registry.find(form.name)).parameter(key) is None
        )
        return not places.isdisjoint(map(show_path, (*parts, *unknown)))


@dataclass(frozen=True, slots=True)
class Given:
    """What a config gives at some place, in one alternative of the sweeps on the way; references are followed.

    Args:
        form: a component, a list, a mapping or a value.
        path: the key path of the place.
        glance: at which config.
    """

    form: Form
    path: Path
    glance: Glance

    @classmethod
    def each(cls, form: Form, path: Path, glance: Glance) -> Iterator[Given]:
        """Gives what a form can be, in all its alternatives; there must be no circles of references.

        Raises:
            NotKnownError: a part of it is a fact of the runner, an output of an object, or wrong.
        """
        form = glance.take_step(form)
        match form:
            case Sweep() if not isinstance(form.alternatives, RangeForms):
                for number, alternative in enumerate(form.alternatives):
                    yield from cls.each(alternative, (*path, *form.steps(number)), glance)
            case Reference():
                yield from cls.each(_behind(form, glance.tree), path, glance)
            case Use() | Items() | Entries() | Value():
                yield cls(form, path, glance)
            case _:
                raise NotKnownError

    def parameter(self, name: str) -> list[Given]:
        """Gives what a parameter of the component is, in all alternatives; nothing where it is left out."""
        return self._each((name,), self._use.params[name]) if name in self._use.params else []

    def items(self) -> list[Given]:
        """Gives what is in a list, each in all alternatives."""
        if not isinstance(self.form, Items):
            raise NotKnownError
        return [each for place, item in enumerate(self.form.items) for each in self._each((place,), item)]

    def names(self) -> list[str]:
        """Gives the keys of a mapping, or the names of the outputs of a component that gives one."""
        if isinstance(self.form, Entries):
            return list(self.form.entries)
        outputs = self.component.outputs
        if outputs is None or not self.parameter(outputs):
            raise NotKnownError
        return [key for each in self.parameter(outputs) for key in each.names()]

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.form, Items)

    @property
    def value(self) -> PlainScalar:
        """The plain value."""
        if not isinstance(self.form, Value):
            raise NotKnownError
        return self.form.value

    @property
    def is_none(self) -> bool:
        """Whether it is written that there is nothing."""
        return isinstance(self.form, Value) and self.form.value is None

    @property
    def component(self) -> Component:
        """What is registered under the name of the component."""
        try:
            return self.glance.registry.find(self._use.name)
        except MlgymError:
            raise NotKnownError from None

    @property
    def kind(self) -> Any:
        """The type of what the component becomes; `Any` where that is not said."""
        return bare(signature_of(self.component).kind)

    def own(self, method: str) -> Callable[..., Any]:
        """Gives a class method that the component's class has itself; one that it inherits knows nothing of it."""
        target = self.component.target
        if not isinstance(target, type) or method not in vars(target):
            raise NotKnownError
        found: Callable[..., Any] = getattr(target, method)
        return found

    def variants(self) -> Iterator[Any]:
        """Builds the component in all its alternatives; for those that cost nothing and need plain values only."""
        parameters = {name: self.parameter(name) for name in self._use.params}
        chosen = list(itertools.islice(itertools.product(*parameters.values()), _MOST_VARIANTS + 1))
        if len(chosen) > _MOST_VARIANTS:
            raise NotKnownError
        for values in chosen:
            plain = {name: each.value for name, each in zip(parameters, values, strict=True)}
            try:
                yield build({"experiment": {"use": self._use.name, **plain}}, RunFacts(), registry=self.glance.registry)
            except MlgymError:
                raise NotKnownError from None

    @property
    def _use(self) -> Use:
        if not isinstance(self.form, Use):
            raise NotKnownError
        return self.form

    def _each(self, steps: Path, form: Form) -> list[Given]:
        return list(self.each(form, (*self.path, *steps), self.glance))


def _behind(reference: Reference, tree: Tree) -> Form:
    target = reference.target
    named = tree.components.get(target.name)
    named = None if named is None else tree.follow(named)
    if target.output is not None:
        named = named.entries.get(target.output) if isinstance(named, Entries) else None
    if named is None:
        raise NotKnownError
    return named
