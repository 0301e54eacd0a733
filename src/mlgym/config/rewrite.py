"""Annotations with something added at every position: inside of unions, lists, mappings and typed dicts too.

What is added, a `Rewriter` says: `adapters` adds tokens, `schema` references and sweeps.
"""

from __future__ import annotations

import collections.abc
import functools
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Final, NotRequired, Protocol

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from mlgym.config.kinds import bare, is_callable_type, is_typed_dict

STRICT: Final = ConfigDict(arbitrary_types_allowed=True, extra="forbid", strict=True)
_MAX_NESTING: Final = 12
_CONTAINERS: Final[Mapping[Any, Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    dict: dict,
    tuple: tuple,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    # pydantic would make a generator, which is empty when read a second time.
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: frozenset,
    collections.abc.Mapping: dict,
    collections.abc.MutableMapping: dict,
}


class Rewriter(Protocol):
    """Says what is added to annotations."""

    def around(self, annotation: Any, inner: Any) -> Any:
        """Gives what replaces a position: `annotation` as written, `inner` with all inside it rewritten."""

    def anything(self) -> Any:
        """Gives what replaces `Any`."""

    def component(self, annotation: Any) -> Any:
        """Gives what replaces a type that only a component can give."""


def rewrite(annotation: Any, rewriter: Rewriter, nesting: int = 0) -> Any:
    """Gives an annotation with every position in it rewritten, itself included."""
    return rewriter.around(annotation, _inside(annotation, rewriter, nesting))


def _inside(annotation: Any, rewriter: Rewriter, nesting: int) -> Any:
    if nesting > _MAX_NESTING:  # a type that is defined by itself
        return annotation
    if typing.get_origin(annotation) is Annotated:
        inner, *extras = typing.get_args(annotation)
        return Annotated[(_inside(inner, rewriter, nesting), *extras)]
    annotation = bare(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return rewriter.anything()
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(rewrite(arg, rewriter, nesting + 1) for arg in args)]  # noqa: UP007 - made at run time
    container = _CONTAINERS.get(origin or annotation)
    if container is not None:
        return _container(container, args, rewriter, nesting)
    if is_typed_dict(annotation):
        return _typed_dict(annotation, rewriter, nesting)
    return rewriter.component(annotation) if is_component_type(annotation) else annotation


def _container(container: Any, args: tuple[Any, ...], rewriter: Rewriter, nesting: int) -> Any:
    if not args:
        args = {dict: (str, Any), tuple: (Any, ...)}.get(container, (Any,))
    keys, values = (args[:1], args[1:]) if container is dict else ((), args)
    return container[(*keys, *(arg if arg is ... else rewrite(arg, rewriter, nesting + 1) for arg in values))]


def _typed_dict(annotation: Any, rewriter: Rewriter, nesting: int) -> Any:
    hints = typing.get_type_hints(annotation, include_extras=True)
    required = annotation.__required_keys__
    positions = {name: rewrite(_unmarked(hint), rewriter, nesting + 1) for name, hint in hints.items()}
    fields = {name: inner if name in required else NotRequired[inner] for name, inner in positions.items()}
    make: Any = TypedDict  # mypy wants the fields written out
    made = make(annotation.__name__, fields)
    made.__pydantic_config__ = STRICT
    return made


def _unmarked(hint: Any) -> Any:
    marks = (typing.Required, typing.NotRequired, NotRequired)
    return typing.get_args(hint)[0] if typing.get_origin(hint) in marks else hint


def is_component_type(annotation: Any) -> bool:
    """Says whether only a component can give such a value: a function, or an object that JSON cannot say."""
    annotation = bare(annotation)
    if annotation is Any or (typing.get_origin(annotation) or annotation) in _CONTAINERS or is_typed_dict(annotation):
        return False
    if is_callable_type(annotation) or typing.get_origin(annotation) is type or annotation is type:
        return True
    try:
        return not _is_native(annotation)
    except TypeError:  # not hashable, such as `Literal[[1]]`
        return False


@functools.lru_cache(maxsize=4096)
def _is_native(annotation: Any) -> bool:
    try:
        TypeAdapter(annotation)
    except Exception:  # an annotation may hold any code
        return False
    return True
