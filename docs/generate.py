"""Writes the reference pages from signatures and docstrings: components, commands, events, reports.

Nothing here is about a single component, command or event: whatever is registered, added to the command line or
derived from `Payload` appears by itself. `python docs/generate.py` writes the pages; with `--check` it only says which
of them are stale.
"""

from __future__ import annotations

import re
import sys
import textwrap
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import typer.main
from msgspec import structs

from mlgym.cli import main as command_line
from mlgym.config import describe
from mlgym.config.describe import Description, ParameterDescription, parameter_docs, prose
from mlgym.config.kinds import type_text, wanted_text
from mlgym.config.modes import VALIDATION_MODES
from mlgym.config.registry import REGISTRY, Component
from mlgym.config.signature import SEED
from mlgym.events.types import Event, Payload
from mlgym.server.openapi import openapi_document
from mlgym.validation.report import ReportFacts

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "docs" / "reference"
REMEDY: Final = "run: make docs"
_NOTE: Final = "<!-- Written by `make docs` from signatures and docstrings; what is to change is changed there. -->"
_LINE_LENGTH: Final = 110

SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "Data sets": tuple(
        f"mlgym.components.data.{module}"
        for module in ("sample_sets", "image_sets", "table", "image_folder", "hugging_face")
    ),
    "Splits": ("mlgym.components.data.splits", "mlgym.components.data.fold_split"),
    "Ways to split into folds": ("mlgym.components.data.folds", "mlgym.components.data.shuffle_folds"),
    "Operations on data": ("mlgym.components.data",),
    "Loaders": ("mlgym.components.data.data_loaders",),
    "Models and layers": ("mlgym.components.model",),
    "Losses": ("mlgym.components.loss",),
    "Post-processors": ("mlgym.components.postprocess",),
    "Metrics": ("mlgym.components.metric",),
    "Optimizers": ("mlgym.components.optim",),
    "Learning rate schedulers": ("mlgym.components.optim.schedulers", "mlgym.components.optim.warm_up"),
    "Steps": ("mlgym.components.step",),
    "Experiment": ("mlgym.training",),
    "Early stopping": ("mlgym.training.stopping",),
    "Checkpoint strategies": ("mlgym.training.strategies",),
    "Search strategies": ("mlgym.validation.search",),
    "Further components": ("mlgym",),
}
"""Title of each section with the modules whose components it holds; the longest name that fits decides."""

_COMPONENTS_INTRODUCTION: Final = """\
What a config can `use`, by what it makes. `mlgym components NAME` prints the same in a terminal;
[components of your own](../how-to/own-components.md) appear there too.

Types and defaults are written as Python does: in YAML `None` is `null`, `True` is `true`, and a tuple is a list. A
parameter whose type is a class takes a component (`{{use: ...}}`) or a reference (`$name`). Optimizers and schedulers
are those of PyTorch {torch}."""
_MODES_INTRODUCTION: Final = """\
What the section `validation` of a config takes, mode by mode. [Validation](../validation.md) says when to use which,
with pictures. `select` has the keys `metric` (`split/metric`), `best` (`min` or `max`), `at` (`best` or `last`: the
epoch that counts) and, where winners are chosen, `rule` (`best` or `one_standard_error`)."""
_EVENTS_INTRODUCTION: Final = """\
A run writes what happens as events into `event_storage.log`, one JSON object a line. Lines are never edited. Readers
keep fields and pass over event types that they do not know. `mlgym log` prints the events of a run."""

_REPORT_INTRODUCTION: Final = """\
What `mlgym report RUN_ID --format json` prints and `Run.report().to_dict()` gives; [a JSON Schema](report.schema.json)
says it for programs. [How to report](../how-to/report.md) says what the numbers mean."""


def pages() -> dict[str, str]:
    """Gives the text of each page by its file name in `docs/reference`."""
    return {
        "components.md": components_page(),
        "validation.md": modes_page(),
        "commands.md": commands_page(),
        "events.md": events_page(),
        "report.md": report_page(),
        "report.schema.json": report_schema(),
        "openapi.json": openapi_document(),
    }


# ---------------------------------------------------------------------------------------------------- components


def components() -> list[Component]:
    """Gives MLgym's own components; those of other packages and of the user's modules are left out."""
    return [component for component in REGISTRY if component.target.__module__.partition(".")[0] == "mlgym"]


def components_page() -> str:
    """Gives the page about every registered component."""
    import torch

    by_section: dict[str, list[Component]] = {title: [] for title in SECTIONS}
    for component in components():
        by_section[_section_of(component)].append(component)
    filled = {title: members for title, members in by_section.items() if members}
    index = [[_link(title, title), ", ".join(_link(one.name) for one in members)] for title, members in filled.items()]
    parts = [
        "# Components",
        _COMPONENTS_INTRODUCTION.format(torch=".".join(torch.__version__.split(".")[:2])),
        _table(["kind", "components"], index),
    ]
    for title, members in filled.items():
        parts += [f"## {title}", *(part for one in members for part in _component_parts(one))]
    return _page(parts)


