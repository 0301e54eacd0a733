"""Commands about checkpoints: `checkpoints` lists and verifies them, `export` writes the weights of one to a file."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlgym.cli.view_commands import Json, RunId, Storage
from mlgym.display.output import console, print_json
from mlgym.names import DEFAULT_STORAGE
from mlgym.texts import duration

if TYPE_CHECKING:
    from rich.table import Table

    from mlgym.api import ExperimentCheckpoint


def checkpoints(
    run_id: RunId = "latest",
    storage: Storage = Path(DEFAULT_STORAGE),
    experiment: Annotated[int | None, typer.Option("--experiment", "-e", help="Only those of this one.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its hash.")] = False,
    as_json: Json = False,
) -> None:
    """List the checkpoints of a run; exits with 1 where one is damaged."""
    from mlgym.api import checkpoints_of, load_run

    found = checkpoints_of(load_run(run_id, storage), experiment, verify=verify)
    if as_json:
        print_json([dataclasses.asdict(one) for one in found])
    elif found:
        console().print(_table(found, verified=verify))
    else:
        print("no checkpoints", file=sys.stderr)
    damaged = [one.damage for one in found if one.damage is not None]
    for damage in damaged:
        print(damage, file=sys.stderr)
    raise typer.Exit(1 if damaged else 0)


def export(
    run_id: RunId,
    experiment: Annotated[int, typer.Option("--experiment", "-e", help="The experiment's number.")],
    to: Annotated[Path, typer.Option("--to", help="A file that ends in `.safetensors`.")],
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", help="`best`, `last`, or a name that `mlgym checkpoints` shows.")
    ] = "best",
    storage: Storage = Path(DEFAULT_STORAGE),
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")] = False,
) -> None:
    """Write the weights of a checkpoint to a safetensors file, after verifying them."""
    from mlgym.api import export_weights, load_run

    exported = export_weights(load_run(run_id, storage), experiment, to, checkpoint=checkpoint, replace=force)
    print(f"{to}: experiment {experiment}, epoch {exported.epoch}, step {exported.step}", file=sys.stderr)


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(checkpoints)
    app.command()(export)


def _table(found: list[ExperimentCheckpoint], *, verified: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("id", "epoch", "step", "size", "age"):
        table.add_column(header, justify="right")
    for header in ("kept as", "checkpoint", *(["verified"] if verified else [])):
        table.add_column(header, no_wrap=header == "checkpoint")
    now = time.time()
    for one in found:
        age = duration(None if one.saved_at is None else max(0.0, now - one.saved_at))
        cells = [str(one.experiment_id), str(one.epoch), str(one.step), _size(one.num_bytes), age]
        marks = [Text("damaged", style="red") if one.damage else Text("✓", style="green")] if verified else []
        table.add_row(*cells, ", ".join(one.reasons), one.name, *marks)
    return table


def _size(num_bytes: int) -> str:
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
