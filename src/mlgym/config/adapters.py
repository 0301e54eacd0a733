"""Values against annotations, by pydantic in strict JSON mode: a list may become a tuple, but `"64"` no number.

A value is JSON in which each component or reference is a token, a text that stands for an object. At every position
of an annotation a token is accepted where the object behind it fits; what that means, a `Resolver` decides: checking
looks at kinds, building at the objects themselves. So one adapter per parameter serves both.
"""

from __future__ import annotations

import functools
import json
import re
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

import pydantic
from pydantic import Discriminator, PlainValidator, Tag, TypeAdapter, ValidationInfo
from pydantic_core import PydanticCustomError

from mlgym.config.kinds import wanted_text
from mlgym.config.nodes import shorten
from mlgym.config.rewrite import STRICT, rewrite
from mlgym.config.signature import fields_at
from mlgym.names import did_you_mean, nearest

_YAML_WORDS: Final = (
    ("an array", "a list"),
    ("array", "list"),
    ("an object", "a mapping"),
    ("object", "mapping"),
    ("dictionary", "mapping"),
    ("null", "empty"),
)
TOKEN_START: Final = "\0mlgym:"  # noqa: S105 - no secret
_VALUE: Final = "\0value"
_TOKEN: Final = "\0token"  # noqa: S105 - no secret


class Resolver(Protocol):
    """Knows what stands behind tokens."""

    def take(self, token: str, wanted: Any) -> object:
        """Gives what replaces a token at a position of type `wanted`.

        Raises:
            Misfit: it doesn't fit there.
        """


class Misfit(Exception):  # noqa: N818 - caught here and turned into a fault
    """What stands behind a token doesn't fit."""


def is_token(value: object) -> bool:
    """Says whether a value stands for an object."""
    return isinstance(value, str) and value.startswith(TOKEN_START)


def _tag(value: object) -> str:
    return _TOKEN if is_token(value) else _VALUE


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """Gives the adapter of an annotation in which tokens are accepted; that of `Any` where pydantic cannot read it."""
    try:
        return _cached_adapter(annotation)
    except TypeError:  # not hashable, such as `Literal[[1]]`
        return _make_adapter(annotation)


def list_adapter(annotation: Any) -> TypeAdapter[Any]:
    """Gives the adapter of a list of values of one annotation, so that a sweep is checked by one call."""
    return adapter(list[annotation])


class _WithTokens:
    """Adds tokens to annotations; see `rewrite.Rewriter`."""

    def around(self, annotation: Any, inner: Any) -> Any:
        """Gives a union of what is meant and a token, told apart before pydantic looks into either."""

        def take(token: str, info: ValidationInfo) -> object:
            assert isinstance(info.context, dict)
            try:
                return info.context["resolver"].take(token, annotation)
            except Misfit as misfit:
                raise PydanticCustomError("mlgym_misfit", "{message}", {"message": str(misfit)}) from None

        members = (Annotated[inner, Tag(_VALUE)], Annotated[Any, PlainValidator(take), Tag(_TOKEN)])
        return Annotated[typing.Union[members], Discriminator(_tag)]  # noqa: UP007 - made at run time

    def anything(self) -> Any:
        """Gives `Any` in which tokens are replaced, however deep."""
        return Annotated[Any, PlainValidator(_replace_tokens)]

    def component(self, annotation: Any) -> Any:
        """Gives a type that refuses everything: the token is taken before."""
        wanted = wanted_text(annotation)

        def refuse(value: object, info: ValidationInfo) -> object:
            known = info.context.get("known", _NOTHING) if isinstance(info.context, dict) else _NOTHING
            context = {"wanted": wanted, "hint": _hint(value, known)}
            raise PydanticCustomError("mlgym_not_a_component", "needs {wanted}", context)

        return Annotated[Any, PlainValidator(refuse)]


_WITH_TOKENS: Final = _WithTokens()


def _make_adapter(annotation: Any) -> TypeAdapter[Any]:
    candidates: tuple[Callable[[], Any], ...] = (
        lambda: rewrite(annotation, _WITH_TOKENS),
        lambda: _WITH_TOKENS.around(annotation, annotation),
        lambda: rewrite(Any, _WITH_TOKENS),
    )
    for candidate in candidates:
        try:
            return TypeAdapter(candidate(), config=STRICT)
        except Exception:  # noqa: S112 - an annotation may hold any code; the next candidate asks less of it
            continue
    raise AssertionError("`Any` can always be validated")


_cached_adapter = functools.lru_cache(maxsize=4096)(_make_adapter)


