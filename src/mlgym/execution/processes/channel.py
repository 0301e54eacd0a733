"""How driver and fork server talk: whole JSON messages, with file descriptors beside them, over a Unix socket pair."""

from __future__ import annotations

import array
import socket
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

_MAX_MESSAGE_BYTES: Final = 128 * 1024
_MAX_FDS: Final = 8


class Start(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """The first message to a fork server: what to import.

    Args:
        sys_path: the driver's module search path.
        preload: modules that must be there.
        preload_if_installed: modules that may be missing.
        imports: the user's modules.
        folder: where the user's modules are looked for first.
        main_script: the driver's script, where components are defined in it.
        example: the config of an experiment, for `worker.warm_up`.
    """

    sys_path: list[str]
    preload: list[str] = []
    preload_if_installed: list[str] = []
    imports: list[str] = []
    folder: str | None = None
    main_script: str | None = None
    example: dict[str, Any] | None = None


class Fork(msgspec.Struct, tag=True, frozen=True):
    """Start a process; beside it travel the descriptors of job, event pipe, stdout and stderr."""

    job_id: str


class Signal(msgspec.Struct, tag=True, frozen=True):
    """Send a signal to a worker; SIGKILL goes to everything that the worker started too."""

    job_id: str
    signum: int


class Importing(msgspec.Struct, tag=True, frozen=True):
    """The server is about to import a module: the last words of one that dies of it."""

    module: str


class Note(msgspec.Struct, tag=True, frozen=True):
    """Something for the log."""

    message: str


class Ready(msgspec.Struct, tag=True, frozen=True):
    """All imports are done."""


class ImportFailed(msgspec.Struct, tag=True, frozen=True):
    """An import failed; the server ends."""

    module: str
    error: str
    traceback: str


class Started(msgspec.Struct, tag=True, frozen=True):
    """A worker runs; `spawn_reason` says why it is a fresh interpreter, where it is one."""

    job_id: str
    pid: int
    spawn_reason: str | None = None


class NotStarted(msgspec.Struct, tag=True, frozen=True):
    """The operating system refused a new process."""

    job_id: str
    error: str


class Ended(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """A worker ended and so did everything it started."""

    job_id: str
    code: int | None
    signal: int | None
    cpu_s: float
    max_rss_bytes: int


Request: TypeAlias = Start | Fork | Signal
Report: TypeAlias = Importing | Note | Ready | ImportFailed | Started | NotStarted | Ended

_Sent = TypeVar("_Sent", bound=msgspec.Struct)
_Received = TypeVar("_Received", bound=msgspec.Struct)


class ChannelClosedError(Exception):
    """The other side is gone."""


class Channel(Generic[_Sent, _Received]):
    """One end of the pair. A sequential-packet socket keeps messages whole and in order, with their descriptors."""

    def __init__(self, end: socket.socket, received: object) -> None:
        """Takes over one end.

        Args:
            end: an `AF_UNIX`, `SOCK_SEQPACKET` socket.
            received: the (union) type of the messages that come in.
        """
        self._socket = end
        self._decoder: msgspec.json.Decoder[_Received] = msgspec.json.Decoder(received)

    def fileno(self) -> int:
        """Gives the descriptor to wait on."""
        return self._socket.fileno()

    def send(self, message: _Sent, fds: Sequence[int] = ()) -> None:
        """Sends one message, and copies of open descriptors with it; one system call, so safe in signal handlers.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        data = msgspec.json.encode(message)
        try:
            if fds:
                socket.send_fds(self._socket, [data], list(fds))
            else:
                self._socket.send(data)
        except (BrokenPipeError, ConnectionResetError, ConnectionRefusedError) as error:
            raise ChannelClosedError from error

    def receive(self) -> tuple[_Received, list[int]]:
        """Gives the next message and the descriptors that came with it, waiting for it.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        fds: array.array[int] = array.array("i")
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                _MAX_MESSAGE_BYTES, socket.CMSG_SPACE(_MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError as error:
            raise ChannelClosedError from error
        if not data:
            raise ChannelClosedError
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        return self._decoder.decode(data), list(fds)

    def close(self) -> None:
        """Closes this end; the other one sees it."""
        self._socket.close()


def clip(text: str, max_chars: int = 20_000) -> str:
    """Gives `text` small enough for a message: its end, where errors say what matters."""
    return text if len(text) <= max_chars else "... " + text[-max_chars:]
