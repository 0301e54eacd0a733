"""The command `report`: what the numbers of a run are, and what may be claimed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlgym.cli.options import Direction, Metric, RunId, Storage, choice, direction
from mlgym.cli.view_commands import tell_damage
from mlgym.names import DEFAULT_STORAGE

if TYPE_CHECKING:
    from mlgym.validation.report import Report

FORMATS = ("table", "json", "csv", "markdown", "latex", "html")
_ENDINGS = {
    "": "table",
    ".txt": "table",
    ".json": "json",
    ".csv": "csv",
    ".md": "markdown",
    ".tex": "latex",
    ".html": "html",
    ".htm": "html",
}


def report(
    run_id: RunId = "latest",
    storage: Storage = Path(DEFAULT_STORAGE),
    against: Annotated[
        str | None, typer.Option("--against", metavar="RUN_ID", help="Compare with this run, fold by fold.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option("--compare", metavar="KEY", help="Compare the values of a swept key, such as `model`.")
    ] = None,
    metric: Metric = None,
    best: Direction = None,
    rope: Annotated[
        float | None,
        typer.Option("--rope", min=0, help="A difference up to this is none in practice; default: 0.01 for shares."),
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Configurations in a table; JSON and CSV have all.")] = 30,
    format: Annotated[
        str | None,
        typer.Option("--format", "-f", help="`table`, `json`, `csv`, `markdown`, `latex` or `html`."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write to this file; its ending gives the format, where none is named.")
    ] = None,
) -> None:
    """Report what a run found: ranks, intervals, comparisons, and what may be claimed."""
    from mlgym.tracking import find_run
    from mlgym.validation.report import report_of

    how = _format(format, to)
    folder = find_run(storage, run_id)
    other = find_run(storage, against) if against is not None else None
    if other is not None and other.run_id == folder.run_id:
        raise typer.BadParameter(f"`{other.run_id}` is the run itself; name another one", param_hint="--against")
    state = folder.state()
    tell_damage(folder.run_id, state.damage)
    found = report_of(
        state,
        run_id=folder.run_id,
        metric=metric,
        best=direction(best),
        against=other.state() if other is not None else None,
        compare=compare,
        rope=rope,
        confidence=confidence,
    )
    if to is not None:
        _write(to, written(found, how, rows))
    elif how == "table":
        from mlgym.display.output import console
        from mlgym.display.report_page import report_page

        console().print(report_page(found.facts, rows))
    else:
        sys.stdout.write(written(found, how, rows))


def add_to(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(report)


def written(found: Report, how: str, rows: int) -> str:
    """Gives a report in a format."""
    if how in ("json", "csv"):
        return found.to_json() if how == "json" else found.to_csv()
    formats: dict[str, Any] = {
        "table": found.to_text,
        "markdown": found.to_markdown,
        "latex": found.to_latex,
        "html": found.to_html,
    }
    text: str = formats[how](rows)
    return text


def _format(name: str | None, to: Path | None) -> str:
    if name is not None:
        return choice(name, FORMATS, "--format")
    ending = to.suffix.lower() if to is not None else ""
    if ending not in _ENDINGS:
        known = ", ".join(filter(None, _ENDINGS))
        raise typer.BadParameter(f"`{ending}` says no format (known: {known}); name one by --format", param_hint="--to")
    return _ENDINGS[ending]


def _write(path: Path, text: str) -> None:
    from mlgym.errors import RunError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"`{path}` cannot be written: {error.strerror}") from error
    print(f"wrote {path}", file=sys.stderr)
