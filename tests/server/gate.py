"""A way to a service that lets so many bytes through and no more until it is told to: sending stays half-way."""

from __future__ import annotations

import math
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 64 * 1024


class Gate:
    """A port of its own, behind which everything is passed on to a service.

    Args:
        port: of the service on this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._left = 0.0
        self._num_held = 0
        self._state = threading.Condition()
        self._listening = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    @property
    def is_held(self) -> bool:
        """Whether something waits before it."""
        return self._num_held > 0 and self._left <= 0

    def let_through(self, num_bytes: float = math.inf) -> None:
        """Lets so many further bytes through, in chunks: the last one may be longer."""
        with self._state:
            self._left = num_bytes
            self._state.notify_all()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.let_through()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                service = socket.create_connection(("127.0.0.1", self._port))
                for pair in ((client, service, True), (service, client, False)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                if is_counted:
                    self._wait_for_room(len(data))
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        if is_counted:
            source.close()
            target.close()

    def _wait_for_room(self, num_bytes: int) -> None:
        with self._state:
            while self._left <= 0:
                self._num_held += 1
                self._state.wait()
                self._num_held -= 1
            self._left -= num_bytes
