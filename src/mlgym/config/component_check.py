"""One component against its signature: names of parameters, values, kinds of the components and references in them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Final

from pydantic import ValidationError

from mlgym.config.adapters import KnownNames, Misfit, Problem, adapter, joined, list_adapter, problems, validate
from mlgym.config.contradiction import contradictions
from mlgym.config.document import MAX_FAULTS
from mlgym.config.forms import Form, RangeForms, Sweep, Use, Value
from mlgym.config.kinds import bare, fits, fits_item, type_text, wanted_text
from mlgym.config.nodes import Path, PlainScalar, show_path
from mlgym.config.produce import Producer, Product
from mlgym.config.registry import Component, Registry
from mlgym.config.selection import Selection, Tokens, selections
from mlgym.config.signature import Signature, signature_of
from mlgym.config.tree import Tree
from mlgym.config.whole_value import faults_of_whole
from mlgym.errors import Fault, RegistryError
from mlgym.names import did_you_mean, nearest

_MAX_LISTED: Final = 8
"""More parameters than this are listed only where none is near."""


class ComponentCheck:
    """Checks components and values of one config."""

    def __init__(
        self,
        tree: Tree,
        registry: Registry,
        producer: Producer,
        *,
        names_are_known: bool = True,
        told: Container[str] = (),
    ) -> None:
        """Sets what to check against.

        Args:
            tree: the config.
            registry: the components.
            producer: says what references become.
            names_are_known: whether an unregistered name is a fault; it is not where an import failed.
            told: named components that are told to be none; whoever refers to them is not at fault.
        """
        self._tree = tree
        self._registry = registry
        self._producer = producer
        self._names_are_known = names_are_known
        self._told = told
        self._known = KnownNames(tree.components, registry)

    def check(self, use: Use, path: Path) -> list[Fault]:
        """Gives what is wrong with a component, what is wrong inside nested ones left out."""
        try:
            component = self._registry.find(use.name)
            self._registry.refuse_twin(use.name)
        except RegistryError as error:
            return self._unknown(use, path, error)
        signature = signature_of(component)
        faults = _check_names(use, path, component, signature)
        for key, form in use.params.items():
            parameter = signature.parameter(key)
            if parameter is not None:
                found = self.check_value(form, (*path, key), parameter.annotation)
                faults += found or faults_of_whole(form, (*path, key), parameter.annotation, self._tree)
        return [*faults, *contradictions(use, path, signature, self._producer)]

    def _unknown(self, use: Use, path: Path, error: RegistryError) -> list[Fault]:
        if use.name in self._registry:  # an entry point that fails or has a namesake
            return [use.name_mark.fault((*path, "use"), str(error))]
        if not self._names_are_known:
            return []
        near = nearest(use.name, self._registry.names())
        tail = f"; did you mean `{near}`?" if near else "; `mlgym components` lists all, `imports` adds your own"
        where = use.name_path if use.origin == path else (*path, "use")
        return [use.name_mark.fault(where, f"no component is registered as `{use.name}`{tail}")]

    def check_value(self, form: Form, path: Path, annotation: Any) -> list[Fault]:
        """Gives what is wrong with a value of a parameter, in all its alternatives."""
        form = self._tree.follow(form)
        if isinstance(form, Sweep) and (values := _scalars(form)) is not None:
            return self._check_scalars(form, values, path, annotation)
        made = adapter(annotation)
        faults: dict[Fault, None] = {}
        for selection in selections(self._tree, form, path):
            faults.update(dict.fromkeys(self._check_selection(selection, made, annotation)))
        return list(faults)

    def _check_scalars(self, sweep: Sweep, values: list[PlainScalar], path: Path, annotation: Any) -> list[Fault]:
        try:
            validate(list_adapter(annotation), values, None, self._known)
        except ValidationError as error:
            by_index: dict[int, list[Problem]] = {}
            for problem in problems(error):
                index = next(step for step in problem.location if isinstance(step, int))
                by_index.setdefault(index, []).append(problem)
            if isinstance(sweep.alternatives, RangeForms):  # written in one place, so one of them says it
                by_index = dict([next(iter(by_index.items()))])
            return [
                _fault(Selection(sweep.alternatives[i], (*path, "sweep", i)), messages)
                for i, messages in by_index.items()
            ]
        return []

    def _check_selection(self, selection: Selection, made: Any, annotation: Any) -> list[Fault]:
        tokens = Tokens()
        try:
            validate(made, tokens.data(selection), _Kinds(self, tokens), self._known)
        except ValidationError as error:
            return [_fault(where, found) for where, found in _located(error, selection, annotation)]
        return []

    def complaint(self, token: Selection, wanted: Any) -> str | None:
        """Gives why what stands behind a token doesn't fit a type, None where it does."""
        products = self._producer.products(token.form)
        for product in products:
            if product.group is not None:
                message = self._group_complaint(product, wanted)
            elif not fits(product.kind, wanted):
                verb = "is" if len(products) == 1 else "can be"
                message = f"needs {wanted_text(wanted)}, but {product.text} {verb} {type_text(product.kind)}"
                message += "; put it into a list" if fits_item(product.kind, wanted) else ""
            else:
                message = None
            if message:
                return message
        return None

    def _group_complaint(self, product: Product, wanted: Any) -> str | None:
        assert product.group is not None
        origin = product.group.origin
        if bare(wanted) is Any or (origin[:1] == ("components",) and origin[1] in self._told):
            return None
        faults = self.check_value(product.group, product.group.origin, wanted)
        if not faults:
            return None
        return f"needs {wanted_text(wanted)}, but {product.text} does not fit: {faults[0].path} {faults[0].message}"


