"""The flat table from a component's name to the Python class or function behind it.

Holds registering and finding; reading signatures is in `signature`, checking configs in `check`. Knows no PyTorch.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mlgym.errors import RegistryError
from mlgym.names import COMPONENT_NAME, did_you_mean

ENTRY_POINT_GROUP: Final = "mlgym.components"
BUILT_IN_MODULES: Final = ("mlgym.components", "mlgym.training", "mlgym.validation.search")

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_T = TypeVar("_T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Component:
    """One row of the registry.

    Args:
        name: the name that configs use.
        target: the class or function; called with the config's parameters to build the object.
        call_args: parameters of `target` that are given at each call and not in a config; where there are any, the
            built object is `target` with the config's parameters bound.
        outputs: name of the parameter whose keys are the outputs of the object, such as `fractions` of a split;
            None where the outputs follow from the return type.
        late_imports: modules that `target` imports only when it is called, since they take long.
    """

    name: str
    target: Callable[..., Any]
    call_args: tuple[str, ...] = ()
    outputs: str | None = None
    late_imports: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where the component is defined, as `file:line`."""
        try:
            lines, line = inspect.getsourcelines(self.target)
            return f"{inspect.getsourcefile(self.target)}:{line if lines else 0}"
        except (OSError, TypeError):
            return f"{self.target.__module__}.{self.target.__qualname__}"


