"""What the programs of single services share: their options, and serving a storage folder until a signal ends it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mlgym.errors import MlgymError
from mlgym.names import DEFAULT_STORAGE
from mlgym.server.application import create_app
from mlgym.server.serving import LOOPBACK, add_address_options, address_of, listen, say, serve, token_lines, url_of


def serve_storage(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    title: str,
    *,
    rest: bool = False,
    sockets: bool = False,
) -> None:
    """Runs a service over a storage folder until SIGINT or SIGTERM; wrong options end the program with exit code 2.

    Args:
        parser: has the option `--port` and gets the others.
        arguments: those after the program's name; None for the process's own.
        title: what it is called where it says that it runs.
        rest: whether it has the REST service.
        sockets: whether it has the websocket service.
    """
    parser.add_argument("--host", default=LOOPBACK, help="anything but this machine's own address asks for a token")
    parser.add_argument(
        "--event_storage_path", type=Path, default=Path(DEFAULT_STORAGE), help="folder with one folder per run"
    )
    parser.add_argument(
        "--cors_allowed_origins",
        nargs="+",
        metavar="URL",
        help="where boards are served that may use this; by default http://127.0.0.1:8080, on this machine only",
    )
    add_address_options(parser)
    given = parser.parse_args(arguments)
    try:
        address = address_of(given, given.host)
        door = address.door()
        app = create_app(given.event_storage_path, rest=rest, sockets=sockets, door=door)
        listening = listen(address)
    except MlgymError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"`{given.event_storage_path}` cannot be made: {error.strerror}")
    where = url_of(address, listening)
    say(f"{title} on {where}, runs in {given.event_storage_path}", *token_lines(door.tokens))
    serve(app, listening)
