"""What every request and socket passes before a route sees it: who may ask, from which page, how much, how slowly."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlgym.names import TOKEN_VARIABLE
from mlgym.server.door import Door
from mlgym.server.limits import Limits
from mlgym.server.refusal import RefusedError, error_response
from mlgym.server.tokens import admit

SOCKET_PATH: Final = "/socket.io"
_NO_CONTENT_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
_SAFE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_CLOSING_S: Final = 1.0
_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Queries whose questions are too long for a URL.
_READS_BY_POST: Final = re.compile(r"/api/v1/runs/[^/]+/metrics")
OLD_WORDS: Final = ("grid_searches", "checkpoint_list", "checkpoints", "model-card", "system-info")
"""What the paths of the older routes begin with; the id of a run follows."""
_OF_RUN: Final = re.compile(rf"/(?:api/v1/runs|{'|'.join(OLD_WORDS)})/([^/]+)(?:/.*)?", re.DOTALL)
_OPEN_TO_ALL_TOKENS: Final = ("/api/v1/health",)
_CORS_HEADERS: Final = {
    "Access-Control-Allow-Methods": ", ".join(_METHODS),
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, If-None-Match, Range, Upload-Offset",
    "Access-Control-Max-Age": "600",
}
_EXPOSED: Final = "Content-Disposition, Content-Range, ETag, Retry-After, Upload-Offset"


class Guard:
    """Middleware that refuses foreign hosts and pages, missing tokens, encoded, oversized and slow bodies.

    Host names are checked because a page may make its own name point to 127.0.0.1 (DNS rebinding); `Origin` because a
    browser sends requests of foreign pages with whatever access the user's machine has. What comes after finds in the
    scope what the connection may do (`tokens.socket_access`).

    Attributes:
        app: what comes after.
    """

    def __init__(self, app: ASGIApp, *, door: Door, limit_of: Callable[[str, str], int], limits: Limits) -> None:
        """Wraps an app.

        Args:
            app: what comes after.
            door: who is let in.
            limit_of: gives the largest body, in bytes, of a method and path.
            limits: how slow a client may be.
        """
        self.app = app
        self._door = door
        self._limit_of = limit_of
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request or socket on, or answers it."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        limit = self._limit_of(scope["method"], scope["path"])
        refusal = self._stranger(scope, headers)
        safe_send = _dressed(send, headers.get("origin") if refusal is None else None, self._limits.stall_s)
        if refusal is None and _is_preflight(scope, headers):
            await Response(status_code=204, headers=_CORS_HEADERS)(scope, receive, safe_send)
            return
        refusal = refusal or self._intruder(scope, headers) or _unreadable(headers, limit)
        if refusal is not None:
            await error_response(scope["path"], refusal)(scope, receive, safe_send)
            return
        try:
            await self.app(scope, _bounded(receive, limit, self._limits.wait_s), safe_send)
        except HTTPException as error:  # of the body, where what comes after has no handler for it
            refusal = RefusedError(error.status_code, "refused", str(error.detail))
            await error_response(scope["path"], refusal)(scope, receive, safe_send)
        except _StalledError:
            return  # the server closes the connection of an answer that did not end

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._stranger(scope, headers) or self._intruder(scope, headers)
        if refusal is None:
            await self.app(scope, receive, send)
            return
        await refuse(scope, receive, send, refusal)

    def _stranger(self, scope: Scope, headers: Headers) -> RefusedError | None:
        """Gives why a request may not come from where it comes from."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._door.knows_host(hosts[0]):
            message = (
                "this service is not known under the host name of the request; "
                "whoever runs it adds the name with `--allowed-host` (`ml_board` and its services: `--allowed_hosts`)"
            )
            return RefusedError(403, "foreign_host", message)
        origins = headers.getlist("origin")
        if not all(self._door.admits_page(origin, hosts[0]) for origin in origins):
            return RefusedError(403, "foreign_origin", "pages of this origin may not use this service")
        # Pictures and scripts of foreign pages come without an `Origin`; following a link is no harm.
        is_foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site") and not origins
        if is_foreign and (headers.get("sec-fetch-mode") != "navigate" or scope.get("method") not in ("GET", "HEAD")):
            return RefusedError(403, "foreign_origin", "pages of other origins may not use this service")
        return None

    def _intruder(self, scope: Scope, headers: Headers) -> RefusedError | None:
        """Gives why whoever asks may not have what is asked for, and notes in the scope what they may do."""
        authorization = headers.get("authorization")
        access = admit(scope, self._door.tokens, authorization)
        method, path = scope.get("method", "GET"), scope["path"]
        if self._door.is_public(method, path):
            return None
        if access is None:
            # A socket can still bring its token when it connects.
            if is_socket(path) and authorization is None:
                return None
            message = f"this service asks for a token: set {TOKEN_VARIABLE}, or send it as `Authorization: Bearer`"
            return RefusedError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
        if is_socket(path) or path in _OPEN_TO_ALL_TOKENS:
            return None
        writes = method not in _SAFE_METHODS and not (method == "POST" and _READS_BY_POST.fullmatch(path))
        of_run = _OF_RUN.fullmatch(path)
        if access.allows(of_run[1] if of_run else None, write=writes):
            return None
        if writes and not access.may_write:
            return RefusedError(403, "read_only", "this token allows to read only")
        return RefusedError(403, "foreign_run", f"this token is for the run `{access.run_id}` only")


