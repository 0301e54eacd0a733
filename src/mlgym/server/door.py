"""Who is let in: host names, pages, tokens, and what needs no token."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mlgym.server.tokens import Tokens

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, kw_only=True)
class Door:
    """Who is let in.

    Args:
        hosts: names under which the service may be called.
        any_address: whether it may also be called by any IP address, as a service of a network is; a page that makes
            its own name point here (DNS rebinding) has a name, never an address.
        origins: pages of other origins that may call it, such as `http://127.0.0.1:8080`.
        tokens: one of which is asked for; None for none.
        is_public: tells of a method and path whether it needs no token: files of the board, the same for everybody.
    """

    hosts: Collection[str] = LOOPBACK_NAMES
    any_address: bool = False
    origins: Collection[str] = ()
    tokens: Tokens | None = None
    is_public: Callable[[str, str], bool] = lambda method, path: False

    def knows_host(self, host: str) -> bool:
        """Tells whether a `Host` header names this service."""
        name = _host_name(host)
        return name is not None and (name in self.hosts or (self.any_address and _is_address(name)))

    def admits_page(self, origin: str, host: str) -> bool:
        """Tells whether a page may ask, by its `Origin` header and the `Host` of the request."""
        return origin in self.origins or origin in (f"http://{host}", f"https://{host}")


def _host_name(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is none
    except ValueError:
        return None
    return None if "@" in host or parts.path or parts.query or parts.fragment else parts.hostname


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
