"""What stands before python-socketio: lets in what Engine.IO can read, at the pace at which it is stored."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlgym.server.refusal import RefusedError, error_response

_PACKET: Final = re.compile(r"[0-356]|4[0-6]", re.ASCII)
# Engine.IO waits for ever for a client that polls and posts another one.
_POSTED_PACKET: Final = re.compile(r"[13]|4[0-6]", re.ASCII)
_BETWEEN_PACKETS: Final = "\x1e"

Room = Callable[[Scope, str | None], Awaitable[None]]
"""Waits until more may be read of a connection, given its scope and the Engine.IO session in its address."""


class EngineDoor:
    """Middleware before a Socket.IO app.

    Engine.IO fails on packets that are none: with an exception that nobody takes, and a client that it keeps. Such a
    client is disconnected here instead, and such a request answered with 400.
    """

    def __init__(self, app: ASGIApp, room: Room, max_bytes: int) -> None:
        """Wraps an app.

        Args:
            app: what comes after.
            room: waits until more may be read.
            max_bytes: longest message.
        """
        self._app = app
        self._room = room
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request or websocket on."""
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        engine_sid = query.get("sid", [None])[0]
        if scope["type"] == "websocket":
            await self._app(scope, self._readable(scope, receive, engine_sid), send)
            return
        refusal, body = None, b""
        if "j" in query:  # answers of JSONP can be read by any page
            refusal = RefusedError(400, "bad_request", "JSONP is not spoken here")
        elif scope["method"] == "POST":
            refusal, body = await self._body(scope, receive)
        if refusal is not None:
            await error_response("/api/", refusal)(scope, receive, send)
            return
        await self._room(scope, engine_sid)
        try:
            await self._app(scope, _replayed(body, receive), send)
        except KeyError:  # Engine.IO's, for a session that has ended
            refusal = RefusedError(400, "no_session", "this session has ended; connect again")
            await error_response("/api/", refusal)(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> tuple[RefusedError | None, bytes]:
        """Takes the body of a request in, as far as it may be long."""
        if not Headers(scope=scope).get("content-length", "").isdecimal():
            return RefusedError(411, "length_required", "say how long the body is"), b""
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                return RefusedError(413, "too_large", f"a message has at most {self._max_bytes:,} bytes"), b""
            if not message.get("more_body", False):
                break
        try:
            packets = body.decode().split(_BETWEEN_PACKETS)
        except UnicodeDecodeError:
            packets = [""]
        if not all(_POSTED_PACKET.match(packet) for packet in packets):
            return RefusedError(400, "malformed", "this is no message of Engine.IO"), b""
        return None, bytes(body)

    def _readable(self, scope: Scope, receive: Receive, engine_sid: str | None) -> Receive:
        async def receive_readable() -> Message:
            await self._room(scope, engine_sid)
            message = await receive()
            if message["type"] == "websocket.receive":
                text = message.get("text")
                if text is not None and not _PACKET.match(text):
                    return {"type": "websocket.disconnect", "code": 1003}
            return message

        return receive_readable


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives a `receive` that begins with a body that was taken in already."""
    is_given = False

    async def receive_replayed() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_replayed
