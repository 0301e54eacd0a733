"""Lines of a log in the form in which they travel: sealed, whatever they were before.

Lines of MLgym 0.0.75 have no checksum and may have `NaN`; a hub stores what they say as a line of today. All others
travel and are stored as they stand, byte for byte.
"""

from __future__ import annotations

import msgspec

from mlgym.errors import EventLogError
from mlgym.events.codec import SEAL_BYTES, decode, is_sealed, seal

_CRC_KEY = b',"crc":"'
_CRC_AT = -SEAL_BYTES + len(_CRC_KEY)


def portable(line: bytes) -> bytes:
    """Gives a whole line of a log, sealed."""
    return line if is_sealed(line) else seal(msgspec.json.encode(decode(line)))


def line_crc(line: bytes) -> str:
    """Gives the checksum (8 hex digits) of a whole line of a log in the form that travels."""
    return portable(line)[_CRC_AT : _CRC_AT + 8].decode()


def body_of(line: bytes) -> bytes:
    """Gives the event of a line that came from elsewhere, as a log takes it.

    Args:
        line: with or without its checksum and newline.

    Raises:
        EventLogError: it has a checksum, and that is wrong.
    """
    stripped = line.strip()
    # Most have none; looking at their end spares computing one.
    if stripped[_CRC_AT + 1 - len(_CRC_KEY) : _CRC_AT + 1] != _CRC_KEY:
        return stripped
    if not is_sealed(stripped + b"\n"):
        raise EventLogError("its `crc` does not match: it was damaged on the way")
    return stripped[: 1 - SEAL_BYTES] + b"}"
