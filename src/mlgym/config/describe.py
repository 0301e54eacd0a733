"""What a component is, from its signature and docstring: for `mlgym components`, the reference and editors."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlgym.config.kinds import generic_value, type_text, union_members
from mlgym.config.registry import Component
from mlgym.config.rewrite import is_component_type
from mlgym.config.signature import EMPTY, Parameter, outputs_of_kind, signature_of

_SECTION: Final = re.compile(r"^[A-Z][A-Za-z ]*:\s*$")
_ENTRY: Final = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    """One parameter as users read it.

    Args:
        name: its name.
        type: its type with bounds, such as `float > 0`.
        required: whether a config must give it.
        default: its default as text; None where there is none.
        takes_component: whether a component or reference stands there.
        doc: what the docstring says about it.
    """

    name: str
    type: str
    required: bool
    default: str | None
    takes_component: bool
    doc: str


@dataclass(frozen=True, slots=True)
class Description:
    """A component as users read it.

    Args:
        name: the name that configs use.
        summary: first line of the docstring.
        details: the rest of it, without its sections.
        kind: what it makes.
        parameters: what a config gives.
        call_args: parameters that are given at each call.
        outputs: names for `$name.output`, with their kinds; `*` where the config decides.
        place: where it is defined, as `file:line`.
    """

    name: str
    summary: str
    details: str
    kind: str
    parameters: tuple[ParameterDescription, ...]
    call_args: tuple[str, ...]
    outputs: Mapping[str, str]
    place: str


def describe(component: Component) -> Description:
    """Gives the description of a component."""
    signature = signature_of(component)
    summary, details = prose(component.target)
    docs = parameter_docs(component.target)
    params = [_parameter(parameter, docs.get(name, "")) for name, parameter in signature.params.items()]
    if signature.further is not None:
        params.append(
            ParameterDescription("**", type_text(signature.further), False, None, False, "any further parameter")
        )
    return Description(
        component.name,
        summary,
        details,
        type_text(signature.kind),
        tuple(params),
        signature.call_args,
        _outputs(component, signature.kind),
        component.place,
    )


def _outputs(component: Component, kind: Any) -> dict[str, str]:
    outputs = outputs_of_kind(kind)
    if component.outputs is not None:
        return {"*": f"{type_text(generic_value(kind))}, named as the keys of `{component.outputs}`"}
    if outputs.other is not None:
        return {"*": type_text(outputs.other)}
    return {name: type_text(outputs.kinds[name]) for name in outputs.shown}


def _parameter(parameter: Parameter, doc: str) -> ParameterDescription:
    members = union_members(parameter.annotation)
    takes_component = any(is_component_type(member) for member in members)
    default = None if parameter.is_required else _default_text(parameter.default)
    shown = type_text(parameter.annotation)
    return ParameterDescription(parameter.name, shown, parameter.is_required, default, takes_component, doc)


def _default_text(default: Any) -> str:
    return "derived from the run's seed" if default is EMPTY else repr(default)


def _docstrings(target: Any) -> Iterator[str]:
    """Gives the docstrings that speak about a target: its own, its constructor's, those of its bases."""
    while isinstance(target, functools.partial):
        target = target.func
    if not isinstance(target, type):
        yield inspect.getdoc(target) or ""
        return
    for base in target.__mro__[:-1]:
        for thing in (base, vars(base).get("__init__")):
            doc = getattr(thing, "__doc__", None)
            if doc:
                yield inspect.cleandoc(doc)


def prose(target: Callable[..., Any]) -> tuple[str, str]:
    """Gives the first line of a docstring and what stands between it and the sections (`Args:` and the like)."""
    own = next(_docstrings(target), "")
    if isinstance(target, type) and not target.__doc__:
        own = ""
    paragraphs: list[str] = []
    for line in own.splitlines():
        if _SECTION.match(line):
            break
        paragraphs.append(line)
    summary, _, details = "\n".join(paragraphs).partition("\n\n")
    return " ".join(summary.split()), details.strip()


def parameter_docs(target: Callable[..., Any]) -> dict[str, str]:
    """Gives what docstrings say about each parameter: those of a class and its constructor first, then its bases'."""
    docs: dict[str, str] = {}
    for text in _docstrings(target):
        for name, doc in _args_section(text).items():
            docs.setdefault(name, doc)
    return docs


def _args_section(text: str) -> dict[str, str]:
    """Gives the entries below `Args:` of a Google docstring; deeper lines belong to the entry above."""
    lines = text.splitlines()
    start = next((i + 1 for i, line in enumerate(lines) if line.strip() in {"Args:", "Arguments:"}), len(lines))
    found: dict[str, list[str]] = {}
    indent: int | None = None
    name = ""
    for line in lines[start:]:
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth == 0:
            break
        indent = depth if indent is None and line.strip() else indent
        match = _ENTRY.match(line.strip()) if depth == indent else None
        if match:
            name = match[1]
            found[name] = [match[2]]
        elif name and line.strip():
            found[name].append(line.strip())
    return {key: " ".join(parts).strip() for key, parts in found.items()}
