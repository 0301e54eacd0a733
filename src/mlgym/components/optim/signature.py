"""Turns a class of PyTorch into a component: a function with a typed signature and a docstring of its own.

PyTorch's signatures carry no ranges, and types that a config cannot hold (tensors); its docstrings have both in prose.
"""

from __future__ import annotations

import collections.abc
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

_SUBSTITUTES: Final = {name: getattr(collections.abc, name) for name in ("Callable", "Iterable", "Sequence")}


class ParameterRules(BaseModel):
    """What differs between a PyTorch class and its component.

    Args:
        types: annotation by parameter name, where it differs from PyTorch's: ranges, and no tensors.
        left_out: parameters that a config cannot or need not give.
        descriptions: text by parameter name, where it differs from PyTorch's.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    types: dict[str, Any]
    left_out: frozenset[str]
    descriptions: dict[str, str]


def component_of(
    cls: type[Any],
    *,
    name: str,
    first: Parameter,
    build: Callable[..., Any],
    rules: ParameterRules,
) -> Callable[..., Any]:
    """Gives a function that builds `cls`, whose signature and docstring are a component's.

    Args:
        cls: the PyTorch class.
        name: what the function is called.
        first: the parameter that takes the place of the class's first one, such as `model`.
        build: called as `build(cls, first, **settings)`.
        rules: what differs from the class.

    Returns:
        A function annotated with `cls` as what it returns, the parameters after the first keyword-only.
    """
    parameters = [first, *_parameters(cls, {first.name, *rules.left_out}, rules.types)]

    def component(*args: Any, **settings: Any) -> Any:
        return build(cls, *args, **settings)

    # `inspect.signature` reads the one, `typing.get_type_hints` the other.
    component.__signature__ = Signature(parameters, return_annotation=cls)  # type: ignore[attr-defined]  # as PEP 362 has it
    component.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": cls}
    component.__name__ = component.__qualname__ = name
    component.__module__ = build.__module__
    component.__doc__ = _docstring(cls, parameters, rules.descriptions)
    return component


def _parameters(cls: type[Any], left_out: set[str], types: Mapping[str, Any]) -> list[Parameter]:
    hints = typing.get_type_hints(cls.__init__, _SUBSTITUTES | vars(inspect.getmodule(cls)), include_extras=True)
    own = list(inspect.signature(cls).parameters.values())
    return [
        parameter.replace(
            kind=Parameter.KEYWORD_ONLY, annotation=types.get(parameter.name, hints.get(parameter.name, Any))
        )
        for parameter in own
        if parameter.name not in left_out
    ]


def _docstring(cls: type[Any], parameters: Sequence[Parameter], descriptions: dict[str, str]) -> str:
    described = argument_texts(inspect.getdoc(cls) or "") | descriptions
    lines = [f"    {p.name}: {described.get(p.name, 'see the PyTorch documentation.')}" for p in parameters]
    # The package that users import from, not the module in it that defines the class.
    package = "torch.optim.lr_scheduler" if cls.__module__ == "torch.optim.lr_scheduler" else "torch.optim"
    source = f"Source: `{package}.{cls.__name__}`."
    return "\n".join([summary(inspect.getdoc(cls) or cls.__name__), "", "Args:", *lines, "", source])


def summary(docstring: str) -> str:
    """Gives the first paragraph of a docstring on one line, without markup."""
    return _plain(docstring.strip().split("\n\n")[0])


def argument_texts(docstring: str) -> dict[str, str]:
    """Gives the text of each argument in the `Args:` of a docstring of PyTorch, without types and defaults."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.DOTALL | re.MULTILINE)
    if section is None:
        return {}
    entries = re.split(r"^    (?=\w)", section.group(1), flags=re.MULTILINE)
    texts: dict[str, str] = {}
    for entry in entries:
        match = re.match(r"(\w+)\s*(?:\(.*?\))?\s*:\s+(.*?)(?=\n\s*\n|\Z)", entry, re.DOTALL)
        if match:
            text = re.sub(r"\(default:.*?\)+\s*|Default:.*", "", _plain(match.group(2)))
            texts[match.group(1)] = text.strip().rstrip(" .") + "."
    return texts


def _plain(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`<]*?)(?:\s*<[^`]*>)?`", r"`\1`", text)
    text = re.sub(r"`([^`]*)`__?", r"\1", text).replace("``", "`")
    return re.sub(r" (?=\.( |$))", "", re.sub(r"\s+", " ", text)).strip()
