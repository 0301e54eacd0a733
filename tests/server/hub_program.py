"""The websocket service with other settings than the program has, and with its protections off for controls.

Run as `python -m tests.server.hub_program STORAGE --port N`, with the options below.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from starlette.types import Receive, Scope, Send

from mlgym.server.open_logs import OpenLogs
from mlgym.server.serving import Address, listen, serve
from mlgym.server.sockets import SocketLimits, SocketService
from mlgym.server.store import HubStore
from mlgym.server.tokens import FULL_ACCESS

PROGRAM = ("tests.server.hub_program",)


class Unguarded:
    """The service without a guard before it."""

    def __init__(self, service: SocketService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._service(scope, receive, send)
            return
        await receive()
        async with self._service.running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        self._service.store.logs.close_idle(0.0)
        await send({"type": "lifespan.shutdown.complete"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("storage", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--patience", type=float, default=10.0)
    parser.add_argument("--stranger", type=float, default=30.0)
    parser.add_argument("--sessions", type=int, default=4000)
    parser.add_argument("--without_fsync", action="store_true")
    given = parser.parse_args()
    given.storage.mkdir(parents=True, exist_ok=True)
    store = HubStore(given.storage)
    store.logs = OpenLogs(fsync=not given.without_fsync)
    limits = SocketLimits(patience_s=given.patience, stranger_s=given.stranger, sessions=given.sessions)
    service = SocketService(store, limits, authorize=lambda scope, auth: FULL_ACCESS)
    serve(Unguarded(service), listen(Address(port=given.port)))


if __name__ == "__main__":
    main()
