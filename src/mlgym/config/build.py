"""A config to objects: each component that the experiment needs, once, with typed values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError

from mlgym.config.adapters import Misfit, adapter, problems, validate
from mlgym.config.circles import build_order, find_circles, needs_of
from mlgym.config.forms import Form, Reference, Sweep, Use
from mlgym.config.kinds import is_instance, type_text, wanted_text
from mlgym.config.nodes import PYTHON, Path, purpose_path, show_path
from mlgym.config.registry import REGISTRY, Component, Registry
from mlgym.config.selection import Selection, Tokens, selections
from mlgym.config.signature import SEED, Signature, signature_of
from mlgym.config.tree import Tree, tree_of
from mlgym.errors import ConfigError
from mlgym.names import did_you_mean
from mlgym.seeding import derive_seed


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the runner tells a config: `$run.seed` and the like.

    Args:
        seed: the seed of the experiment, >= 0.
        dir: the experiment's folder.
        device: where tensors live, such as `cuda:0`.
        experiment_id: its number in the run, from 0.
        fold: its fold, from 0; None where nothing is cross-validated.
    """

    seed: int = 0
    dir: str = "."
    device: str = "cpu"
    experiment_id: int = 0
    fold: int | None = None


BeforeEach: TypeAlias = Callable[[str], None]
"""Told the key path of each component just before it is built, as in `components.model.layers.0`."""
AfterEach: TypeAlias = Callable[[str, Any], None]
"""Told the key path of each component and the object that was built."""


def build(
    config: Mapping[str, Any],
    facts: RunFacts,
    *,
    registry: Registry = REGISTRY,
    before_each: BeforeEach | None = None,
    after_each: AfterEach | None = None,
) -> Any:
    """Gives the object of `experiment`, built with all that it needs.

    Args:
        config: a config without sweeps, such as `Point.config`.
        facts: what the runner tells.
        registry: the components.
        before_each: called before each component is built, to seed generators for it.
        after_each: is given each component as it was built.

    Raises:
        ConfigError: it cannot be built as it stands; `check` says so before.
        Exception: whatever a constructor raises, with a note that names the component.
    """
    tree = _single_tree(config)
    return _Builder(tree, facts, registry, before_each, after_each).object(tree.experiment, ("experiment",))


def build_component(config: Mapping[str, Any], name: str, facts: RunFacts, *, registry: Registry = REGISTRY) -> Any:
    """Gives one named component, built with all that it needs; see `build`.

    Raises:
        ConfigError: there is no such component, or it cannot be built as it stands.
    """
    tree = _single_tree(config)
    if name not in tree.components:
        raise PYTHON.start.error("components", f"no component named `{name}`{did_you_mean(name, tree.components)}")
    return _Builder(tree, facts, registry).object(tree.components[name], ("components", name), of_name=name)