async def refuse(scope: Scope, receive: Receive, send: Send, refusal: RefusedError) -> None:
    """Answers a request, or a websocket that wants to open, with a refusal."""
    response = error_response(scope["path"], refusal)
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)[:120]})
        return
    start = {"status": refusal.status, "headers": response.raw_headers}
    await send({"type": "websocket.http.response.start", **start})
    await send({"type": "websocket.http.response.body", "body": response.body})
    # uvicorn takes the handshake for unfinished, and says so, until the connection is closed: the second of these.
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSING_S):
            await receive()
            await receive()


class _StalledError(Exception):
    """A client took nothing of an answer for too long."""


def is_socket(path: str) -> bool:
    """Tells whether a path belongs to the websocket service."""
    return path == SOCKET_PATH or path.startswith(f"{SOCKET_PATH}/")


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in headers and "origin" in headers


def _unreadable(headers: Headers, limit: int) -> RefusedError | None:
    if headers.get("content-encoding", "identity").lower() != "identity":
        return RefusedError(415, "unsupported_encoding", "send the body as it is, without Content-Encoding")
    if "content-length" in headers and "transfer-encoding" in headers:
        # A proxy before this service may believe the one, and take the rest for another request.
        return RefusedError(400, "two_lengths", "a body has a Content-Length or a Transfer-Encoding, not both")
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > limit:
        return _too_large(limit)
    return None


def _dressed(send: Send, origin: str | None, stall_s: float) -> Send:
    """Gives a `send` that adds the headers every answer has, and does not wait for ever."""

    async def send_safely(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_SAFE_HEADERS)
            headers.setdefault("Content-Security-Policy", _NO_CONTENT_POLICY)
            if origin is not None:
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = _EXPOSED
            headers.add_vary_header("Origin")
        try:
            async with asyncio.timeout(stall_s):
                await send(message)
        except TimeoutError:
            raise _StalledError from None

    return send_safely


def _bounded(receive: Receive, limit: int, wait_s: float) -> Receive:
    """Gives a `receive` that raises where a body is too long or too slow."""
    num_bytes, is_whole = 0, False

    async def receive_some() -> Message:
        nonlocal num_bytes, is_whole
        if is_whole:  # what comes now is the end of the connection, for which a long answer waits
            return await receive()
        try:
            async with asyncio.timeout(wait_s):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"nothing of the body came for {wait_s:g} s") from None
        num_bytes += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if num_bytes > limit:
            raise HTTPException(413, str(_too_large(limit)))
        return message

    return receive_some


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, "too_large", f"the body has more than {limit:,} bytes")
