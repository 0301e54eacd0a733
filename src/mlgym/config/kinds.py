"""Kinds: whether an object of one type may stand where another is wanted, and how types are shown to users.

Everything that cannot be decided from types alone counts as fitting; building looks at the object itself.
"""

from __future__ import annotations

import collections.abc
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

CALLABLE: Final = Callable[..., Any]
"""Kind of a component with parameters that are given at each call."""

_UNIONS: Final = (typing.Union, types.UnionType)
_WIDER_NUMBERS: Final[Mapping[type, tuple[type, ...]]] = {float: (int, float), complex: (int, float, complex)}
_ABSTRACT_NUMBERS: Final[Mapping[type, type]] = {int: numbers.Integral, float: numbers.Real, complex: numbers.Complex}
_BOUND_SIGNS: Final = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}
_NOT_MEMBERS: Final = frozenset(
    {"__abstractmethods__", "__class_getitem__", "__subclasshook__", "__init__", "__hash__"}
)
_MarkT = typing.TypeVar("_MarkT")


def marks_of(annotation: Any, kind: type[_MarkT]) -> list[_MarkT]:
    """Gives the objects of a class that an annotation carries: of `Annotated[int, mark]` the mark."""
    return [mark for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, kind)]


def bare(kind: Any) -> Any:
    """Gives a type without its wrappings: `Annotated`, `NewType`, aliases; `Any` for what is not known."""
    while True:
        if typing.get_origin(kind) in (typing.Annotated, typing.Required, typing.NotRequired, typing.Final):
            kind = typing.get_args(kind)[0]
        elif isinstance(kind, typing.NewType):
            kind = kind.__supertype__
        elif isinstance(kind, typing.TypeVar):
            kind = kind.__bound__ or Any
        elif type(kind).__name__ == "TypeAliasType":  # `type X = ...`; typing_extensions has its own class
            kind = kind.__value__
        else:
            break
    if kind is None:
        return type(None)
    return (
        Any
        if isinstance(kind, str | typing.ForwardRef) or kind in (object, inspect.Parameter.empty, typing.Self)
        else kind
    )


def union_members(kind: Any) -> tuple[Any, ...]:
    """Gives the members of a union, or the type itself."""
    kind = bare(kind)
    return typing.get_args(kind) if typing.get_origin(kind) in _UNIONS else (kind,)


def is_callable_type(kind: Any) -> bool:
    """Says whether a type is `Callable[...]`."""
    return kind in (Callable, typing.Callable) or typing.get_origin(kind) is collections.abc.Callable


def is_typed_dict(kind: Any) -> bool:
    """Says whether a type is a `TypedDict`."""
    return isinstance(kind, type) and issubclass(kind, dict) and hasattr(kind, "__total__")


def is_protocol(kind: Any) -> bool:
    """Says whether a class is a protocol (and not a class that follows one)."""
    return isinstance(kind, type) and bool(getattr(kind, "_is_protocol", False))


def origin_class(kind: Any) -> type | None:
    """Gives the class behind a type, `Dataset` for `Dataset[int]`; None where there is no single one."""
    kind = typing.get_origin(kind) or kind
    return kind if isinstance(kind, type) and kind is not Any else None  # `Any` is a class since Python 3.11


def generic_value(kind: Any) -> Any:
    """Gives the type of the values of a mapping type, `Any` where it doesn't say."""
    args = typing.get_args(kind)
    if len(args) == 2:
        return args[1]
    for base in getattr(origin_class(kind), "__orig_bases__", ()):
        if isinstance(origin_class(base), type) and len(typing.get_args(base)) == 2:
            return bare(typing.get_args(base)[1])
    return Any


def fits(kind: Any, wanted: Any) -> bool:
    """Says whether an object of type `kind` may be what a parameter of type `wanted` takes."""
    kind, wanted = bare(kind), bare(wanted)
    if kind is Any or wanted is Any:
        return True
    if typing.get_origin(kind) in _UNIONS:
        return any(fits(member, wanted) for member in typing.get_args(kind))
    if typing.get_origin(wanted) in _UNIONS:
        return any(fits(kind, member) for member in typing.get_args(wanted))
    if typing.get_origin(kind) is typing.Literal:
        return any(fits(type(value), wanted) for value in typing.get_args(kind))
    if typing.get_origin(wanted) is typing.Literal:
        return any(fits(kind, type(value)) for value in typing.get_args(wanted))
    if is_callable_type(wanted) or is_callable_type(kind):
        return _fits_callable(kind, wanted)
    return _fits_class(kind, wanted)


