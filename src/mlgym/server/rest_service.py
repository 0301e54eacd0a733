"""The program `ml_board_rest_endpoint`: the REST service on a port."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mlgym.server.storage_service import serve_storage


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the service until SIGINT or SIGTERM.

    Args:
        arguments: those after the program's name; None for the process's own.
    """
    parser = argparse.ArgumentParser(
        prog="ml_board_rest_endpoint", description="Keeps configs, checkpoints and events of runs."
    )
    parser.add_argument("--port", type=int, required=True, help="0 for any that is free")
    serve_storage(parser, arguments, "REST service", rest=True)


if __name__ == "__main__":
    main()
