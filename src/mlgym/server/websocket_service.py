"""The program `ml_board_ws_endpoint`: the websocket service on a port."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from mlgym.server.storage_service import serve_storage

_PORT: Final = 5000


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the service until SIGINT or SIGTERM.

    Args:
        arguments: those after the program's name; None for the process's own.
    """
    parser = argparse.ArgumentParser(
        prog="ml_board_ws_endpoint", description="Stores events of runs, replays them, and streams them on live."
    )
    parser.add_argument("--port", type=int, default=_PORT, help=f"0 for any that is free; by default {_PORT}")
    serve_storage(parser, arguments, "Websocket service", sockets=True)


if __name__ == "__main__":
    main()