def modes_page() -> str:
    """Gives the page about every validation mode."""
    modes = list(VALIDATION_MODES)
    index = [[_link(mode.name), describe(mode).summary] for mode in modes]
    parts = ["# Validation modes", _MODES_INTRODUCTION, _table(["mode", "what it does"], index)]
    for mode in modes:
        described = describe(mode)
        rows = [
            [f"`{one.name}`", f"`{one.type}`", "the run's" if one.name == SEED else _default_cell(one), one.doc]
            for one in described.parameters
        ]
        parts += [f"## {mode.name}", described.summary, *([described.details] if described.details else [])]
        parts += [_table(["parameter", "type", "default", "meaning"], rows)]
        parts += [f"Defined in {_source_link(mode.target.__module__)}."]
    return _page(parts)


def _section_of(component: Component) -> str:
    module = component.target.__module__
    fits = {
        prefix: title
        for title, prefixes in SECTIONS.items()
        for prefix in prefixes
        if f"{module}.".startswith(f"{prefix}.")
    }
    return fits[max(fits, key=len)]


def _component_parts(component: Component) -> Iterator[str]:
    described = describe(component)
    yield f"### {described.name}"
    yield _code_block(_signature(described), "python")
    yield described.summary
    if described.details:
        yield described.details
    rows = [[f"`{one.name}`", f"`{one.type}`", _default_cell(one), one.doc] for one in described.parameters]
    if rows:
        yield _table(["parameter", "type", "default", "meaning"], rows)
    if described.call_args:
        yield f"Called with ({', '.join(f'`{name}`' for name in described.call_args)}), which the config does not give."
    if described.outputs:
        yield "Outputs: " + "; ".join(_output(name, kind) for name, kind in described.outputs.items()) + "."
    yield f"Defined in {_source_link(component.target.__module__)}."


def _signature(described: Description) -> str:
    return f"{described.name}({', '.join(map(_signature_word, described.parameters))}) -> {described.kind}"


def _signature_word(parameter: ParameterDescription) -> str:
    if parameter.name == "**":
        return "**further"
    if parameter.required:
        return parameter.name
    return f"{parameter.name}={'...' if _is_derived(parameter.default) else parameter.default}"


def _output(name: str, kind: str) -> str:
    shown = kind if "`" in kind else f"`{kind}`"
    return shown if name == "*" else f"`.{name}` ({shown})"


def _is_derived(default: str | None) -> bool:
    return default is not None and default.startswith("derived")


def _default_cell(parameter: ParameterDescription) -> str:
    if parameter.required:
        return "required"
    if parameter.default is None or _is_derived(parameter.default):
        return parameter.default or ""
    return f"`{parameter.default}`"


def _source_link(module: str) -> str:
    file = sys.modules[module].__file__
    assert file is not None, "a module of this project is a file"
    path = Path(file).relative_to(ROOT).as_posix()
    return f"[{path}](../../{path})"


# ------------------------------------------------------------------------------------------------------ commands


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the command line.

    Args:
        name: as it is typed, such as `mlgym run`.
        doc: what it does.
        params: what it takes, as Typer sees it.
        callback: the function behind it.
    """

    name: str
    doc: str
    params: Sequence[Any]
    callback: Any


def commands() -> list[Command]:
    """Gives every command that is shown in `mlgym --help`, those of groups too, in the order of the help."""
    return list(_walk("mlgym", typer.main.get_command(command_line.app)))


def _walk(name: str, command: Any) -> Iterator[Command]:
    if command.hidden:
        return
    if command.callback is not None:
        yield Command(name, command.help or "", [one for one in command.params if not one.hidden], command.callback)
    for inner, one in getattr(command, "commands", {}).items():
        yield from _walk(f"{name} {inner}", one)


def commands_page() -> str:
    """Gives the page about every command and option."""
    found = commands()
    about = (command_line.__doc__ or "").split("\n\n", 1)[1]
    parts = [
        "# Commands",
        f"`mlgym --help` and `mlgym COMMAND --help` print the same. {' '.join(about.split())}",
        _table(["command", "what it does"], [[_link(one.name), one.doc.partition("\n\n")[0]] for one in found[1:]]),
    ]
    for one in found:
        parts += [f"## {one.name}", _code_block(_usage(one), "text"), one.doc]
        if one.params:
            rows = [[*_param_cells(param, one.callback), param.help or ""] for param in one.params]
            parts.append(_table(["given", "type", "default", "meaning"], rows))
    return _page(parts)


def _usage(command: Command) -> str:
    arguments = [_usage_word(one) for one in command.params if not _is_option(one)]
    options = ["[OPTIONS]"] if any(_is_option(one) for one in command.params) else []
    return " ".join([command.name, *options, *arguments])


def _usage_word(argument: Any) -> str:
    word = str(argument.metavar or argument.name.upper()).strip("[]")
    word = f"{word} ..." if argument.nargs == -1 else word
    return word if argument.required else f"[{word}]"


def _is_option(param: Any) -> bool:
    return bool(param.param_type_name == "option")


def _param_cells(param: Any, callback: Any) -> list[str]:
    """Gives name, type with bounds, and default of an argument or option."""
    name = ", ".join(f"`{text}`" for text in [*param.opts, *param.secondary_opts]) if _is_option(param) else ""
    name = name or f"`{_usage_word(param)}`"
    if getattr(param, "is_flag", False):
        return [name, "flag", ""]
    annotation = typing.get_type_hints(callback, include_extras=True)[param.name]
    inner = typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation
    shown = wanted_text(inner)
    items = re.fullmatch(r"list\[(.+)\]", shown)
    bounds = [f"{sign} {bound}" for sign, bound in ((">=", param.min), ("<=", param.max)) if bound is not None]
    kind = f"`{' '.join([items[1] if items else shown, *bounds])}`" + (", repeatable" if items else "")
    default = "required" if param.required else "" if param.default is None else f"`{param.default}`"
    return [name, kind, default]


# -------------------------------------------------------------------------------------------------------- events


def payloads() -> list[type[Payload]]:
    """Gives the class of every event type, in the order of their definition."""
    return list(_subclasses(Payload))


def _subclasses(cls: type[Payload]) -> Iterator[type[Payload]]:
    for one in cls.__subclasses__():
        if one.__module__.partition(".")[0] == "mlgym":
            yield one
            yield from _subclasses(one)


def events_page() -> str:
    """Gives the page about every event type and its fields."""
    found = payloads()
    nested = list(dict.fromkeys(part for one in found for part in _parts_of(one)))
    parts = [
        "# Events",
        _EVENTS_INTRODUCTION,
        _table(["event", "what it says"], [[_link(one.event_type), prose(one)[0]] for one in found]),
        "## The line",
        "\n".join(prose(Event)).strip(),
        _table(["field", "type", "default", "meaning"], list(_field_rows(Event))),
        'The last key of a line is `crc`: the CRC-32 of the bytes before `,"crc":`, eight hex digits.',
    ]
    for one in found:
        parts += [f"## {one.event_type}", *_struct_parts(one)]
    for part in nested:
        parts += [f"## {part.__name__}", *_struct_parts(part)]
    return _page(parts)


def _struct_parts(cls: type[msgspec.Struct]) -> Iterator[str]:
    summary, details = prose(cls)
    yield summary
    if details:
        yield details
    yield _table(["field", "type", "default", "meaning"], list(_field_rows(cls)))


def _field_rows(cls: type[msgspec.Struct]) -> Iterator[list[str]]:
    docs = parameter_docs(cls)
    for field in structs.fields(cls):
        default = (
            "required"
            if field.required
            else f"`{field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()!r}`"
        )
        yield [f"`{field.encode_name}`", f"`{type_text(field.type)}`", default, docs.get(field.name, "")]


def _parts_of(cls: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """Gives the structures that the fields of a payload hold."""
    waiting = [field.type for field in structs.fields(cls)]
    for kind in waiting:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield kind
            yield from _parts_of(kind)
        else:
            waiting += typing.get_args(kind)


# -------------------------------------------------------------------------------------------------------- report


def report_structs() -> list[type[msgspec.Struct]]:
    """Gives the report and the structures that it holds."""
    found: list[type[msgspec.Struct]] = [ReportFacts, *_parts_of(ReportFacts)]
    return list(dict.fromkeys(found))


def report_page() -> str:
    """Gives the page about every field of a report."""
    parts = ["# Reports", _REPORT_INTRODUCTION]
    for one in report_structs():
        parts += [f"## {one.__name__}", *_struct_parts(one)]
    return _page(parts)


def report_schema() -> str:
    """Gives the JSON Schema of a report, with the meaning of each field."""
    schema = msgspec.json.schema(ReportFacts)
    for one in report_structs():
        described = schema["$defs"][one.__name__]
        described["description"] = prose(one)[0]
        for name, meaning in parameter_docs(one).items():
            described["properties"][name]["description"] = meaning
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Report of a run of MLgym", **schema}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


# ------------------------------------------------------------------------------------------------------ Markdown


def anchor(heading: str) -> str:
    """Gives the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _link(text: str, heading: str | None = None) -> str:
    return f"[{text}](#{anchor(heading or text)})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _code_block(text: str, language: str) -> str:
    wrapped = textwrap.wrap(text, _LINE_LENGTH, subsequent_indent="    ", break_long_words=False)
    return "\n".join([f"```{language}", *wrapped, "```"])


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join([_NOTE, *parts]) + "\n"


def stale(written: dict[str, str]) -> list[str]:
    """Gives the names of the pages on disk that are not what they should be."""
    return [
        name
        for name, text in written.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or checks them.

    Args:
        arguments: nothing, or `--check`.

    Returns:
        The exit code: 1 where a checked page is stale, else 0.
    """
    written = pages()
    found = stale(written)
    if "--check" in arguments:
        for name in found:
            sys.stderr.write(f"docs/reference/{name} is stale; {REMEDY}\n")
        return int(bool(found))
    FOLDER.mkdir(exist_ok=True)
    for name in found:
        (FOLDER / name).write_text(written[name], encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
