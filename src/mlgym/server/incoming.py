"""Events as somebody sent them: held to be events, and whose they are."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

import msgspec

from mlgym.errors import EventLogError
from mlgym.events.codec import check_addressed, decode
from mlgym.events.log import CheckedBody
from mlgym.server.refusal import RefusedError
from mlgym.texts import printable

RUN_PATH: Final = "payload.grid_search_id"


class Incoming(NamedTuple):
    """An event that may be stored, and the run that it says it belongs to; None where it says nothing."""

    body: CheckedBody
    run_id: str | None


def incoming(body: bytes, place: str) -> Incoming:
    """Checks an event that came from elsewhere.

    Args:
        body: it, encoded.
        place: which one it is of those that came with it, such as `line 3`, for the error.

    Raises:
        RefusedError: it is no event, or names its run by something that is no text.
    """
    try:
        if b"\n" in body:  # between its parts, as people write JSON
            body = encoded(json.loads(body))
        origin, run_id = check_addressed(body)
    except (EventLogError, ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise invalid_event(str(error), place) from error
    return Incoming((body, origin), run_id)


def invalid_event(reason: str, place: str) -> RefusedError:
    """Gives the refusal of what is no event."""
    message = printable(f"{place}: {reason}")
    return RefusedError(422, "invalid_event", message, path=place)


def encoded(value: object) -> bytes:
    """Gives plain data as an event is encoded: `NaN` and the like become what today's events have in their place.

    Raises:
        ValueError: a number in it is too large, or it is nested too deeply.
    """
    try:
        text = json.dumps(value).encode()
        return msgspec.json.encode(decode(text)) if isinstance(value, dict) else text
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error
