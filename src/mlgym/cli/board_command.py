"""The commands `board` and `token`: looking at runs in a browser, and who else may."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Annotated

import typer

from mlgym.cli.options import Storage
from mlgym.names import DEFAULT_STORAGE, TOKEN_VARIABLE


def board(
    run_id: Annotated[
        str | None, typer.Argument(help="The run to open: its id, the beginning of one, or `latest`.")
    ] = None,
    storage: Storage = Path(DEFAULT_STORAGE),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for any that is free.")] = 8080,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; any but this machine's own asks for a token.")
    ] = "127.0.0.1",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", help="Further name of this service, such as that of a proxy. Repeatable."),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", metavar="URL", help="Another board that may use this one's services. Repeatable."),
    ] = None,
    require_token: Annotated[
        bool, typer.Option("--require-token", help="Ask for a token on this machine, too: others share it.")
    ] = False,
) -> None:
    """Serve MLboard for the runs of a storage folder, those that are running too; takes runs of other machines."""
    gc.disable()  # what is imported and built now stays; looking for garbage in it takes a tenth of the start
    from mlgym.errors import RunError
    from mlgym.names import LOG_FILE
    from mlgym.server.application import create_app
    from mlgym.server.board import Board
    from mlgym.server.serving import Address, listen, say, serve, token_lines, url_of
    from mlgym.tracking import find_run

    if (storage / LOG_FILE).is_file():
        raise RunError(f"`{storage}` is a run; its storage folder is `{storage.absolute().parent}`")
    query = "" if run_id is None else f"?run_id={find_run(storage, run_id).run_id}"
    address = Address(
        host=host, port=port, origins=origin or [], allowed_hosts=allowed_host or [], require_token=require_token
    )
    door = address.door()
    try:
        app = create_app(storage, rest=True, sockets=True, board=Board(), door=door)
    except OSError as error:
        raise RunError(f"the storage folder `{storage}` cannot be made: {error.strerror}") from error
    gc.freeze()
    gc.enable()
    listening = listen(address)
    url = url_of(address, listening)
    # What follows a `#` stays in the browser: it is in no request, log or referrer.
    fragment = f"#token={door.tokens.write}" if door.tokens and door.tokens.is_new else ""
    say(f"MLboard: {url}/{query}{fragment}")
    say(*token_lines(door.tokens), f"runs in {storage}; Ctrl-C ends it")
    serve(app, listening)


def token(
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="RUN_ID", help="For this run only: to see and to write it.")
    ] = None,
) -> None:
    """Print the token that goes with `MLGYM_TOKEN` and allows less: to read, or to write one run."""
    from mlgym.errors import MlgymError
    from mlgym.server.tokens import Tokens

    if not os.environ.get(TOKEN_VARIABLE):
        raise MlgymError(f"set {TOKEN_VARIABLE} to the write token of the hub first")
    tokens = Tokens.of_environment()
    print(tokens.read if run_id is None else tokens.of_run(run_id))


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(board)
    app.command()(token)
