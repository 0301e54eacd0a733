"""Socket.IO packets whose events stay encoded: in, they are cut out of the message as they stand; out, put in again.

Whatever a client sends becomes a packet that a handler can answer: a malformed one becomes the event `MALFORMED`.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec
from socketio import packet

from mlgym.server.incoming import encoded

MALFORMED: Final = "malformed message"
"""The event that a message that cannot be read is taken for; its one argument says why, in bytes."""
_HEAD: Final = re.compile(r"([0-4])(?:(/[^,]{0,200})(?:,|$))?([0-9]{1,18})?", re.ASCII)
_arguments: Final = msgspec.json.Decoder(list[msgspec.Raw])
_text: Final = msgspec.json.Decoder(str)
_OF_THE_SERVER: Final = ("connect", "disconnect")


class Unanswered(bytes):
    """An argument of a message that asks for no answer."""


class EventPacket(packet.Packet):  # type: ignore[misc]  # python-socketio has no types
    """A packet whose event arguments are JSON in bytes.

    The arguments of an event that a client sends come as `bytes`. What is sent may have `msgspec.Raw` in it, which is
    JSON already. Binary events are not spoken: JSON is all that events may hold.
    """

    uses_binary_events = False

    def __init__(
        self,
        packet_type: int = packet.EVENT,
        data: Any = None,
        namespace: str | None = None,
        id: int | None = None,
        binary: bool | None = None,
        encoded_packet: object = None,
    ) -> None:
        super().__init__(packet_type, data, namespace, id, binary)
        if encoded_packet is not None:
            self.decode(encoded_packet)

    def encode(self) -> str:
        """Gives the packet as text."""
        namespace = "" if self.namespace in (None, "/") else f"{self.namespace},"
        data = "" if self.data is None else msgspec.json.encode(self.data).decode()
        return f"{self.packet_type}{namespace}{'' if self.id is None else self.id}{data}"

    def decode(self, encoded_packet: object) -> int:
        """Reads a packet; what is none becomes the event `MALFORMED`."""
        self.namespace: str | None = None
        self.id: int | None = None
        self.data: Any = None
        try:
            if not isinstance(encoded_packet, str):
                raise ValueError("binary messages are not spoken here")
            self._read(encoded_packet)
        except (ValueError, RecursionError) as error:
            self.packet_type, self.namespace = packet.EVENT, None
            self.data = [MALFORMED, str(error).encode(errors="replace")]
        return 0

    def _read(self, text: str) -> None:
        head = _HEAD.match(text)
        if head is None:
            raise ValueError("this is no packet of Socket.IO")
        self.packet_type = int(head[1])
        self.namespace = head[2] and head[2].partition("?")[0]
        self.id = None if head[3] is None else int(head[3])
        rest = text[head.end() :]
        if self.packet_type == packet.CONNECT_ERROR:
            raise ValueError("clients send no such packet")
        if self.packet_type == packet.EVENT:
            name, *arguments = _event(rest)
            self.data = [name, *(arguments if self.id is not None else map(Unanswered, arguments))]
        elif self.packet_type == packet.CONNECT and rest:
            self.data = json.loads(rest)
        elif self.packet_type == packet.ACK:
            self.data = []


def _event(text: str) -> list[Any]:
    """Gives the name of an event and its arguments, each one still JSON."""
    try:
        name, *arguments = _arguments.decode(text.encode())
        decoded = _text.decode(name)
        found = [bytes(argument) for argument in arguments]
    except ValueError:  # msgspec's are ValueErrors
        # Python's own JSON knows `NaN`, which older clients send.
        decoded, *values = _list(json.loads(text))
        found = [_plain(value) for value in values]
        if not isinstance(decoded, str):
            raise ValueError("the name of an event is text") from None
    if decoded in _OF_THE_SERVER:
        raise ValueError("an event needs a name of its own")
    return [decoded, *found]


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError("an event is a list of its name and its arguments")
    return value


def _plain(value: object) -> bytes:
    """Encodes an argument, each event in it as today's are."""
    if isinstance(value, list):
        return b"[" + b",".join(encoded(item) for item in value) + b"]"
    return encoded(value)
