"""Python signatures as the schema of components: parameters, the kind that a component makes, its outputs."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlgym.config.kinds import (
    CALLABLE,
    bare,
    generic_value,
    is_callable_type,
    is_typed_dict,
    origin_class,
    union_members,
)
from mlgym.config.registry import Component

EMPTY: Final = inspect.Parameter.empty
SEED: Final = "seed"
"""A parameter of this name that a config leaves out gets a seed derived for the component."""


@dataclass(frozen=True, eq=False)
class Parameter:
    """One parameter of a component.

    Args:
        name: its name.
        annotation: its type with `Annotated` parts; `Any` where there is none or it cannot be read.
        default: its default, `EMPTY` where it has none.
        is_positional_only: whether Python takes it by position alone.
    """

    name: str
    annotation: Any
    default: Any = EMPTY
    is_positional_only: bool = False

    @property
    def is_required(self) -> bool:
        """Whether a config must give it."""
        return self.default is EMPTY and self.name != SEED


@dataclass(frozen=True)
class Signature:
    """What a component takes and makes.

    Args:
        params: the parameters that a config gives, by name, in order.
        call_args: those given at each call.
        further: annotation of `**kwargs`, None where there are none: any further parameter is taken.
        kind: what building it gives: a class, another type, or `Any` where that is unknown.
    """

    params: Mapping[str, Parameter]
    call_args: tuple[str, ...]
    further: Any
    kind: Any

    def parameter(self, name: str) -> Parameter | None:
        """Gives a parameter, one that `**kwargs` takes included; None where there is no such one."""
        known = self.params.get(name)
        if known is None and self.further is not None and name not in self.call_args:
            return Parameter(name, self.further)
        return known


@dataclass(frozen=True)
class Outputs:
    """What `$name.output` may name.

    Args:
        kinds: kind of each output that is known.
        other: kind of any further one; None where there is none.
        inherited: those of `kinds` that come from another package, such as `training` of a torch module; they can be
            named, but are not shown.
    """

    kinds: Mapping[str, Any]
    other: Any = None
    inherited: frozenset[str] = frozenset()

    @property
    def shown(self) -> list[str]:
        """The names that users are told."""
        return [name for name in self.kinds if name not in self.inherited]

    def kind(self, name: str) -> Any:
        """Gives the kind of an output, None where there is no such one."""
        return self.kinds.get(name, self.other)


@functools.cache
def signature_of(component: Component) -> Signature:
    """Gives the signature of a component; what cannot be read takes and makes anything."""
    try:
        signature = inspect.signature(component.target)
    except (ValueError, TypeError):
        return Signature({}, component.call_args, Any, _kind_of(component, Any))
    hints = _hints(component.target)
    params: dict[str, Parameter] = {}
    further: Any = None
    for raw in signature.parameters.values():
        annotation = hints.get(raw.name, Any)
        if raw.kind is inspect.Parameter.VAR_KEYWORD:
            further = annotation
        elif raw.kind is not inspect.Parameter.VAR_POSITIONAL and raw.name not in component.call_args:
            is_positional_only = raw.kind is inspect.Parameter.POSITIONAL_ONLY
            params[raw.name] = Parameter(raw.name, annotation, raw.default, is_positional_only)
    return Signature(params, component.call_args, further, _kind_of(component, hints.get("return", Any)))


def _kind_of(component: Component, returned: Any) -> Any:
    if component.call_args:
        return CALLABLE
    target = component.target
    if isinstance(target, type):
        return target
    return returned


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Gives the annotations that can be read, each by itself, so that one unreadable one costs only itself."""
    while isinstance(target, functools.partial):
        target = target.func
    hints: dict[str, Any] = {}
    for function in _functions(target):
        namespace = getattr(inspect.unwrap(function), "__globals__", {})
        for name, annotation in getattr(function, "__annotations__", {}).items():
            hint = _resolved(name, annotation, namespace)
            if hint is not EMPTY:
                hints.setdefault(name, hint)
    if isinstance(target, type):
        # Fields of dataclasses, models and named tuples are annotated on the class, each in its own module.
        hints.pop("return", None)
        for name, hint in class_hints(target).items():
            hints.setdefault(name, hint)
    return hints


