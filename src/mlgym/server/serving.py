"""Running a service on an address: who is let in there, tokens, connections that cost nothing, a clean end.

On this machine's own address nobody is asked for a token; on every other one everybody is.
"""

from __future__ import annotations

import argparse
import errno
import ipaddress
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from mlgym.errors import MlgymError
from mlgym.names import TOKEN_VARIABLE
from mlgym.server.connections import bounded_protocol
from mlgym.server.door import LOOPBACK_NAMES, Door
from mlgym.server.limits import Limits
from mlgym.server.tokens import Tokens

LOOPBACK: Final = "127.0.0.1"
BOARD_PORT: Final = 8080
_MAX_PORT: Final = 65_535
_ANYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class ServiceError(MlgymError):
    """A service that cannot be started as it was asked for."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a service listens, and whom it expects there.

    Args:
        host: name or address to bind to.
        port: 0 for any that is free.
        origins: pages of other origins that may use it; None for the usual address of `ml_board`, on this machine only.
        allowed_hosts: further names under which it may be called, such as that of a proxy before it.
        require_token: asks for a token on this machine's own address, too: other users share it.
    """

    host: str = LOOPBACK
    port: int
    origins: Sequence[str] | None = None
    allowed_hosts: Sequence[str] = ()
    require_token: bool = False

    @property
    def is_near(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False

    def door(self, *, tokens: bool = True) -> Door:
        """Gives who is let in.

        Args:
            tokens: whether there is anything that a token protects.

        Raises:
            ServiceError: an origin is none.
            TokenError: `MLGYM_TOKEN` is unsafe.
        """
        asks = tokens and (self.require_token or not self.is_near)
        names = LOOPBACK_NAMES | {self.host.lower(), *(name.lower() for name in self.allowed_hosts)}
        if not self.is_near:
            names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        return Door(
            hosts=names,
            any_address=not self.is_near,
            origins=frozenset(self._checked_origins()),
            tokens=Tokens.of_environment() if asks else None,
        )

    def _checked_origins(self) -> Sequence[str]:
        if self.origins is None:
            usual = [f"http://{name}:{BOARD_PORT}" for name in ("127.0.0.1", "localhost")]
            return usual if self.is_near else []
        return [checked_origin(one) for one in self.origins]


def add_address_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that the older programs did not have; each of them may be left out."""
    parser.add_argument("--allowed_hosts", nargs="+", default=[], metavar="NAME", help="further names of this service")
    parser.add_argument(
        "--require_token", action="store_true", help=f"ask for {TOKEN_VARIABLE} on 127.0.0.1, too; elsewhere always"
    )


def checked_origin(url: str) -> str:
    """Gives the origin `scheme://host[:port]` of a URL.

    Raises:
        ServiceError: it has none.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname or "@" in parts.netloc:
        raise ServiceError(f"`{url}` is no origin: expected `http://HOST:PORT`; `*` is not possible, name the pages")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def listen(address: Address) -> socket.socket:
    """Gives a socket on an address.

    Raises:
        ServiceError: it cannot be had.
    """
    try:
        if not 0 <= address.port <= _MAX_PORT:
            raise OverflowError(f"a port is 0 to {_MAX_PORT}")  # the C library takes the last 16 bits of others
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(1024)
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        is_elsewhere = isinstance(error, socket.gaierror) or getattr(error, "errno", None) == errno.EADDRNOTAVAIL
        remedy = "name an address of this machine" if is_elsewhere else "choose another port, 0 takes a free one"
        raise ServiceError(f"nothing can listen on {address.host}:{address.port}: {reason}; {remedy}") from error
    return listening


def url_of(address: Address, listening: socket.socket) -> str:
    """Gives the URL under which people reach a service."""
    host = socket.gethostname() if address.host in _ANYWHERE else address.host
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def token_lines(tokens: Tokens | None) -> list[str]:
    """Gives the lines that tell of new tokens, once; those that somebody chose are not repeated."""
    if tokens is None or not tokens.is_new:
        return []
    return [
        f"write token {tokens.write}",
        f"read token  {tokens.read}",
        f"Shown once: to keep them, start with {TOKEN_VARIABLE} set to the write token.",
    ]


def say(*lines: str) -> None:
    """Tells whoever started a service something, on stderr."""
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()


def serve(app: ASGIApp, listening: socket.socket, limits: Limits | None = None) -> None:
    """Runs an app until SIGINT or SIGTERM.

    Args:
        app: from `create_app`.
        listening: where; closed at the end.
        limits: what connections may cost.
    """
    limits = limits or Limits()
    config = uvicorn.Config(
        app,
        http=bounded_protocol(limits),
        ws="websockets-sansio",
        ws_max_size=limits.message_bytes,
        ws_per_message_deflate=False,  # costs 300 kB a client
        ws_ping_interval=None,  # Engine.IO has its own
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(limits.wait_s),
        timeout_graceful_shutdown=5,
    )
    with listening:
        _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """A server that ends by itself on SIGINT and SIGTERM, instead of dying of the signal after it has shut down."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield


def address_of(given: Any, host: str) -> Address:
    """Gives the address that the options of a program say.

    Args:
        given: what argparse made of them.
        host: name or address to bind to.
    """
    return Address(
        host=host,
        port=given.port,
        origins=getattr(given, "cors_allowed_origins", None),
        allowed_hosts=given.allowed_hosts,
        require_token=given.require_token,
    )
