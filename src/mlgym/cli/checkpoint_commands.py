"""Commands about checkpoints: `checkpoints` lists and verifies them, `export` writes the weights of one to a file."""

from __future__ import annotations

import dataclasses
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mlgym.cli.options import Json, RunId, Storage
from mlgym.display.output import console, print_json
from mlgym.names import DEFAULT_STORAGE
from mlgym.texts import duration

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from mlgym.api import ExperimentCheckpoint
    from mlgym.display.fitting import FittingTable

_NUMBERS: Final = ("id", "epoch", "step", "size", "age")
_LEFT_OUT_WHEN_NARROW: Final = ((), ("age",), ("age", "size"), ("age", "size", "epoch", "step", "saved as"))

HubOfCheckpoints = Annotated[
    str | None, typer.Option("--rest-endpoint", metavar="URL", help="The hub, where checkpoints are at one.")
]


def checkpoints(
    run_id: RunId = "latest",
    storage: Storage = Path(DEFAULT_STORAGE),
    experiment: Annotated[int | None, typer.Option("--experiment", "-e", help="Only those of this one.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its hash.")] = False,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Bring what only the place of --checkpoint-place has to the run folder.")
    ] = False,
    send: Annotated[bool, typer.Option("--send", help="Send what the place of --checkpoint-place lacks.")] = False,
    run_folder_only: Annotated[
        bool, typer.Option("--run-folder-only", help="Ask no place beside the run folder.")
    ] = False,
    rest_endpoint: HubOfCheckpoints = None,
    as_json: Json = False,
) -> None:
    """List the checkpoints of a run; exits with 1 where one is damaged."""
    from mlgym.api import checkpoints_of, load_run
    from mlgym.api.checkpoint_places import fetch_checkpoints, place_of, recorded_place, send_checkpoints
    from mlgym.tracking import RunFolder

    run = load_run(run_id, storage)
    folder = RunFolder(run.path.parent, run.run_id)
    with nullcontext() if run_folder_only else place_of(folder, rest_endpoint) as place:
        if place is None and not run_folder_only and (fetch or send or recorded_place(folder)):
            print(_no_place_text(run.run_id, recorded_place(folder)), file=sys.stderr)
        if place is None and (fetch or send):
            raise typer.Exit(2)
        if place is not None and fetch:
            _tell("fetched", fetch_checkpoints(folder, run.state, place))
        if place is not None and send:
            _tell("sent", send_checkpoints(folder, run.state, place))
        found = checkpoints_of(run, experiment, verify=verify, place=place)
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
    rest_endpoint: HubOfCheckpoints = None,
) -> None:
    """Write the weights of a checkpoint to a safetensors file, after verifying them."""
    from mlgym.api import export_weights, load_run

    exported = export_weights(
        load_run(run_id, storage),
        experiment,
        to,
        checkpoint=checkpoint,
        overwrite=force,
        rest_endpoint=rest_endpoint,
    )
    print(f"{to}: experiment {experiment}, epoch {exported.epoch}, step {exported.step}", file=sys.stderr)


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(checkpoints)
    app.command()(export)


def _tell(done: str, paths: list[str]) -> None:
    for path in paths:
        print(f"{done}: {path}", file=sys.stderr)


def _no_place_text(run_id: str, place: str | None) -> str:
    if place is None:
        return f"the checkpoints of run `{run_id}` are in its folder alone: it was launched without --checkpoint-place"
    return f"checkpoints of run `{run_id}` are at a hub, too: name it, --rest-endpoint URL"


def _table(found: list[ExperimentCheckpoint], *, verified: bool) -> FittingTable:
    from mlgym.display.fitting import FittingTable

    rows = [_cells(one, verified=verified) for one in found]
    columns = [name for name in rows[0] if name != "stands" or any(one.place is not None for one in found)]
    layouts = [[name for name in columns if name not in left_out] for left_out in _LEFT_OUT_WHEN_NARROW]
    return FittingTable([partial(_table_of, rows, layout) for layout in layouts])


def _table_of(rows: list[dict[str, Text | str]], columns: list[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=name == "checkpoint")
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table


def _cells(one: ExperimentCheckpoint, *, verified: bool) -> dict[str, Text | str]:
    """Gives what is shown of a checkpoint, by the heads of the columns."""
    from rich.text import Text

    age = duration(None if one.saved_at is None else max(0.0, time.time() - one.saved_at))
    numbers = (str(one.experiment_id), str(one.epoch), str(one.step), _size(one.num_bytes), age)
    cells: dict[str, Text | str] = dict(zip(_NUMBERS, numbers, strict=True))
    cells |= {"saved as": ", ".join(one.reasons), "checkpoint": one.name, "stands": _where(one)}
    mark = Text("damaged", style="red") if one.damage else Text("\N{CHECK MARK}", style="green")
    return cells | ({"verified": mark} if verified else {})


def _where(one: ExperimentCheckpoint) -> str:
    if one.place is None:
        return "here"
    return f"at {one.place}" if one.saved_at is None else f"here, at {one.place}"


def _size(num_bytes: int) -> str:
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
