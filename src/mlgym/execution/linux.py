"""The few system calls that keep process trees together, and the facts about processes that Linux tells in `/proc`."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_F_SETPIPE_SZ: Final = 1031
_PIPE_BYTES: Final = 1024 * 1024

_libc: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int) -> None:
    """Has the kernel kill this process when the parent's thread that started it ends, however it ends.

    Args:
        parent_pid: the process that should be the parent; when it is gone already, this process exits at once.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def outlive_parent() -> None:
    """Takes `die_with_parent` back."""
    _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


def adopt_orphans() -> None:
    """Makes this process the parent of all its descendants that lose theirs, daemons included, instead of `init`."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def num_threads() -> int:
    """Gives the number of threads of this process, those of libraries included."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def children() -> set[int]:
    """Gives the ids of this process's children, ended but unread ones included; empty where the kernel does not say."""
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found.update(int(pid) for pid in (thread / "children").read_text().split())
    return found


def sockets() -> dict[int, str]:
    """Gives this process's sockets: what the kernel calls each, by its descriptor."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            name = str(entry.readlink())
            if name.startswith("socket:"):
                found[int(entry.name)] = name
    return found


def hang_up(connections: Mapping[int, str]) -> None:
    """Ends connections of this process, so that the other side sees it; descriptors stay with who has them.

    Args:
        connections: what the kernel calls each, by its descriptor; one that means something else by now is left alone.
    """
    for descriptor, name in connections.items():
        if sockets().get(descriptor) == name:
            # A socket that only listens has no other side.
            with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
                connection.getpeername()
                connection.shutdown(socket.SHUT_RDWR)


def names_of_threads() -> list[str]:
    """Gives what the kernel calls the threads of this process beside the main one: those of libraries have names."""
    found = []
    for entry in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            if int(entry.name) != os.getpid():
                found.append((entry / "comm").read_text().strip())
    return sorted(found)


def kill_group(group_id: int) -> None:
    """Kills every process of a group; does nothing where there is none left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group_id, signal.SIGKILL)


def event_pipe() -> tuple[int, int]:
    """Gives a pipe (read end, write end), not inherited, the read end non-blocking, as large as allowed up to 1 MiB.

    What a worker wrote stays readable after its death; the size is what it can say before it has to wait.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read_end, False)
    with suppress(OSError):  # above the user's limit of pipe memory the default of 64 KiB has to do
        fcntl.fcntl(write_end, _F_SETPIPE_SZ, _PIPE_BYTES)
    return read_end, write_end


def memory_file(name: str, content: bytes) -> int:
    """Gives a descriptor of an anonymous file that holds `content`, to be read from its beginning."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def oom_kills() -> int:
    """Gives how many processes the kernel has killed for lack of memory since it started; 0 where it does not say."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
