"""Commands that look at configs and components: `check`, `expand`, `schema`, `components`, `graph`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mlgym.cli.options import Config, Json, Overrides
from mlgym.display.output import console, print_json
from mlgym.texts import key_text, value_text

_TRIAL_COLUMNS: Final = ("role", "repeat", "outer_fold", "fold", "seed")
_MAX_RUNGS: Final = 8


def check(config: Config, overrides: Overrides = None, as_json: Json = False) -> None:
    """Check a config in every alternative, without starting anything."""
    from mlgym.config import check as check_document
    from mlgym.config import load
    from mlgym.errors import ConfigError

    try:
        space = check_document(load(config, overrides or []))
    except ConfigError as error:
        if not as_json:
            raise
        faults = [{"place": one.place, "path": one.path, "message": one.message} for one in error.faults]
        print_json({"ok": False, "faults": faults})
        raise typer.Exit(2) from None
    notes = [str(note) for note in space.notes]
    warnings = [str(warning) for warning in space.warnings]
    if as_json:
        facts = {"num_experiments": len(space), "validation": space.facts}
        print_json({"ok": True, **facts, "notes": notes, "warnings": warnings})
        return
    for kind, lines in (("note", notes), ("warning", warnings)):
        for line in lines:
            print(f"{kind}: {line}", file=sys.stderr)
    print(f"{config}: all right, {_experiments_text(len(space), space.facts)}")


def expand(
    config: Config,
    overrides: Overrides = None,
    full: Annotated[bool, typer.Option("--full", help="Show the whole config with the place of each value.")] = False,
    experiment: Annotated[int | None, typer.Option("--experiment", "-e", help="Show the config of one.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="List at most so many experiments.")] = 1000,
    as_json: Json = False,
) -> None:
    """List the experiments that a config unfolds into, without building anything."""
    from mlgym.config import check as check_document
    from mlgym.config import dump_yaml, load, render_with_places, resolve
    from mlgym.errors import RunError

    document = load(config, overrides or [])
    if full:
        print(render_with_places(document))
        return
    space = check_document(document)
    if experiment is not None:
        if not 0 <= experiment < len(space):
            raise RunError(f"there is no experiment {experiment}; the config has 0 to {len(space) - 1}")
        resolved = resolve(space[experiment].config)
        if as_json:
            print_json(resolved)
        else:
            print(dump_yaml(resolved), end="")
        return
    outlines = [space.outline(i) for i in range(min(limit, len(space)))]
    if as_json:
        listed = [{"experiment_id": one.experiment_id, "swept": one.swept, "trial": one.trial} for one in outlines]
        print_json({"num_experiments": len(space), "validation": space.facts, "experiments": listed})
        return
    if "parameters" in space.facts:
        _print_parameters(space.facts)
        print(f"tried by {_search_text(space.facts)}; what, is decided while it runs", file=sys.stderr)
        return
    _print_outlines(outlines)
    if len(space) > limit:
        print(f"... {len(space)} experiments in all; --limit shows more", file=sys.stderr)


def schema(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="Takes the components of its `imports` in.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
) -> None:
    """Print the JSON Schema of configs, with which editors complete and check."""
    from mlgym.config import import_user_modules, json_schema, load
    from mlgym.errors import MlgymError

    if config is not None:
        document = load(config)
        import_user_modules(document.imports, document.folder)
    if output is None:
        print_json(json_schema())
        return
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(json_schema()), indent=2) + b"\n"
    try:
        output.write_bytes(text)
    except OSError as error:
        raise MlgymError(f"`{output}` cannot be written: {error.strerror}; give --output another file") from error
    print(f'{output}; in a config: "# yaml-language-server: $schema={output}"', file=sys.stderr)


def components(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Explain this one.")] = None,
    imports: Annotated[list[str] | None, typer.Option("--import", help="Import this module first.")] = None,
    as_json: Json = False,
) -> None:
    """List the components that configs can use, or explain one."""
    import dataclasses

    from mlgym.config import describe, import_user_modules
    from mlgym.config.registry import REGISTRY

    import_user_modules(imports or [], Path.cwd())
    if name is not None:
        described = describe(REGISTRY.find(name))
        if as_json:
            print_json(dataclasses.asdict(described))
        else:
            _print_component(described)
        return
    for message in REGISTRY.broken().values():
        print(message, file=sys.stderr)
    all_described = [describe(component) for component in REGISTRY]
    if as_json:
        print_json([dataclasses.asdict(one) for one in all_described])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("name", "gives", "what it is"):
        table.add_column(header, no_wrap=header == "name")
    for one in all_described:
        table.add_row(one.name, Text(one.kind), Text(one.summary))
    console().print(table)


def graph(
    config: Config,
    overrides: Overrides = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid diagram.")] = False,
) -> None:
    """Draw which component needs which."""
    from mlgym.config import check as check_document
    from mlgym.config import graph as component_graph
    from mlgym.config import load

    document = load(config, overrides or [])
    check_document(document)
    drawn = component_graph(document)
    print(drawn.mermaid() if mermaid else drawn.text())


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for command in (check, expand, schema, components, graph):
        app.command()(command)


def _experiments_text(num_experiments: int, facts: Mapping[str, Any]) -> str:
    """Gives `210 experiments: 5 outer folds x (8 configurations x 5 inner folds + 1 fit)`."""
    text = f"{num_experiments} {'experiment' if num_experiments == 1 else 'experiments'}"
    num_seeds = len(facts.get("seeds", ()))
    seeds = [f"{num_seeds} seeds"] if num_seeds else []
    num_configurations = facts.get("num_configurations")
    if "parameters" in facts:
        return f"{text} at most: a search by {_search_text(facts)}"
    configurations = f"{num_configurations} configuration{'s' * (num_configurations != 1)}"
    if "num_outer_folds" in facts:
        competitors = " x ".join([configurations, f"{facts['num_inner_folds']} inner folds", *seeds])
        fits = f"{num_seeds} fits" if num_seeds > 1 else "1 fit"
        return f"{text}: {facts['num_outer_folds']} outer folds x ({competitors} + {fits} of the winner)"
    factors = [configurations, *([f"{facts['num_folds']} folds"] if "num_folds" in facts else []), *seeds]
    return text if len(factors) == 1 else f"{text}: {' x '.join(factors)}"


def _search_text(facts: Mapping[str, Any]) -> str:
    """Gives `asha, 27 trials over 3 parameters, compared after 1, 3 and 9 epochs`."""
    num_parameters, num_seeds = len(facts["parameters"]), len(facts.get("seeds", ()))
    parameters = f"{num_parameters} parameter{'s' * (num_parameters != 1)}"
    seeds = f", each under {num_seeds} seeds" if num_seeds else ""
    rungs = [str(epochs) for epochs in facts["rungs"]]
    shown = rungs if len(rungs) <= _MAX_RUNGS else [*rungs[: _MAX_RUNGS - 2], "...", rungs[-1]]
    compared = f", compared after {', '.join(shown)} epochs" if rungs else ""
    return f"{facts['strategy']['use']}, {facts['num_trials']} trials over {parameters}{compared}{seeds}"


def _print_parameters(facts: Mapping[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("parameter", "values", ""):
        table.add_column(header)
    for one in facts["parameters"]:
        values = ", ".join(map(value_text, one["values"]))
        more = f", ... ({one['num_values']} in all)" if len(one["values"]) < (one["num_values"] or 0) else ""
        for name, (low, high) in (one["distribution"] or {}).items():
            values = f"{name} from {value_text(low)} to {value_text(high)}"
        when = "only with some values of others" if one["conditional"] else ""
        table.add_row(*map(Text, [key_text(one["key"]), values + more, when]))
    console().print(table)


def _print_outlines(outlines: list[Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    keys = list(dict.fromkeys(key for one in outlines for key in one.swept or ()))
    # What is the same for all, such as the seed of a run that has one, says nothing.
    facts = [name for name in _TRIAL_COLUMNS if len({one.trial.get(name) for one in outlines}) > 1]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("id", *(name.replace("_", " ") for name in facts), *map(key_text, keys)):
        table.add_column(header, justify="right")
    for one in outlines:
        cells = ["" if one.trial.get(name) is None else str(one.trial[name]) for name in facts]
        swept = ["of the winner"] * len(keys) if one.swept is None else [_swept_text(one.swept, key) for key in keys]
        table.add_row(str(one.experiment_id), *map(Text, [*cells, *swept]))
    console().print(table)


def _swept_text(swept: Mapping[str, Any], key: str) -> str:
    return value_text(swept[key]) if key in swept else ""


def _print_component(described: Any) -> None:
    print(f"{described.name}: {described.summary}\n")
    for parameter in described.parameters:
        default = "required" if parameter.required else f"default {parameter.default}"
        print(f"  {parameter.name}: {parameter.type} ({default})")
        if parameter.doc:
            print(f"      {parameter.doc}")
    if described.outputs:
        print(f"\noutputs: {described.outputs}")
    print(f"\ndefined in {described.place}")
