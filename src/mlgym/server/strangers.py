"""Connections of clients that never say who they are: bounded in number and time, as they cost memory and no token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.types import Message, Receive, Scope

from mlgym.server.refusal import RefusedError

_LOOKS: Final = 4


class Strangers:
    """The Engine.IO sessions of a service in which nobody has connected to Socket.IO.

    Args:
        sio: the server of python-socketio.
        is_known: tells of a session whether somebody has connected in it.
        max_sessions: how many sessions, of strangers and of others, there may be.
        patience_s: how long a session may be without anybody connected, in s.
    """

    def __init__(self, sio: Any, is_known: Callable[[str], bool], *, max_sessions: int, patience_s: float) -> None:
        self._sio = sio
        self._is_known = is_known
        self._max_sessions = max_sessions
        self._patience_s = patience_s
        self._since: dict[str, float] = {}

    def check_room(self, scope: Scope) -> None:
        """Lets a request pass that goes on with a session, or begins one that there is room for.

        Raises:
            RefusedError: there are too many sessions.
        """
        is_new = not parse_qs(scope["query_string"].decode("latin-1")).get("sid")
        if is_new and len(self._sio.eio.sockets) >= self._max_sessions:
            headers = {"Retry-After": "5"}
            raise RefusedError(503, "too_many_clients", "too many clients are connected; try again", headers=headers)

    def bounded(self, scope: Scope, receive: Receive, is_known: Callable[[], bool]) -> Receive:
        """Gives a `receive` of a websocket that ends where nobody connects in time.

        Args:
            scope: of ASGI; for others than websockets nothing changes.
            receive: as it was.
            is_known: whether somebody has connected.
        """
        deadline = asyncio.get_running_loop().time() + self._patience_s

        async def receive_in_time() -> Message:
            if is_known():
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    return await receive()
            except TimeoutError:
                return {"type": "websocket.disconnect", "code": 1008}

        return receive_in_time if scope["type"] == "websocket" else receive

    async def dismiss(self) -> None:
        """Closes the sessions of those who poll when their time is over, for as long as the service lives."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._patience_s / _LOOKS)
            sessions = self._sio.eio.sockets
            polling = [sid for sid, session in sessions.items() if not session.upgraded and not self._is_known(sid)]
            self._since = {sid: self._since.get(sid, loop.time()) for sid in polling}
            for sid, since in self._since.items():
                if loop.time() - since > self._patience_s and sid in sessions:
                    await sessions[sid].close(wait=False)
                    sessions.pop(sid, None)