class _Builder:
    def __init__(
        self,
        tree: Tree,
        facts: RunFacts,
        registry: Registry,
        before_each: BeforeEach | None = None,
        after_each: AfterEach | None = None,
    ) -> None:
        self._tree = tree
        self._facts = facts
        self._registry = registry
        self._before_each = before_each
        self._after_each = after_each
        self._built: dict[str, Any] = {}

    def object(self, form: Form, path: Path, *, of_name: str | None = None) -> Any:
        """Builds what a form needs, in order and without recursion, then the form itself."""
        needs = needs_of(self._tree)
        circles = find_circles(needs)
        if circles:
            raise ConfigError(circles)
        roots = [of_name] if of_name else [reference.target.name for _, reference in self._tree.references(form)]
        for name in build_order(needs, self._known(roots, form)):
            self._built[name] = self.value(self._tree.components[name], ("components", name), Any)
        return self._built[of_name] if of_name else self.value(form, path, Any)

    def _known(self, names: Iterable[str], form: Form) -> list[str]:
        listed = list(names)
        for name in listed:
            if name not in self._tree.components:
                message = f"no component named `{name}`{did_you_mean(name, self._tree.components)}"
                raise form.mark.error(form.origin, message)
        return listed

    def value(self, form: Form, path: Path, annotation: Any) -> Any:
        """Gives the typed value of a form, components in it built."""
        selection = next(selections(self._tree, form, path))
        tokens = Tokens(facts=asdict(self._facts))
        data = tokens.data(selection)
        # Built before pydantic looks at them: it would take a constructor's `ValueError` for a misfit of its own.
        made = {token: self._behind(inner) for token, inner in tokens.behind.items()}
        try:
            return validate(adapter(annotation), data, _Objects(made, tokens))
        except ValidationError as error:
            faults = [
                where.form.mark.fault(where.path, str(problem))
                for problem in problems(error)
                for where in [selection.at(problem.location)]
            ]
            raise ConfigError(faults) from None

    def _behind(self, selection: Selection) -> Any:
        """Gives the object behind a token."""
        match selection.form:
            case Use():
                return self._construct(selection.form, selection.path)
            case Reference():
                return self._output(selection.form, selection.path)
        raise AssertionError("holes are refused when a config is read")

    def _output(self, reference: Reference, path: Path) -> Any:
        name, output = reference.target.name, reference.target.output
        if name not in self._built:
            message = f"no component named `{name}`{did_you_mean(name, self._tree.components)}"
            raise reference.mark.error(path, message)
        made = self._built[name]
        if output is None:
            return made
        if isinstance(made, Mapping):
            if output in made:
                return made[output]
            known: Iterable[str] = map(str, made)
        elif hasattr(made, output):
            return getattr(made, output)
        else:
            known = (attribute for attribute in dir(made) if not attribute.startswith("_"))
        tail = did_you_mean(output, known, intro="it has")
        raise reference.mark.error(path, f"`{name}` has no output `{output}`{tail}")

    def _construct(self, use: Use, path: Path) -> Any:
        component = self._registry.find(use.name)
        signature = signature_of(component)
        values: dict[str, Any] = {}
        for key, form in use.params.items():
            parameter = signature.parameter(key)
            if parameter is None:
                tail = did_you_mean(key, signature.params, intro="it has")
                raise form.mark.error((*path, key), f"`{use.name}` has no parameter `{key}`{tail}")
            values[key] = self.value(form, (*path, key), parameter.annotation)
        if SEED in signature.params and SEED not in values:
            values[SEED] = derive_seed(self._facts.seed, purpose_path(path))
        if self._before_each is not None:
            self._before_each(purpose_path(path))
        try:
            made = _call(component, signature, values)
        except Exception as error:
            error.add_note(f"while building {show_path(path)} = {use.name}({', '.join(use.params)})")
            raise
        if self._after_each is not None:
            self._after_each(purpose_path(path), made)
        return made


def _call(component: Component, signature: Signature, values: Mapping[str, Any]) -> Any:
    positional = [
        values[name] for name, parameter in signature.params.items() if parameter.is_positional_only and name in values
    ]
    named = {
        name: value
        for name, value in values.items()
        if name not in signature.params or not signature.params[name].is_positional_only
    }
    target: Callable[..., Any] = component.target
    return functools.partial(target, *positional, **named) if component.call_args else target(*positional, **named)


def _single_tree(config: Mapping[str, Any]) -> Tree:
    tree = tree_of(config)
    for path, form in tree.sections():
        for where, inner in tree.walk(form, path):
            if isinstance(inner, Sweep):
                raise inner.mark.error(where, "only the config of one experiment can be built; unfold the sweep first")
    return tree


class _Objects:
    """Takes tokens by the objects behind them."""

    def __init__(self, made: Mapping[str, Any], tokens: Tokens) -> None:
        self._made = made
        self._tokens = tokens

    def take(self, token: str, wanted: Any) -> Any:
        """Gives the object behind a token; see `adapters.Resolver`."""
        made = self._made[token]
        if not is_instance(made, wanted):
            form = self._tokens.behind[token].form
            what = str(form.target) if isinstance(form, Reference) else "the component"
            raise Misfit(f"needs {wanted_text(wanted)}, but {what} is {type_text(type(made))}")
        return made
