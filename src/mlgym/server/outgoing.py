"""Events on their way to clients: lines of a log as the text of Socket.IO messages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec
from engineio.packet import MESSAGE, Packet

from mlgym.events.codec import SEAL_BYTES, decode
from mlgym.server.live import Delivery

OLD_EVENT_TYPES: Final = frozenset({"experiment_config", "job_status", "experiment_status", "evaluation_result"})
"""What the board of MLgym 0.0.75 knows; it breaks on others."""
_MAX_KEPT: Final = 32
_SEAL_AT: Final = b',"crc":"'
_BATCH_HEAD: Final = b'2["mlgym_event",{"event_id":"batched_events","data":['


class _Typed(msgspec.Struct):
    event_type: str = ""


_typed: Final = msgspec.json.Decoder(_Typed)


class Messages:
    """Makes messages, and keeps the latest: clients that are equally far get the same ones."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int, int, int, bool, bool], list[Packet]] = OrderedDict()

    def of(self, delivery: Delivery, *, together: bool, old_types_only: bool) -> list[Packet]:
        """Gives lines of a log as messages `mlgym_event`.

        Args:
            delivery: the lines.
            together: put all into one message; else each event has its own.
            old_types_only: leave out what clients of MLgym 0.0.75 do not know.
        """
        run_id, start, lines, _, num_rewinds = delivery
        key = (run_id, num_rewinds, start, len(lines), together, old_types_only)
        if key not in self._kept:
            self._kept[key] = _messages(start, lines, together=together, old_types_only=old_types_only)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]


def _messages(start: int, lines: Sequence[bytes], *, together: bool, old_types_only: bool) -> list[Packet]:
    events = [_event(number, line) for number, line in enumerate(lines, start) if not old_types_only or _is_old(line)]
    if not events:
        return []
    if together:
        return [_packet(b"%b%b]}]" % (_BATCH_HEAD, b",".join(events)))]
    return [_packet(b'2["mlgym_event",%b]' % event) for event in events]


def _event(number: int, line: bytes) -> bytes:
    return b'{"event_id":%d,"data":%b}' % (number, _plain(line))


def _plain(line: bytes) -> bytes:
    """Gives the event of a line, without its checksum."""
    if line[-SEAL_BYTES:].startswith(_SEAL_AT):
        return line[:-SEAL_BYTES] + b"}"
    return msgspec.json.encode(decode(line))  # an old one, which may have `NaN`


def _is_old(line: bytes) -> bool:
    try:
        return _typed.decode(line).event_type in OLD_EVENT_TYPES
    except (msgspec.MsgspecError, RecursionError):
        return str(decode(line).get("event_type")) in OLD_EVENT_TYPES


def _packet(text: bytes) -> Packet:
    return Packet(MESSAGE, text.decode(errors="replace"))
