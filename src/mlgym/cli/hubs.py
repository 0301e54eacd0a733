"""What the command line says about hubs that it was told to send events to."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

_TIMEOUT_S = 1.0


def warn_of_hubs(urls: Sequence[str]) -> None:
    """Warns of each hub that cannot be reached or will not get events; the run folder has everything in any case."""
    for url in urls:
        print(f"warning: {_complaint(url)}; the run folder has everything", file=sys.stderr)


def _complaint(url: str) -> str:
    try:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    except ValueError as error:
        return f"`{url}` is no address of a hub ({error})"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"`{url}` is no address of a hub (expected http://HOST:PORT)"
    try:
        socket.create_connection(address, _TIMEOUT_S).close()
    except OSError as error:
        return f"the hub {url} cannot be reached ({error.strerror or error})"
    return f"this version does not stream to hubs yet, {url} gets nothing"