class _Kinds:
    """Takes tokens by the kinds of what stands behind them."""

    def __init__(self, parts: ComponentCheck, tokens: Tokens) -> None:
        self._parts = parts
        self._tokens = tokens

    def take(self, token: str, wanted: Any) -> object:
        """Gives an object that stands for the one that will be built; see `adapters.Resolver`."""
        complaint = self._parts.complaint(self._tokens.behind[token], wanted)
        if complaint:
            raise Misfit(complaint)
        return object()


def _check_names(use: Use, path: Path, component: Component, signature: Signature) -> list[Fault]:
    faults: list[Fault] = []
    for key, form in use.params.items():
        if len(faults) == MAX_FAULTS:
            break
        if key in signature.call_args:
            message = f"`{component.name}` is given `{key}` at each call; leave it out"
            faults.append(form.mark.fault((*path, key), message))
        elif signature.parameter(key) is None:
            tail = _split_key(key, signature) or did_you_mean(
                key, signature.params, max_listed=_MAX_LISTED, intro="it has"
            )
            tail = tail or "; it has none"
            faults.append(form.mark.fault((*path, key), f"`{component.name}` has no parameter `{key}`{tail}"))
    # What is misspelled isn't missing too.
    unknown = [key for key in use.params if signature.parameter(key) is None][:MAX_FAULTS]
    given = {*use.params, *(nearest(key.partition(":")[0], signature.params) for key in unknown)}
    missing = [f"`{name}`" for name, param in signature.params.items() if param.is_required and name not in given]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        message = f"`{component.name}` needs the parameter{plural} {', '.join(missing)}"
        faults.append(use.name_mark.fault(path, message))
    return faults


def _split_key(key: str, signature: Signature) -> str:
    """Gives what to write for `lr:0.1`, which YAML reads as one word."""
    name, colon, value = key.partition(":")
    return f"; write `{name}: {value}`, with a space" if colon and name in signature.params else ""


def _scalars(sweep: Sweep) -> list[PlainScalar] | None:
    """Gives the alternatives of a sweep over scalars, None for any other sweep."""
    if isinstance(sweep.alternatives, RangeForms):
        return sweep.alternatives.values.corners()
    values = [alternative.value for alternative in sweep.alternatives if isinstance(alternative, Value)]
    return values if len(values) == len(sweep.alternatives) else None


def _located(error: ValidationError, selection: Selection, annotation: Any) -> list[tuple[Selection, list[Problem]]]:
    """Gives the problems by the place they belong to; of a union only the branch that got furthest counts."""
    found: dict[Path, tuple[Selection, list[Problem]]] = {}
    for problem in problems(error, annotation):
        where = selection.at(problem.location)
        found.setdefault(where.path, (where, []))[1].append(problem)
    return [
        entry
        for path, entry in found.items()
        if not any(other != path and other[: len(path)] == path for other in found)
    ]


def _fault(where: Selection, found: Sequence[Problem]) -> Fault:
    written = where.form.origin
    note = f" (written at `{show_path(written)}`)" if written[:1] == ("vars",) and where.path[:1] != ("vars",) else ""
    return where.form.mark.fault(where.path, joined(found) + note)
