"""Which ports processes listen on beyond loopback, as the kernel tells it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"


def open_ports(pids: Iterable[int]) -> list[int]:
    """Gives the TCP ports on which processes take connections from other machines, in order.

    Args:
        pids: of processes of this user; those that have ended have none.
    """
    sockets = {inode for pid in pids for inode in _sockets(pid)}
    found: set[int] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_rest = fields = line.split()
            if state == _LISTEN and fields[9] in sockets:
                address, _, port = local.partition(":")
                if not _is_loopback(address):
                    found.add(int(port, 16))
    return sorted(found)


def descendants(pid: int) -> list[int]:
    """Gives a process and all that it and its children have started and that still hang on them."""
    found, rest = [], [pid]
    while rest:
        found.append(rest.pop())
        with suppress(OSError):
            for task in Path(f"/proc/{found[-1]}/task").iterdir():
                with suppress(OSError):
                    rest += map(int, (task / "children").read_text().split())
    return found


def _sockets(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


def _is_loopback(address: str) -> bool:
    # The kernel prints addresses as words in its own byte order.
    words = bytes.fromhex(address)
    data = b"".join(words[start : start + 4][::-1] for start in range(0, len(words), 4))
    ip = ipaddress.ip_address(data)
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback
