"""The program `ml_board`: serves the page, and prints the link that opens a run on services elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode, urlsplit

from mlgym.errors import MlgymError
from mlgym.server.application import create_app
from mlgym.server.board import Board
from mlgym.server.serving import (
    BOARD_PORT,
    LOOPBACK,
    Address,
    checked_origin,
    listen,
    say,
    serve,
    url_of,
)

_TWIN: Final = {"http": "ws", "https": "wss", "ws": "http", "wss": "https"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves the page until SIGINT or SIGTERM.

    Args:
        arguments: those after the program's name; None for the process's own.
    """
    parser = argparse.ArgumentParser(prog="ml_board", description="Serves MLboard and prints the link to a run.")
    parser.add_argument("--ml_board_host", default=LOOPBACK, help="where the page is served")
    parser.add_argument("--ml_board_port", type=int, default=BOARD_PORT, help="0 for any that is free")
    parser.add_argument("--rest_endpoint", required=True, metavar="URL", help="such as http://127.0.0.1:5001")
    parser.add_argument("--ws_endpoint", required=True, metavar="URL", help="such as http://127.0.0.1:7000")
    parser.add_argument("--run_id", default="", help="the run that the link opens; by default the list of all")
    parser.add_argument("--allowed_hosts", nargs="+", default=[], metavar="NAME", help="further names of this service")
    given = parser.parse_args(arguments)
    address = Address(host=given.ml_board_host, port=given.ml_board_port, origins=[], allowed_hosts=given.allowed_hosts)
    try:
        board = Board(connect_to=connections(given.rest_endpoint, given.ws_endpoint))
        # The page is the same for everybody and asks the services for a token where they want one.
        app = create_app(None, board=board, door=address.door(tokens=False))
        listening = listen(address)
    except MlgymError as error:
        parser.error(str(error))
    say(f"MLboard: {link(url_of(address, listening), given.rest_endpoint, given.ws_endpoint, given.run_id)}")
    serve(app, listening)


def link(url: str, rest_endpoint: str, ws_endpoint: str, run_id: str) -> str:
    """Gives the address that opens a run.

    Args:
        url: where the page is served.
        rest_endpoint: the REST service.
        ws_endpoint: the websocket service.
        run_id: the run; empty for the list of all.
    """
    given = {"rest_endpoint": rest_endpoint, "ws_endpoint": ws_endpoint, "run_id": run_id}
    return f"{url}/?{urlencode({key: value for key, value in given.items() if value}, safe=':/')}"


def connections(*endpoints: str) -> list[str]:
    """Gives the origins that the page has to reach, each as HTTP and as websocket.

    Raises:
        ServiceError: an endpoint is no URL.
    """
    origins = []
    for endpoint in endpoints:
        origin = checked_origin(endpoint)
        scheme = urlsplit(origin).scheme
        origins += [origin, f"{_TWIN[scheme]}{origin.removeprefix(scheme)}"]
    return list(dict.fromkeys(origins))


if __name__ == "__main__":
    main()
