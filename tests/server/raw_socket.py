"""A client that says anything at all to a websocket service, also what no library would."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.server.service import Service

_NO_ANSWER = "the service has closed the connection"


class RawSocket:
    """One websocket, opened and not yet connected to Socket.IO.

    Args:
        service: where.
        headers: of the handshake.
        origin: of the page that it pretends to be.
    """

    def __init__(self, service: Service, headers: Mapping[str, str] | None = None, origin: str | None = None) -> None:
        self._numbers = itertools.count()
        self._held = ExitStack()
        self._socket = self._held.enter_context(
            connect(
                f"ws://127.0.0.1:{service.port}/socket.io/?EIO=4&transport=websocket",
                additional_headers=dict(headers or {}),
                origin=None if origin is None else Origin(origin),
                proxy=None,
                max_size=None,
                ping_interval=None,
                open_timeout=60,
            )
        )
        assert str(self._socket.recv(60)).startswith("0{")

    def connect(self, auth: object = None) -> bool:
        """Connects, and tells whether it was let in."""
        self.say("40" if auth is None else f"40{json.dumps(auth)}")
        return self._next(("40", "44")).startswith("40")

    def call(self, event: str, *arguments: object) -> Any:
        """Sends a message and gives the answer; where the connection was closed instead, an error that says so."""
        return self.call_raw(json.dumps([event, *arguments]))

    def call_raw(self, text: str) -> Any:
        """Sends the text of a message and gives the answer to it."""
        number = next(self._numbers)
        try:
            self.say(f"42{number}{text}")
            answer = self._next((f"43{number}[", "44"))
        except ConnectionClosed:
            return {"error": {"code": "closed", "message": _NO_ANSWER, "path": None}}
        return json.loads(answer[answer.index("[") :])[0] if answer.startswith("43") else {"error": answer}

    def is_silent(self, seconds: float = 0.05) -> bool:
        """Tells whether nothing comes but what keeps the connection alive."""
        with suppress(TimeoutError, ConnectionClosed):
            while True:
                if str(self._socket.recv(seconds)) != "2":
                    return False
        return True

    def receive_all(self) -> None:
        """Takes whatever comes until the service closes the connection."""
        while True:
            self._socket.recv(120)

    def say(self, packet: str | bytes) -> None:
        """Sends a packet of Engine.IO."""
        self._socket.send(packet)

    def close(self) -> None:
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _next(self, beginnings: tuple[str, ...]) -> str:
        while True:
            packet = str(self._socket.recv(120))
            if packet == "2":
                self.say("3")
            elif packet.startswith(beginnings):
                return packet
