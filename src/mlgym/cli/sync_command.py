"""The command `sync`: brings to a hub what it lacks of a run."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlgym.cli.options import Json, RunId, Storage
from mlgym.display.output import print_json
from mlgym.names import DEFAULT_STORAGE

_MIB = 2**20


def sync(
    run_id: RunId,
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The hub, such as http://127.0.0.1:5001.")],
    storage: Storage = Path(DEFAULT_STORAGE),
    as_json: Json = False,
) -> None:
    """Send what a hub lacks of a run; may be interrupted and repeated. Exits with 1 where something is damaged."""
    from mlgym.tracking import find_run
    from mlgym.tracking.hub_client import HubClient
    from mlgym.tracking.mirror import push

    folder = find_run(storage, run_id)
    with HubClient(to) as client:
        if sys.stderr.isatty():
            client.on_bytes = lambda _: print(f"\r{client.bytes_sent / _MIB:.1f} MiB sent", end="", file=sys.stderr)
        pushed = push(folder, client)
        if sys.stderr.isatty() and client.bytes_sent:
            print(file=sys.stderr)
    if as_json:
        print_json({"run_id": folder.run_id, "hub": client.url} | dataclasses.asdict(pushed))
    else:
        print(
            f"{folder.run_id}: sent {pushed.num_events} events, {pushed.num_files} configs and records, "
            f"{pushed.num_checkpoints} checkpoints, {pushed.num_artifacts} artifacts; deleted {pushed.num_deleted} "
            f"checkpoints on {client.url}",
            file=sys.stderr,
        )
    for path in pushed.damaged:
        print(f"{path} does not match its manifest, so it was not sent", file=sys.stderr)
    raise typer.Exit(1 if pushed.damaged else 0)


def add_to(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(sync)