class Registry:
    """A table of components; the project uses one, `REGISTRY`, and tests make their own."""

    def __init__(self, *, modules: Sequence[str] = (), group: str | None = None) -> None:
        """Makes an empty table.

        Args:
            modules: modules that register components, imported when a name is first looked up.
            group: entry point group whose members are loaded only when their name is used; None for none.
        """
        self._components: dict[str, Component] = {}
        self._modules = tuple(modules)
        self._is_loading = False
        self._group = group
        self._entry_points: dict[str, list[EntryPoint]] | None = None

    def register(
        self,
        name: str,
        *,
        call_args: Sequence[str] = (),
        outputs: str | None = None,
        late_imports: Sequence[str] = (),
    ) -> Callable[[_T], _T]:
        """Gives a decorator that enters a class or function under `name` and returns it unchanged.

        Args:
            name: letters, digits and `_`, not starting with a digit.
            call_args: parameters given at each call instead of in the config: a function registered with
                `call_args=("model", "batch")` is a whole training step.
            outputs: the parameter whose keys name the outputs (`$name.output`) of the built object.
            late_imports: modules that the component imports only when it is used, since they take long. A run that
                uses it imports them once, before its experiments are forked, so they must start no threads; those that
                are not installed are left out.

        Raises:
            RegistryError: the name is malformed or taken by another definition, or `call_args` or `outputs` names no
                parameter.
        """
        call_args = (call_args,) if isinstance(call_args, str) else call_args  # a text is a sequence of letters

        def enter(target: _T) -> _T:
            _refuse_other_parameters(name, target, {"call_args": call_args, "outputs": [outputs] if outputs else []})
            self._enter(Component(name, target, tuple(call_args), outputs, tuple(late_imports)))
            return target

        if not COMPONENT_NAME.fullmatch(str(name)):  # a class, where somebody wrote `@register` alone
            raise RegistryError(
                f"component name {name!r} must be letters, digits and `_`, not starting with a digit, as in "
                '`@register("my_model")`'
            )
        return enter

    def _enter(self, component: Component) -> None:
        taken = self._components.get(component.name)
        if taken is not None and not _same_definition(taken, component):
            raise RegistryError(
                f"two components are registered as `{component.name}`: {taken.place} and {component.place}; "
                "rename one of them"
            )
        self._components[component.name] = component

    def find(self, name: str) -> Component:
        """Gives the component of that name, loading MLgym's own and entry points as needed.

        Raises:
            RegistryError: nothing is registered under that name; the text has the nearest one.
        """
        self._load_modules()
        if name not in self._components:
            self._load_entry_point(name)
        if name not in self._components:
            raise RegistryError(f"no component is registered as `{name}`{did_you_mean(name, self.names())}")
        return self._components[name]

    def names(self) -> list[str]:
        """Gives every known name in alphabetical order, entry points included without loading them."""
        self._load_modules()
        return sorted({*self._components, *self._find_entry_points()})

    def __iter__(self) -> Iterator[Component]:
        """Gives every component that can be used; `broken` says what is wrong with the others."""
        broken = self.broken()
        return (self.find(name) for name in self.names() if name not in broken or name in self._components)

    def broken(self) -> dict[str, str]:
        """Gives what is wrong with entry points that cannot be used, by their name; loads all of them."""
        self._load_modules()
        found: dict[str, str] = {}
        for name in self._find_entry_points():
            try:
                self.refuse_twin(name)
            except RegistryError as error:
                found[name] = str(error)
        return found

    def refuse_twin(self, name: str) -> None:
        """Loads the entry point of that name, if there is one, beside what is registered under it.

        `find` does not, since looking for entry points takes 50 ms in each fresh process.

        Raises:
            RegistryError: the entry point gives another definition, several have the name, or it fails.
        """
        if name in self._find_entry_points():
            self._load_entry_point(name)

    def __contains__(self, name: str) -> bool:
        self._load_modules()
        return name in self._components or name in self._find_entry_points()

    def name_of(self, thing: object) -> str | None:
        """Gives the name under which a function or the class of an object is registered, None where it is not.

        Args:
            thing: an object, a function, or a function with bound parameters; nothing is loaded for it.
        """
        function = thing.func if isinstance(thing, functools.partial) else thing
        for name, component in self._components.items():
            if component.target is function or component.target is type(thing):  # metrics redefine `==`
                return name
        return None

    def _load_modules(self) -> None:
        if self._is_loading:  # a module that looks up a name while it is imported
            return
        self._is_loading = True
        try:
            while self._modules:
                importlib.import_module(self._modules[0])
                self._modules = self._modules[1:]
        finally:
            self._is_loading = False

    def _find_entry_points(self) -> dict[str, list[EntryPoint]]:
        if self._entry_points is None:
            # Imported here: it takes 50 ms, and `mlgym --help` never gets this far.
            from importlib.metadata import entry_points

            found = entry_points(group=self._group) if self._group else ()
            self._entry_points = {}
            for point in found:
                namesakes = self._entry_points.setdefault(point.name, [])
                if all(point.value != other.value for other in namesakes):  # one package may lie on the path twice
                    namesakes.append(point)
        return self._entry_points

    def _load_entry_point(self, name: str) -> None:
        points = self._find_entry_points().get(name, [])
        if not points:
            return
        if len(points) > 1:
            places = " and ".join(f"`{point.value}`{_package(point)}" for point in points[:2])
            raise RegistryError(f"two entry points are called `{name}`: {places}; remove one of the packages")
        (point,) = points
        try:
            loaded = point.load()
        except RegistryError:
            raise
        except Exception as error:
            raise RegistryError(
                f"component `{name}` of the entry point `{point.value}` cannot be imported: {error}"
            ) from error
        # A module registers by being imported; a class or function is entered here.
        if callable(loaded):
            component = Component(name, loaded)
            taken = self._components.get(name)
            if taken is None or not _same_definition(taken, component):
                self._enter(component)


def _refuse_other_parameters(name: str, target: Callable[..., Any], named: Mapping[str, Sequence[str]]) -> None:
    if not any(named.values()):  # reading the signature of each of hundreds would take time for nothing
        return
    try:
        params = inspect.signature(target).parameters
    except (ValueError, TypeError):
        return
    if any(param.kind in (param.VAR_POSITIONAL, param.VAR_KEYWORD) for param in params.values()):
        return
    for option, wanted in named.items():
        for each in wanted:
            if each not in params:
                raise RegistryError(
                    f"component `{name}` has no parameter `{each}`, which `{option}` names"
                    f"{did_you_mean(each, params, intro='it has')}"
                )


def _package(point: EntryPoint) -> str:
    return f" of the package `{point.dist.name}`" if point.dist else ""


def _same_definition(one: Component, other: Component) -> bool:
    # Importing a module again (a notebook cell, `importlib.reload`) defines the same thing anew.
    def key(component: Component) -> tuple[str, str]:
        return component.target.__module__.removeprefix("__mp_main__"), component.target.__qualname__

    return key(one) == key(other)


REGISTRY: Final = Registry(modules=BUILT_IN_MODULES, group=ENTRY_POINT_GROUP)
register = REGISTRY.register