def fits_item(kind: Any, wanted: Any) -> bool:
    """Says whether an object of type `kind` may be an item of the list that a parameter of type `wanted` takes."""
    return any(
        len(args := typing.get_args(member)) == 1
        and issubclass(origin_class(member) or object, collections.abc.Sequence)
        and fits(kind, args[0])
        for member in map(bare, union_members(wanted))
    )


def _fits_callable(kind: Any, wanted: Any) -> bool:
    if is_callable_type(kind):
        return is_callable_type(wanted) or is_protocol(wanted) or origin_class(wanted) in (None, types.FunctionType)
    cls = origin_class(kind)
    return cls is None or _has_call(cls)


def _has_call(cls: type) -> bool:
    # Every class has `__call__` through its metaclass; asked is whether its objects have.
    return any("__call__" in vars(base) for base in cls.__mro__)


def _fits_class(kind: Any, wanted: Any) -> bool:
    have, want = origin_class(kind), origin_class(wanted)
    if have is None or want is None:
        return True
    if is_typed_dict(want):
        return have is want or (issubclass(have, Mapping) and not is_typed_dict(have))
    if is_protocol(want):
        return _follows(have, want)
    if have in _WIDER_NUMBERS.get(want, ()):
        return True
    try:
        # A general return type may hide a special object: building will see.
        return (issubclass(have, want) and _args_fit(kind, wanted)) or (have is not want and issubclass(want, have))
    except TypeError:
        return True


def _args_fit(kind: Any, wanted: Any) -> bool:
    have, want = typing.get_args(kind), typing.get_args(wanted)
    cls = origin_class(wanted)
    if not have or not want or cls is None or not issubclass(cls, collections.abc.Collection):
        return True
    return fits(have[-1], want[-1]) if have[-1] is not ... and want[-1] is not ... else True


def _follows(cls: type, protocol: type) -> bool:
    """Says whether a class has the methods of a protocol; attributes may be set by its constructor."""
    if protocol in cls.__mro__:
        return True
    methods = {
        name
        for base in protocol.__mro__
        if is_protocol(base)
        for name, member in vars(base).items()
        if callable(member) and (not name.startswith("_") or name == "__call__")
    }
    return all(hasattr(cls, name) if name != "__call__" else _has_call(cls) for name in methods)


def is_instance(value: object, wanted: Any) -> bool:
    """Says whether an object is what a parameter of type `wanted` takes; what cannot be decided counts as yes."""
    wanted = bare(wanted)
    if wanted is Any:
        return True
    if typing.get_origin(wanted) in _UNIONS:
        return any(is_instance(value, member) for member in typing.get_args(wanted))
    if typing.get_origin(wanted) is typing.Literal:
        return value in typing.get_args(wanted)
    if is_callable_type(wanted):
        return callable(value)
    cls = origin_class(wanted)
    if cls is None or is_typed_dict(cls):
        return True
    try:
        return isinstance(value, _ABSTRACT_NUMBERS.get(cls, cls))
    except TypeError:  # a protocol that is not `runtime_checkable`
        return _follows(type(value), cls)


def type_text(kind: Any) -> str:
    """Gives a type as users read it: `float > 0`, `Optimizer`, `"min" | "max"`, `dict[str, Dataset] | None`."""
    if typing.get_origin(kind) is typing.Annotated:
        inner, *extras = typing.get_args(kind)
        return " ".join([type_text(inner), *_bounds(extras)])
    kind = bare(kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return "any"
    if kind is type(None):
        return "None"
    if origin in _UNIONS:
        return " | ".join(type_text(arg) for arg in args)
    if origin is typing.Literal:
        return " | ".join(f'"{arg}"' if isinstance(arg, str) else str(arg) for arg in args)
    if is_callable_type(kind):
        return "function"
    name = getattr(origin or kind, "__name__", str(kind))
    shown = [arg for arg in args if arg is not Any and not isinstance(arg, typing.TypeVar)]
    if not shown:
        return name
    return f"{name}[{', '.join('...' if arg is ... else type_text(arg) for arg in args)}]"


def wanted_text(wanted: Any) -> str:
    """Gives what a parameter takes without its `None`, for "needs Optimizer"."""
    members = [member for member in union_members(wanted) if member is not type(None)]
    return " | ".join(type_text(member) for member in members)


def _bounds(extras: list[Any]) -> list[str]:
    found: list[str] = []
    for extra in extras:
        for part in getattr(extra, "metadata", None) or [extra]:
            for name, sign in _BOUND_SIGNS.items():
                if getattr(part, name, None) is not None:
                    bound = getattr(part, name)
                    found.append(f"{sign} {bound:g}" if isinstance(bound, float) else f"{sign} {bound}")
    return [" and ".join(found)] if found else []
