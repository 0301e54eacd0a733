"""The program `ml_board_ws_endpoint`: the websocket service on a port."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mlgym.errors import MlgymError
from mlgym.names import DEFAULT_STORAGE
from mlgym.server.application import create_app
from mlgym.server.serving import LOOPBACK, add_address_options, address_of, listen, say, serve, token_lines, url_of

_PORT: Final = 5000


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the service until SIGINT or SIGTERM.

    Args:
        arguments: those after the program's name; None for the process's own.
    """
    parser = argparse.ArgumentParser(
        prog="ml_board_ws_endpoint", description="Stores events of runs, replays them, and streams them on live."
    )
    parser.add_argument("--host", default=LOOPBACK, help="anything but this machine's own address asks for a token")
    parser.add_argument("--port", type=int, default=_PORT, help=f"0 for any that is free; by default {_PORT}")
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
        app = create_app(given.event_storage_path, sockets=True, door=door)
        listening = listen(address)
    except MlgymError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"`{given.event_storage_path}` cannot be made: {error.strerror}")
    where = url_of(address, listening)
    say(f"Websocket service on {where}, runs in {given.event_storage_path}", *token_lines(door.tokens))
    serve(app, listening)


if __name__ == "__main__":
    main()
