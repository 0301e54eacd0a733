"""The config language with its components as a JSON Schema (2020-12), so that editors complete and check configs.

Each value is what its annotation says, a reference (`$name`) or a sweep of such values. A config that extends another
may leave things out, so whatever holds components exists twice: complete, and for such a partial config.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, TypeAlias

from pydantic import TypeAdapter, WithJsonSchema

from mlgym.config.describe import describe
from mlgym.config.distributions import DISTRIBUTIONS
from mlgym.config.kinds import fits, type_text
from mlgym.config.modes import VALIDATION_MODES
from mlgym.config.registry import REGISTRY, Component, Registry
from mlgym.config.rewrite import STRICT, rewrite
from mlgym.config.signature import Parameter, signature_of

Schema: TypeAlias = dict[str, Any]
_MAX_DEPTH: Final = 4
_OWN_REF: Final = "x-mlgym-ref"  # pydantic refuses a `$ref` that it doesn't know
_RANGE: Final[Schema] = {
    "type": "object",
    "properties": {
        "start": {"type": "number"},
        "stop": {"type": "number"},
        "num": {"type": "integer", "minimum": 1},
        "scale": {"enum": ["linear", "log"]},
    },
    "required": ["start", "stop", "num"],
    "additionalProperties": False,
}
_DISTRIBUTION: Final[Schema] = {
    "type": "object",
    "properties": {
        name: {
            "type": "array",
            "items": {"type": "integer" if name.endswith("integer") else "number"},
            "minItems": 2,
            "maxItems": 2,
        }
        for name in DISTRIBUTIONS
    },
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
_UNLISTED: Final[Schema] = {
    "if": {"anyOf": [{"required": [name]} for name in DISTRIBUTIONS]},
    "then": {"$ref": "#/$defs/distribution"},
    "else": {"$ref": "#/$defs/range"},
}
_REFERENCE: Final[Schema] = {"type": "string", "pattern": r"^\$[A-Za-z_]"}
_LIST: Final[Schema] = {"type": "array", "minItems": 1}
_TEXTS: Final[Schema] = {"type": "array", "items": {"type": "string"}}


def json_schema(registry: Registry = REGISTRY, *, modes: Registry = VALIDATION_MODES) -> Schema:
    """Gives the JSON Schema of configs.

    Args:
        registry: the components; the user's own too, once they are imported.
        modes: the validation modes.
    """
    schemas = _Schemas(registry)
    complete, partial = schemas.sections(partial=False), schemas.sections(partial=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "MLgym config",
        "type": "object",
        "properties": {
            "version": {"const": 1},
            "name": {"type": "string", "minLength": 1},
            "seed": schemas.named({"type": "integer", "minimum": 0}),
            "extends": {"anyOf": [{"type": "string"}, _TEXTS]},
            "imports": _TEXTS,
            "vars": {"type": "object"},
            "components": {"type": "object"},
            "experiment": {},
            "validation": schemas.validation(modes),
            "auto_resume": {"type": "boolean"},
        },
        "additionalProperties": False,
        "if": {"required": ["extends"]},
        "then": {"properties": partial},
        "else": {"properties": complete, "required": ["experiment"]},
        "$defs": {
            "reference": _REFERENCE,
            "range": _RANGE,
            "distribution": _DISTRIBUTION,
            "unlisted": _UNLISTED,
            **schemas.definitions,
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


class _Schemas:
    """Gathers definitions; equal ones are shared."""

    def __init__(self, registry: Registry) -> None:
        self.definitions: dict[str, Schema] = {}
        self._components = {component.name: component for component in registry}
        self._names_by_text: dict[str, str] = {}
        self._values: dict[Any, Schema] = {}

    def named(self, inner: Schema) -> Schema:
        """Gives a reference to the definition: `inner`, a reference, or a sweep of all this."""
        text = json.dumps(inner, sort_keys=True)
        if text not in self._names_by_text:
            name = self._names_by_text[text] = f"value{len(self._names_by_text)}"
            self.definitions[name] = _or_reference(_or_sweep(inner, _ref(name)))
        return _ref(self._names_by_text[text])

    def sections(self, *, partial: bool) -> Schema:
        """Gives the sections that hold components."""
        component = self.kind(Any, partial=partial)
        single = _or_reference(component)
        # A list or mapping of components; in a partial config what has no `use` may complete a component.
        group = {"type": "object"} if partial else {"type": "object", "additionalProperties": single}
        listed = {"if": {"type": "array"}, "then": {"items": single}, "else": group}
        named = self.named({"if": {"type": "object", "required": ["use"]}, "then": component, "else": listed})
        return {
            "components": {"type": "object", "additionalProperties": named},
            "experiment": self.named(component),
        }

    def validation(self, modes: Registry) -> Schema:
        """Gives `{mode: NAME, ...}`."""
        choices = [
            {
                "if": {"properties": {"mode": {"const": mode.name}}, "required": ["mode"]},
                "then": self._parameters(mode, "mode", partial=False),
            }
            for mode in modes
        ]
        return {
            "type": "object",
            "properties": {"mode": {"enum": modes.names()}},
            "if": {"required": ["mode"]},
            "then": {"allOf": choices},
        }

    def kind(self, annotation: Any, *, partial: bool) -> Schema:
        """Gives the component that a parameter of some type takes."""
        self._define_component(partial=partial)
        suffix = "-partial" if partial else ""
        if annotation is Any:
            return _ref(f"component{suffix}")
        names = [name for name, one in self._components.items() if fits(signature_of(one).kind, annotation)]
        fitting = {"properties": {"use": {"if": {"type": "string"}, "then": {"enum": names}}}}
        text = json.dumps([names, partial])
        if text not in self._names_by_text:
            plain = "".join(char if char.isalnum() else "-" for char in type_text(annotation))
            self._names_by_text[text] = f"kind{len(self._names_by_text)}-{plain[:40]}{suffix}"
            self.definitions[self._names_by_text[text]] = {"allOf": [_ref(f"component{suffix}"), fitting]}
        return _ref(self._names_by_text[text])

    def _define_component(self, *, partial: bool) -> None:
        name = "component-partial" if partial else "component"
        if name in self.definitions:
            return
        self.definitions[name] = {}  # components hold components
        names = {"enum": list(self._components)}
        self.definitions[name] = {
            "type": "object",
            "properties": {"use": _or_sweep(names, names)},
            **({} if partial else {"required": ["use"]}),
            "if": {"type": "object"},
            "then": {"allOf": [self._choice(component, partial=partial) for component in self._components.values()]},
        }

    def _choice(self, component: Component, *, partial: bool) -> Schema:
        required = [name for name, param in signature_of(component).params.items() if param.is_required]
        parameters = f"parameters-{component.name}"
        schema = self._parameters(component, "use", partial=partial)
        if self.definitions.setdefault(parameters, schema) != schema:
            parameters += "-partial"
            self.definitions[parameters] = schema
        then = _ref(parameters) if partial or not required else {**_ref(parameters), "required": required}
        return {"if": {"properties": {"use": {"const": component.name}}, "required": ["use"]}, "then": then}

    def _parameters(self, component: Component, key: str, *, partial: bool) -> Schema:
        signature = signature_of(component)
        docs = {parameter.name: parameter.doc for parameter in describe(component).parameters}
        properties: Schema = {key: {}}
        for name, parameter in signature.params.items():
            schema = self._value(component, parameter, partial=partial)
            properties[name] = {**schema, "description": docs[name]} if docs.get(name) else schema
        further = signature.further is not None
        return {"type": "object", "properties": properties, **({} if further else {"additionalProperties": False})}

    def _value(self, component: Component, parameter: Parameter, *, partial: bool) -> Schema:
        key = _hashable(parameter.annotation)
        for known in ((key, partial), (key, None)):
            if known in self._values:
                return self._values[known]
        rewriter = _WithSweeps(self, partial=partial)
        schema = _schema_of(rewrite(parameter.annotation, rewriter))
        # What holds no component is the same in partial configs.
        self._values[key, partial if rewriter.has_components else None] = schema
        return schema


def _schema_of(annotation: Any) -> Schema:
    try:
        schema: Schema = TypeAdapter(annotation, config=STRICT).json_schema()
    except Exception:  # what pydantic cannot describe an editor does not check
        return {}
    schema.pop("$defs", None)  # every position is written out
    cleaned: Schema = _cleaned(schema)
    return cleaned


def _hashable(annotation: Any) -> Any:
    try:
        hash(annotation)
    except TypeError:
        return id(annotation)
    return annotation


class _WithSweeps:
    """Adds references and sweeps to annotations; see `rewrite.Rewriter`."""

    def __init__(self, schemas: _Schemas, *, partial: bool) -> None:
        self._schemas = schemas
        self._partial = partial
        self.has_components = False

    def around(self, annotation: Any, inner: Any) -> Any:
        """Gives a position whose schema is a named definition."""
        schemas = self._schemas
        if annotation is type(None):
            return inner

        class Position:
            """Replaces the schema of a position."""

            @staticmethod
            def __get_pydantic_json_schema__(core_schema: Any, handler: Any) -> Schema:
                schema = _cleaned(_written_out(handler(core_schema), handler))
                return {_OWN_REF: schemas.named(schema)["$ref"]} if schema else {}

        return Annotated[inner, Position]

    def anything(self) -> Any:
        """Gives `Any`, about which a schema says nothing."""
        return Any

    def component(self, annotation: Any) -> Any:
        """Gives a type whose schema is a component of the kind."""
        self.has_components = True
        kind = self._schemas.kind(annotation, partial=self._partial)
        return Annotated[Any, WithJsonSchema({_OWN_REF: kind["$ref"]})]


def _written_out(schema: Any, handler: Any, depth: int = 0) -> Any:
    """Gives a schema without pydantic's own references, whose names are not known yet; a type in itself ends open."""
    if isinstance(schema, list):
        return [_written_out(part, handler, depth) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _written_out(handler.resolve_ref_schema(schema), handler, depth + 1) if depth < _MAX_DEPTH else {}
    return {key: _written_out(value, handler, depth) for key, value in schema.items()}


def _or_reference(other: Schema) -> Schema:
    # Conditions rather than `anyOf`: then an editor says what is wrong with the case that is meant.
    return {"if": _ref("reference"), "else": other}


def _or_sweep(other: Schema, items: Schema) -> Schema:
    alternatives = {"if": {"type": "object"}, "then": _ref("unlisted"), "else": {**_LIST, "items": items}}
    sweep = {
        "properties": {"sweep": alternatives, "zip": {"type": "string", "minLength": 1}},
        "additionalProperties": False,
    }
    return {"if": {"type": "object", "required": ["sweep"]}, "then": sweep, "else": other}


def _cleaned(schema: Any) -> Any:
    """Gives a schema without pydantic's titles and defaults, its own references put in."""
    if isinstance(schema, list):
        return [_cleaned(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if _OWN_REF in schema:
        return {"$ref": schema[_OWN_REF]}
    match schema.get("anyOf"):
        case [value, {"type": "null"}]:  # as a condition, so that an editor says what is wrong with the value
            return {"if": {"type": "null"}, "else": _cleaned(value)}
    return {
        key: {name: _cleaned(part) for name, part in value.items()} if key == "properties" else _cleaned(value)
        for key, value in schema.items()
        if key == "properties" or key not in {"title", "default"}
    }
