"""What every request passes before a route sees it: who may ask, from which page, how much, how slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlgym.server.refusal import RefusedError, error_response

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may cost.

    Args:
        body_bytes: largest body that is held in memory, in bytes.
        upload_bytes: largest file, in bytes.
        events_bytes: largest body of events, in bytes.
        wait_s: how long the next piece of a body may take, in s.
        stale_upload_s: how long an upload that nobody goes on with is kept, in s.
        idle_log_s: how long the log of a run that gets no events stays open, in s.
    """

    body_bytes: int = 16 * 2**20
    upload_bytes: int = 64 * 2**30
    events_bytes: int = 4 * 2**30
    wait_s: float = 30.0
    stale_upload_s: float = 7 * 86_400.0
    idle_log_s: float = 10.0


class Guard:
    """Middleware that refuses foreign hosts and pages, encoded, oversized and slow bodies.

    Host names are checked because a page may make its own name point to 127.0.0.1 (DNS rebinding); `Origin` because a
    browser sends requests of foreign pages with whatever access the user's machine has.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit_of: Callable[[str, str], int],
        wait_s: float,
        hosts: Collection[str] = LOOPBACK_NAMES,
        origins: Collection[str] = (),
    ) -> None:
        """Wraps an app.

        Args:
            app: what comes after.
            limit_of: gives the largest body, in bytes, of a method and path.
            wait_s: how long the next piece of a body may take, in s.
            hosts: names under which the service may be called.
            origins: pages of other origins that may call it, such as `http://127.0.0.1:8080`.
        """
        self._app = app
        self._limit_of = limit_of
        self._wait_s = wait_s
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._limit_of(scope["method"], scope["path"])

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_SAFE_HEADERS)
            await send(message)

        refusal = self._refusal(headers, limit)
        if refusal is not None:
            await error_response(scope["path"], refusal)(scope, receive, send_safely)
            return
        await self._app(scope, _bounded(receive, limit, self._wait_s), send_safely)

    def _refusal(self, headers: Headers, limit: int) -> RefusedError | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _host_name(hosts[0]) not in self._hosts:
            return RefusedError(403, "foreign_host", "this service is not known under the host name of the request")
        if not all(self._may_ask(origin, hosts[0]) for origin in headers.getlist("origin")):
            return RefusedError(403, "foreign_origin", "pages of this origin may not use this service")
        if headers.get("content-encoding", "identity").lower() != "identity":
            return RefusedError(415, "unsupported_encoding", "send the body as it is, without Content-Encoding")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > limit:
            return _too_large(limit)
        return None

    def _may_ask(self, origin: str, host: str) -> bool:
        return origin in self._origins or origin in (f"http://{host}", f"https://{host}")


def _host_name(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is none
    except ValueError:
        return None
    return None if "@" in host or parts.path or parts.query else parts.hostname


def _bounded(receive: Receive, limit: int, wait_s: float) -> Receive:
    """Gives a `receive` that raises where a body is too long or too slow."""
    num_bytes, is_whole = 0, False

    async def receive_some() -> Message:
        nonlocal num_bytes, is_whole
        if is_whole:  # what comes now is the end of the connection, for which a long answer waits
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), wait_s)
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