class Names(Protocol):
    """Knows some names."""

    def __contains__(self, name: str, /) -> bool:
        """Whether it is one of them."""


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Names that people write where a component is wanted, for hints.

    Args:
        named: those of the config's components.
        registered: those of the registry.
    """

    named: Names = ()
    registered: Names = ()


_NOTHING: Final = KnownNames()


def _hint(value: object, known: KnownNames) -> str:
    if isinstance(value, str) and value in known.named:
        return f"write `${value}` for the component of that name"
    if isinstance(value, str) and value in known.registered:
        return f"write `{{use: {value}}}`"
    if isinstance(value, dict):
        return "a component has `use: NAME`"
    return ""


def _replace_tokens(value: Any, info: ValidationInfo) -> object:
    if is_token(value):
        assert isinstance(info.context, dict)
        return info.context["resolver"].take(value, Any)
    if isinstance(value, list):
        return [_replace_tokens(item, info) for item in value]
    if isinstance(value, dict):
        return {key: _replace_tokens(item, info) for key, item in value.items()}
    return value


def validate(made: TypeAdapter[Any], data: Any, resolver: Resolver | None, known: KnownNames = _NOTHING) -> Any:
    """Gives the typed value of JSON-able data with tokens.

    Args:
        made: the adapter of its annotation.
        data: the value.
        resolver: knows what stands behind tokens; None where there are none.
        known: names, for hints.

    Raises:
        pydantic.ValidationError: it doesn't fit; `problems` reads it.
    """
    text = json.dumps(data, ensure_ascii=False)
    return made.validate_json(text, strict=True, context={"resolver": resolver, "known": known})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that pydantic found wrong, in house style.

    Args:
        location: keys, indices, and parts of pydantic's own that are neither.
        expected: what the value should be, or all that is wrong.
        got: the value as text; empty where `expected` says it all.
        hint: what to do.
    """

    location: tuple[str | int, ...]
    expected: str
    got: str = ""
    hint: str = ""

    def __str__(self) -> str:
        return joined([self])


def problems(error: pydantic.ValidationError, annotation: Any = Any) -> list[Problem]:
    """Gives what is wrong; that a value is not null is left out where it could be something else too.

    Args:
        error: what pydantic found.
        annotation: what the value was compared with, for hints.
    """
    details = error.errors(include_url=False)
    real = [detail for detail in details if detail["type"] != "none_required"]
    return [_problem(detail, annotation) for detail in real or details]


def joined(found: Sequence[Problem]) -> str:
    """Gives problems of one value as one message: `input should be greater than 0 or 'auto', got -1`."""
    first, *others = dict.fromkeys(problem.expected for problem in found)
    others = [text.removeprefix("input should be ").removeprefix("needs ") for text in others]
    got = next((f", got {problem.got}" for problem in found if problem.got), "")
    hint = next((f"; {problem.hint}" for problem in found if problem.hint), "")
    return " or ".join([first, *others]) + got + hint


def _problem(detail: Any, annotation: Any) -> Problem:
    kind, location, value = detail["type"], detail["loc"], detail["input"]
    if kind in {"missing", "missing_argument", "missing_keyword_only_argument"}:
        return Problem(location[:-1], f"`{location[-1]}` is missing", _shown(value))
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        *steps, key = location
        tail = did_you_mean(str(key), fields_at(annotation, steps), intro="it has")
        return Problem(location, f"there is no key `{key}` here{tail}")
    if kind == "mlgym_misfit":
        return Problem(location, detail["msg"])
    if kind == "mlgym_not_a_component":
        return Problem(location, detail["msg"], _shown(value), detail["ctx"]["hint"])
    expected = _reworded(detail["msg"])
    if is_token(value):
        return Problem(location, f"a component or reference cannot stand here: {expected}")
    if kind in {"too_short", "too_long"}:
        return Problem(location, expected)
    return Problem(location, expected, _shown(value), _choice_hint(detail))


def _reworded(message: str) -> str:
    """Gives pydantic's message with the words of YAML."""
    message = message[:1].lower() + message[1:].removesuffix(" after validation")
    for word, ours in _YAML_WORDS:
        message = re.sub(rf"\b{word}\b", ours, message)
    return message.removeprefix("value error, ").replace(" after validation", "")


def _choice_hint(detail: Any) -> str:
    if detail["type"] not in {"literal_error", "enum"} or not isinstance(detail["input"], str):
        return ""
    choices = detail["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
    near = nearest(detail["input"], choices)
    return f"did you mean `{near}`?" if near else ""


def _shown(value: object) -> str:
    return shorten(json.dumps(_readable(value), ensure_ascii=False, default=str))


def _readable(value: object) -> object:
    if is_token(value):
        return "a component"
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _readable(item) for key, item in value.items()}
    return value