def _functions(target: Any) -> Iterator[Any]:
    if isinstance(target, type):
        yield from (
            vars(base)[name] for base in target.__mro__ for name in ("__init__", "__new__") if name in vars(base)
        )
    elif isinstance(target, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
        yield target
    else:
        yield next((vars(base)["__call__"] for base in type(target).__mro__ if "__call__" in vars(base)), target)


def _resolved(name: str, annotation: Any, namespace: Mapping[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(holder, dict(namespace), include_extras=True)[name]
    except Exception:  # an annotation is code of somebody else and may raise anything
        return EMPTY


@functools.cache
def class_hints(cls: type) -> Mapping[str, Any]:
    """Gives the annotations on a class and its bases that can be read, those of the class itself first."""
    hints: dict[str, Any] = {}
    for base in cls.__mro__:
        namespace = vars(inspect.getmodule(base) or typing)
        for name, annotation in vars(base).get("__annotations__", {}).items():
            hint = _resolved(name, annotation, {**namespace, base.__name__: base})
            if hint is not EMPTY:
                hints.setdefault(name, hint)
    return hints


def fields_at(annotation: Any, location: Sequence[str | int]) -> list[str]:
    """Gives the names of the fields of a value inside another one.

    Args:
        annotation: the type of the outer value.
        location: keys and indices that lead to the inner one; steps that are none are passed over.
    """
    kinds: Sequence[Any] = [annotation]
    for step in location:
        kinds = [inner for kind in kinds for inner in _inside(kind, step)] or kinds
    return list(dict.fromkeys(name for kind in kinds for each in union_members(kind) for name in _fields(each)))


def _inside(kind: Any, step: str | int) -> Iterator[Any]:
    for each in map(bare, union_members(kind)):
        cls, args = origin_class(each) or object, typing.get_args(each)
        if isinstance(step, int) and args and not issubclass(cls, Mapping):
            yield args[0]
        elif isinstance(step, str) and step in _fields(each):
            yield class_hints(cls)[step]
        elif isinstance(step, str) and len(args) == 2 and issubclass(cls, Mapping) and step.isprintable():
            yield args[1]


def _fields(kind: Any) -> list[str]:
    """Gives the fields that a dataclass, a model of pydantic or a typed dict is made from."""
    cls = origin_class(bare(kind))
    if cls is None or not (dataclasses.is_dataclass(cls) or is_typed_dict(cls) or hasattr(cls, "model_fields")):
        return []
    hints = class_hints(cls).items()
    return [name for name, hint in hints if name[0] != "_" and typing.get_origin(bare(hint)) is not typing.ClassVar]


def outputs_of_kind(kind: Any) -> Outputs:
    """Gives the outputs of an object of some kind: fields, annotated attributes, properties, values of a mapping."""
    kind = bare(kind)
    if kind is Any or len(union_members(kind)) > 1:
        return Outputs({}, Any)
    cls = origin_class(kind)
    if cls is None or is_callable_type(kind):
        return Outputs({})
    if issubclass(cls, Mapping) and not is_typed_dict(cls):
        return Outputs({}, generic_value(kind))
    return _attributes(cls)


@functools.cache
def _attributes(cls: type) -> Outputs:
    kinds = {
        name: hint
        for name, hint in class_hints(cls).items()
        if not name.startswith("_")
        and hint is not typing.TypeAlias
        and not inspect.isfunction(getattr(cls, name, None))
    }
    own: set[str] = set()
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if isinstance(member, property | functools.cached_property) and not name.startswith("_"):
                getter = member.fget if isinstance(member, property) else member.func
                kinds[name] = _hints(getter).get("return", Any) if getter else Any
        if base.__module__.partition(".")[0] == cls.__module__.partition(".")[0]:
            own |= {*vars(base).get("__annotations__", {}), *vars(base)}
    return Outputs(kinds, inherited=frozenset(kinds) - own)
