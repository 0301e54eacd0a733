"""Connections that cost nothing: how many there may be, and how long they may say nothing."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from typing import Final

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from mlgym.server.limits import Limits

_SPARE_DESCRIPTORS: Final = 256
_WANTED_DESCRIPTORS: Final = 65_536


def bounded_protocol(limits: Limits) -> type[H11Protocol]:
    """Gives uvicorn's HTTP with limits that it lacks: on connections, and on the time that the head of a request takes.

    See https://github.com/encode/uvicorn/issues/1614; its `limit_concurrency` answers 503 but lets connections stay.
    """
    max_connections = min(limits.connections, max(16, _descriptors() - _SPARE_DESCRIPTORS))

    class BoundedProtocol(H11Protocol):
        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                transport.abort()
            else:
                self._watch_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_head()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._forget_head()

        def send_400_response(self, msg: str) -> None:
            """Answers what is no HTTP in the form of other errors."""
            body = msgspec.json.encode({"error": {"code": "bad_request", "message": msg, "path": None}})
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            head = h11.Response(status_code=400, headers=[*headers, (b"connection", b"close")], reason=b"Bad Request")
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def _watch_head(self) -> None:
            is_ours = self.transport.get_protocol() is self
            if not is_ours or self.conn.their_state is not h11.IDLE:
                self._forget_head()
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(limits.wait_s, self._give_up)

        def _forget_head(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _give_up(self) -> None:
            self._head_timer = None
            if self.conn.their_state is h11.IDLE:
                self.transport.close()

    return BoundedProtocol


def _descriptors() -> int:
    """Gives how many files and sockets may be open, after asking for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
