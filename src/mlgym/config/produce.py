"""What stands behind a form before anything is built: the kinds of objects it can become, and their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlgym.config.forms import Entries, Form, Hole, Items, RangeForms, Reference, Sweep, Use, Value
from mlgym.config.kinds import generic_value
from mlgym.config.registry import Component, Registry
from mlgym.config.signature import EMPTY, Outputs, outputs_of_kind, signature_of
from mlgym.config.tree import Tree
from mlgym.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Product:
    """One thing that a form can become.

    Args:
        kind: its type, `Any` where unknown.
        text: how messages call it: `$loss`, `` `adam` ``.
        group: set for a list or mapping of components; its parts are checked one by one.
    """

    kind: Any
    text: str
    group: Form | None = None


class Producer:
    """Finds components and says what they become; each named component is looked at once."""

    def __init__(self, tree: Tree, registry: Registry) -> None:
        """Sets the config and the table of components."""
        self.tree = tree
        self._registry = registry
        self._products: dict[str, list[Product]] = {}
        self._outputs: dict[str, list[Outputs]] = {}

    def component(self, name: str) -> Component | None:
        """Gives a component, None where it is not registered or its entry point fails."""
        try:
            return self._registry.find(name)
        except RegistryError:
            return None

    def products(self, form: Form) -> list[Product]:
        """Gives what a form can become, in all its alternatives, each kind once."""
        found: list[Product] = []
        for product in self._each_product(self.tree.follow(form)):
            if product.group is not None or not any(product.kind == other.kind for other in found):
                found.append(product)
        return found

    def _each_product(self, form: Form) -> Iterator[Product]:
        match form:
            case Use():
                component = self.component(form.name)
                yield Product(signature_of(component).kind if component else Any, f"`{form.name}`")
            case Sweep(alternatives=RangeForms()):
                yield Product(Any, "a range", form.alternatives[0])
            case Sweep():
                for alternative in form.alternatives:
                    yield from self.products(alternative)
            case Reference():
                yield from self._behind(form)
            case Items() | Entries() | Value():
                yield Product(Any, "it", form)
            case _:
                yield Product(Any, "it")

    def _behind(self, reference: Reference) -> Iterator[Product]:
        target, text = reference.target, str(reference.target)
        form = self.tree.components.get(target.name)
        if form is None:
            yield Product(Any, text)
        elif target.output is None:
            for product in self._named_products(target.name):
                yield Product(product.kind, text, product.group)
        elif isinstance(group := self.tree.follow(form), Entries):
            for product in self.products(group.entries.get(target.output, Hole(form.mark, form.origin))):
                yield Product(product.kind, text, product.group)
        else:
            for outputs in self.outputs(target.name):
                kind = outputs.kind(target.output)
                yield Product(Any if kind is None else kind, text)

    def _named_products(self, name: str) -> list[Product]:
        if name not in self._products:
            self._products[name] = [Product(Any, f"${name}")]  # stands while a circle leads back here
            self._products[name] = self.products(self.tree.components[name])
        return self._products[name]

    def outputs(self, name: str) -> list[Outputs]:
        """Gives the outputs of a named component, once for each alternative that has other ones."""
        if name not in self._outputs:
            self._outputs[name] = [Outputs({}, Any)]  # stands while a circle leads back here
            self._outputs[name] = _distinct(self._each_outputs(self.tree.components[name]))
        return self._outputs[name]

    def _each_outputs(self, form: Form) -> Iterator[Outputs]:
        form = self.tree.follow(form)
        match form:
            case Use():
                yield from self._outputs_of_use(form)
            case Sweep() if not isinstance(form.alternatives, RangeForms):
                for alternative in form.alternatives:
                    yield from self._each_outputs(alternative)
            case Reference() if form.target.output is None and form.target.name in self.tree.components:
                yield from self.outputs(form.target.name)
            case Reference():
                yield from (outputs_of_kind(product.kind) for product in self.products(form))
            case Entries():
                yield Outputs(dict.fromkeys(form.entries, Any))
            case Items() | Value():
                yield Outputs({})
            case _:
                yield Outputs({}, Any)

    def _outputs_of_use(self, use: Use) -> Iterator[Outputs]:
        component = self.component(use.name)
        if component is None:
            yield Outputs({}, Any)
        elif component.outputs is None:
            yield outputs_of_kind(signature_of(component).kind)
        else:
            signature = signature_of(component)
            value = generic_value(signature.kind)
            for names in self._keys(use.params.get(component.outputs), signature.params.get(component.outputs)):
                yield Outputs(dict.fromkeys(names, value)) if names is not None else Outputs({}, value)

    def _keys(self, form: Form | None, parameter: Any) -> Iterator[list[str] | None]:
        """Gives the keys of a mapping parameter in each alternative, None where they are not known before building."""
        form = self.tree.follow(form) if form else None
        match form:
            case None:
                default = getattr(parameter, "default", EMPTY)
                yield list(default) if isinstance(default, Mapping) else None
            case Entries():
                yield list(form.entries)
            case Sweep():
                for alternative in form.alternatives:
                    yield from self._keys(alternative, parameter)
            case Reference() if form.target.output is None and form.target.name in self.tree.components:
                for outputs in self.outputs(form.target.name):
                    yield list(outputs.kinds) if outputs.other is None else None
            case _:
                yield None


def _distinct(outputs: Iterator[Outputs]) -> list[Outputs]:
    found: list[Outputs] = []
    for one in outputs:
        if one not in found:
            found.append(one)
    return found
