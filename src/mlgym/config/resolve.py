"""The config of one experiment with every default written out, and the id that follows from it."""

from __future__ import annotations

import enum
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from mlgym.config.adapters import adapter, validate
from mlgym.config.forms import Entries, FactReference, Form, Items, Reference, Use, Value
from mlgym.config.nodes import from_plain
from mlgym.config.references import escaped
from mlgym.config.registry import REGISTRY, Registry
from mlgym.config.signature import EMPTY, SEED, Parameter, signature_of
from mlgym.config.tree import Tree, tree_of
from mlgym.errors import ConfigError

_SECTIONS: Final = ("version", "name", "seed", "imports", "components", "experiment")


def resolve(config: Mapping[str, Any], *, registry: Registry = REGISTRY) -> dict[str, Any]:
    """Gives the config of a point with the defaults of all its components filled in; references stay.

    A default that JSON cannot hold stays out, and so does a `seed` that is derived. Resolving twice changes nothing.

    Args:
        config: a config without sweeps, such as `Point.config`.
        registry: the components.

    Raises:
        ConfigError: it has a sweep, or a component that is not registered.
    """
    tree = tree_of(config)
    resolver = _Resolver(tree, registry)
    resolved: dict[str, Any] = {"version": 1, "name": config.get("name", "experiment"), "seed": 0}
    for path, form in tree.sections():
        plain = resolver.plain(form)
        if len(path) == 1:
            resolved[str(path[0])] = plain
        else:
            resolved.setdefault("components", {})[path[1]] = plain
    resolved.setdefault("components", {})
    if config.get("imports"):
        resolved["imports"] = list(config["imports"])
    return {key: resolved[key] for key in _SECTIONS if key in resolved}


def config_id(resolved: Mapping[str, Any]) -> str:
    """Gives the sha256 (64 hexadecimal digits) of a resolved config; the order of its keys makes no difference."""
    text = json.dumps(resolved, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class _Resolver:
    def __init__(self, tree: Tree, registry: Registry) -> None:
        self._tree = tree
        self._registry = registry

    def plain(self, form: Form) -> Any:
        form = self._tree.follow(form)
        match form:
            case Value():
                return form.written
            case Items():
                return [self.plain(item) for item in form.items]
            case Entries():
                return {key: self.plain(entry) for key, entry in form.entries.items()}
            case Reference() | FactReference():
                return str(form.target)
            case Use():
                return self._component(form)
        raise form.mark.error(form.origin, "the config of one experiment has no sweeps; unfold it first")

    def _component(self, use: Use) -> dict[str, Any]:
        signature = signature_of(self._registry.find(use.name))
        given = {key: _typed(self.plain(form), signature.parameter(key)) for key, form in use.params.items()}
        filled: dict[str, Any] = {"use": use.name}
        for name, parameter in signature.params.items():
            if name in given:
                filled[name] = given[name]
            elif parameter.default is not EMPTY and name != SEED:
                filled.update(_default(parameter))
        return {**filled, **given}


def _typed(data: Any, parameter: Parameter | None) -> Any:
    """Gives numbers the type of their parameter, so that `lr: 1` and `lr: 1.0` are the same config."""
    if parameter is None or isinstance(data, str | bool | None):
        return data
    try:
        value = validate(adapter(parameter.annotation), data, None)
    except (ValidationError, ConfigError, AttributeError):  # holds references: as it is
        return data
    return _like(data, value)


def _like(data: Any, value: Any) -> Any:
    if type(data) is int and type(value) is float:
        return value
    if isinstance(data, list) and isinstance(value, list | tuple) and len(data) == len(value):
        return [_like(one, typed) for one, typed in zip(data, value, strict=True)]
    if isinstance(data, dict) and isinstance(value, dict):
        return {key: _like(one, value.get(key)) for key, one in data.items()}
    return data


def _default(parameter: Parameter) -> dict[str, Any]:
    """Gives the default of a parameter by its name, nothing where a config could not say it."""
    try:
        data = _jsonable(parameter.default)
        from_plain(data)
        value = validate(adapter(parameter.annotation), _unescaped(data), None)
    except (ValueError, ConfigError):
        return {}
    return {parameter.name: _like(data, value)}


def _jsonable(value: Any) -> Any:
    """Gives a default as a config would write it.

    Raises:
        ValueError: it cannot be written.
    """
    if isinstance(value, enum.Enum):
        return _jsonable(value.value)
    if isinstance(value, str):
        return escaped(value)
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, os.PathLike):
        return escaped(str(value))
    if type(value) in (list, tuple):
        return [_jsonable(item) for item in value]
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {key: _jsonable(item) for key, item in value.items()}
    raise ValueError(f"{type(value).__name__} cannot be written in a config")


def _unescaped(data: Any) -> Any:
    if isinstance(data, str):
        return data[1:] if data.startswith("$$") else data
    if isinstance(data, list):
        return [_unescaped(item) for item in data]
    if isinstance(data, dict):
        return {key: _unescaped(item) for key, item in data.items()}
    return data
