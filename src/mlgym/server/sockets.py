"""The Socket.IO side of a hub: events in, acknowledged once durable; histories and live events out.

What is said on the wire is the protocol of MLgym 0.0.75 and what extends it; the work is done by `ingest` and `live`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from starlette.types import Receive, Scope, Send

from mlgym.server.store import HubStore

SOCKET_PATH: Final = "/socket.io"


class SessionAccess(Protocol):
    """What whoever connected may do; `tokens.Access` is one."""

    def allows(self, run_id: str | None, *, write: bool) -> bool:
        """Tells whether a run may be read or written; None for what concerns all runs."""


Authorize = Callable[[Mapping[str, Any], object], SessionAccess | None]
"""Gives what a socket may do, from the scope of ASGI and what the client sent as `auth`; None to refuse it."""


@dataclass(frozen=True, kw_only=True)
class SocketLimits:
    """What a client may cost.

    Args:
        message_bytes: longest message of a client, in bytes.
        batch_events: most events in one message.
        rooms: most runs that a client follows at a time.
        client_pending_bytes: events of a client that wait for the disk, in bytes; reading from it stops at so many.
        pending_bytes: the same of all clients.
        patience_s: how long a client may take nothing of what it was sent, in s; then it is told to come again.
        in_use_s: how long events wait while another process writes the log of their run, in s.
    """

    message_bytes: int = 16 * 2**20
    batch_events: int = 10_000
    rooms: int = 64
    client_pending_bytes: int = 16 * 2**20
    pending_bytes: int = 128 * 2**20
    patience_s: float = 10.0
    in_use_s: float = 3.0


class SocketService:
    """The Socket.IO service of a hub, as an ASGI app for everything below `SOCKET_PATH`.

    To be served with `running()` entered in the app's lifespan, by uvicorn with `ws_max_size=limits.message_bytes`,
    `ws_per_message_deflate=False` (deflate costs 300 kB a client) and `ws_ping_interval=None` (Engine.IO has its own).

        service = SocketService(store, authorize=socket_access, origins=["http://127.0.0.1:8080"])
        async with service.running():
            await service(scope, receive, send)
    """

    def __init__(
        self,
        store: HubStore,
        limits: SocketLimits | None = None,
        *,
        authorize: Authorize,
        origins: Collection[str] = (),
    ) -> None:
        """Makes the service; `running` starts it.

        Args:
            store: where runs are; the same object as that of a REST service in the same process.
            limits: what a client may cost.
            authorize: says what a client that connects may do.
            origins: pages of other origins that may connect; those of the service's own origin always may.
        """
        self.store = store
        self.limits = limits or SocketLimits()
        self._authorize = authorize
        self._origins = origins

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves while the body runs: follows logs that other processes write, and ends every connection at last."""
        yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes a request or a websocket below `SOCKET_PATH`."""
        raise NotImplementedError
