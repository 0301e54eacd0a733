"""The program `ml_board_rest_endpoint`: the REST service on a port of this machine."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from mlgym.names import DEFAULT_STORAGE
from mlgym.server.rest import create_rest_app

_HOST: Final = "127.0.0.1"


class _Server(uvicorn.Server):
    """A server that ends by itself on SIGINT and SIGTERM, instead of dying of the signal after it has shut down."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the service until SIGINT or SIGTERM.

    Args:
        arguments: those after the program's name; None for the process's own.
    """
    parser = argparse.ArgumentParser(
        prog="ml_board_rest_endpoint", description="Keeps configs, checkpoints and events of runs; for this machine."
    )
    parser.add_argument("--port", type=int, required=True, help="0 for any that is free")
    parser.add_argument(
        "--event_storage_path", type=Path, default=Path(DEFAULT_STORAGE), help="folder with one folder per run"
    )
    given = parser.parse_args(arguments)
    try:
        app = create_rest_app(given.event_storage_path)
    except OSError as error:
        parser.error(f"`{given.event_storage_path}` cannot be made: {error.strerror}")
    config = uvicorn.Config(
        app, host=_HOST, port=given.port, timeout_graceful_shutdown=5, server_header=False, access_log=False
    )
    _Server(config).run()


if __name__ == "__main__":
    main()
