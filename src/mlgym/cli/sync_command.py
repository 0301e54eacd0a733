"""The command `sync`: brings to a hub what it lacks of a run, or brings from there what is lacking here."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlgym.cli.options import Json, RunId, Storage
from mlgym.display.output import print_json
from mlgym.errors import RunError
from mlgym.names import DEFAULT_STORAGE, safe_name

if TYPE_CHECKING:
    from mlgym.tracking import RunFolder
    from mlgym.tracking.hub_client import HubClient

_MIB = 2**20


def sync(
    run_id: RunId,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="The hub, such as http://127.0.0.1:5001.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="A hub: bring from there what it has and is not here.")
    ] = None,
    storage: Storage = Path(DEFAULT_STORAGE),
    as_json: Json = False,
) -> None:
    """Send what a hub lacks of a run, or bring what it has; may be interrupted and repeated.

    Exits with 1 where something is damaged and was not sent.
    """
    if (to is None) == (source is None):
        raise RunError("name one hub: `--to URL` to send there, or `--from URL` to bring from there")
    if source is not None:
        _bring(run_id, source, storage, as_json=as_json)
    elif to is not None:
        _send(run_id, to, storage, as_json=as_json)


def _bring(run_id: str, source: str, storage: Path, *, as_json: bool) -> None:
    from mlgym.tracking.hub_client import HubClient
    from mlgym.tracking.pull import CaughtUp, catch_up, caught_up_text, pull

    with HubClient(source) as client:
        folder = _here(storage, run_id, client)
        if folder is not None:
            brought = catch_up(folder, client, while_it_goes_on=True)
            said = caught_up_text(brought)
        else:
            folder, brought = pull(run_id, storage, client), CaughtUp()
            brought.num_events = sum(1 for _ in folder.events())
            said = f"all of it, {brought.num_events} events"
    if as_json:
        print_json({"run_id": folder.run_id, "hub": client.url} | dataclasses.asdict(brought))
    else:
        print(f"{folder.run_id}: brought {said} from {client.url}", file=sys.stderr)


def _here(storage: Path, run_id: str, client: HubClient) -> RunFolder | None:
    """Gives the run that is meant where it is here; None where the hub has one of exactly this id, or nobody has."""
    from mlgym.tracking import LATEST, RunFolder, find_run

    if run_id == LATEST:
        return find_run(storage, run_id)
    whole = RunFolder(storage, safe_name(run_id, "run id"))
    if whole.log_path.is_file():
        return whole
    if client.head(run_id) is not None:
        return None
    try:
        return find_run(storage, run_id)
    except RunError:
        return None


def _send(run_id: str, to: str, storage: Path, *, as_json: bool) -> None:
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
