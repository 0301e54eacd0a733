"""REST service, websocket service and board as one ASGI app with one guard before all of them.

Any of the three may be left out: `ml_board_rest_endpoint`, `ml_board_ws_endpoint` and `ml_board` are one each, `mlgym
board` is all. What starts and ends with a service starts and ends here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from mlgym.server.api.reads import Reads
from mlgym.server.board import Board
from mlgym.server.door import Door
from mlgym.server.guard import Guard, is_socket
from mlgym.server.limits import Limits
from mlgym.server.notes_log import NotesLog
from mlgym.server.refusal import RefusedError, error_response
from mlgym.server.rest import FIRST_WORDS, largest_body, rest_app
from mlgym.server.store import HubStore
from mlgym.server.tokens import socket_access
from mlgym.server.trash import Trash
from mlgym.server.uploads import remove_stale

if TYPE_CHECKING:
    from mlgym.server.sockets import SocketService

_SWEEP_EVERY_S: Final = 3600.0


def create_app(
    storage: Path | None,
    *,
    rest: bool = False,
    sockets: bool = False,
    board: Board | None = None,
    door: Door | None = None,
    limits: Limits | None = None,
) -> ASGIApp:
    """Gives services over a storage folder as one ASGI app.

    Args:
        storage: the folder of all runs, made where it is missing; None for the board alone.
        rest: whether it has the REST routes.
        sockets: whether it has the websocket service.
        board: the files of the board; None for no board.
        door: who is let in; by default this machine, without tokens.
        limits: what a request may cost.
    """
    limits = limits or Limits()
    door = door or Door()
    parts = _Parts(storage, limits, rest=rest, sockets=sockets, board=board)
    return Guard(
        parts, door=replace(door, is_public=parts.is_public), limit_of=partial(largest_body, limits), limits=limits
    )


class _Parts:
    """The parts of a service, each behind its paths."""

    def __init__(
        self,
        storage: Path | None,
        limits: Limits,
        *,
        rest: bool,
        sockets: bool,
        board: Board | None,
    ) -> None:
        self._board = board
        self._rest: ASGIApp | None = None
        self._sockets: SocketService | None = None
        lifespan: Callable[[Any], Any] = _nothing
        if storage is not None:
            storage.mkdir(parents=True, exist_ok=True)
            store = HubStore(storage)
            if sockets:
                # Those that have none start faster without it.
                from mlgym.server.sockets import SocketLimits, SocketService

                of_sockets = SocketLimits(message_bytes=limits.message_bytes)
                self._sockets = SocketService(store, of_sockets, authorize=socket_access)
            reads = None
            if rest:
                notes = NotesLog(storage)
                trash = Trash(store, notes)
                reads = Reads(store, notes, trash)
                self._rest = rest_app(store, notes, trash, reads, limits)
            lifespan = partial(_running, store=store, sockets=self._sockets, reads=reads, limits=limits)
        self._lifespan = Router(lifespan=lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request or socket to the part that it is for."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        part = self._part(scope["path"])
        if part is not None and (scope["type"] == "http" or part is self._sockets):
            await part(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "there is no socket here"})
        else:
            missing = RefusedError(404, "not_found", "this service has no such route")
            await error_response(scope["path"], missing)(scope, receive, send)

    def is_public(self, method: str, path: str) -> bool:
        """Tells whether a path needs no token: the board's files, which hold nothing of anybody."""
        return self._board is not None and self._part(path) is self._board

    def _part(self, path: str) -> ASGIApp | None:
        if is_socket(path):
            return self._sockets
        if self._board is None or path.partition("/")[2].partition("/")[0] in FIRST_WORDS:
            return self._rest
        return self._board


@asynccontextmanager
async def _nothing(app: Any) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def _running(
    app: Any, *, store: HubStore, sockets: SocketService | None, reads: Reads | None, limits: Limits
) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        stack.callback(store.logs.close_idle, 0.0)
        if reads is not None:
            stack.callback(reads.close)
        if sockets is not None:
            await stack.enter_async_context(sockets.running())
        tidying = asyncio.create_task(_tidy(store, limits))
        try:
            yield
        finally:
            tidying.cancel()
            with suppress(asyncio.CancelledError):
                await tidying


async def _tidy(store: HubStore, limits: Limits) -> None:
    """Closes logs that are not used and removes uploads that were given up, for as long as the service lives."""
    loop = asyncio.get_running_loop()
    next_sweep = loop.time()
    while True:
        await asyncio.to_thread(store.logs.close_idle, limits.idle_log_s)
        if loop.time() >= next_sweep:
            next_sweep = loop.time() + _SWEEP_EVERY_S
            await asyncio.to_thread(remove_stale, store.storage, limits.stale_upload_s)
        await asyncio.sleep(min(1.0, limits.idle_log_s))
