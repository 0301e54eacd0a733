"""The text form of an event: one JSON object a line, sealed with a checksum.

A line of the log is `{"event_type":...,"creation_ts":...,"payload":...,"producer":...,"seq":...,"crc":"89abcdef"}`.
The checksum is always the last key and covers the bytes before `,"crc":`, so that it is verified without parsing. Lines
that MLgym 0.0.75 wrote have none and are recognised by their keys. Nothing here touches a file.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar
from zlib import crc32

import msgspec

from mlgym.errors import EventLogError
from mlgym.events.types import EvaluationResult, Event, LossScore, MetricScore, finite

MAX_LINE_BYTES: Final = 16 * 2**20
"""A longer line is no event: neither written nor read."""
MAX_NESTING: Final = 100
"""Levels of lists and objects in an event; far below what any JSON reader refuses."""
_SMALL_BYTES: Final = 2**20
_SEAL: Final = b',"crc":"%08x"}\n'
SEAL_BYTES: Final = len(_SEAL % 0)
_LEGACY_KEYS: Final = frozenset({"event_type", "creation_ts", "payload", "version"})
_STRING_OR_BRACKET: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{\]}]')
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")

_Score = TypeVar("_Score", MetricScore, LossScore)


Origin = tuple[str, int]
"""(producer, seq): who made an event, and which of its events it is. Equal origins mean the same event."""


class _Header(msgspec.Struct):
    """What the log needs to know of a line; the rest is only checked for being JSON."""

    event_type: str
    payload: msgspec.Raw
    producer: str | None = None
    seq: int | None = None
    crc: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Addressed(msgspec.Struct, gc=False):
    grid_search_id: str | None = None


class _AddressedHeader(msgspec.Struct):
    """The same of an event whose payload is an object, with the run that it names."""

    event_type: str
    payload: _Addressed
    producer: str | None = None
    seq: int | None = None
    crc: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _OriginKeys(msgspec.Struct, gc=False):
    producer: str | None = None
    seq: int | None = None


_AnyHeader = TypeVar("_AnyHeader", _Header, _AddressedHeader)
_header_decoder: Final = msgspec.json.Decoder(_Header)
_addressed_decoder: Final = msgspec.json.Decoder(_AddressedHeader)
_origin_decoder: Final = msgspec.json.Decoder(_OriginKeys)
_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def encode(event: Event) -> bytes:
    """Gives an event as one JSON object, without newline and checksum.

    A score that JSON cannot carry becomes null with its name in `non_finite`, any other such number null. A lone
    surrogate, which UTF-8 cannot carry, becomes U+FFFD. NumPy scalars and arrays become numbers and lists, paths text.

    Raises:
        EventLogError: the payload holds something that JSON cannot carry, or it is nested or sized beyond the limits.
    """
    try:
        body = _encoder.encode(event)
        # The encoder has made every non-finite number null.
        if event.event_type == EvaluationResult.event_type and b'"score":null' in body:
            body = _encoder.encode(msgspec.structs.replace(event, payload=_with_finite_scores(event.payload)))
    except UnicodeEncodeError:
        body = _encode_surrogates(event)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EventLogError(f"`{event.event_type}` cannot be written as JSON: {error}") from error
    _check_limits(body, event.event_type)
    return body


def encode_scores(event: Event) -> bytes:
    """Gives the same as `encode` at a third of its cost, for the numbers of a training loop.

    Args:
        event: an `EvaluationResult` in which `finite` has named every score that is no finite number.
    """
    try:
        body = _encoder.encode(event)
    except (UnicodeEncodeError, TypeError, ValueError):
        return encode(event)
    # Its shape is fixed, so that nothing in a small one can be beyond the limits.
    return body if len(body) < _SMALL_BYTES else encode(event)


def seal(body: bytes) -> bytes:
    """Gives the line of the log for an encoded event: the checksum as the last key, and the newline."""
    covered = body[:-1]
    return covered + _SEAL % crc32(covered)


def is_sealed(line: bytes) -> bool:
    """Tells whether a line ends in the checksum of its other bytes, exactly as `seal` writes it."""
    covered = line[:-SEAL_BYTES]
    return line[-SEAL_BYTES:] == _SEAL % crc32(covered) and covered[:1] == b"{"


def is_whole(line: bytes) -> bool:
    """Tells whether a line (with its newline) is an event as it was written: sealed, or of the old form.

    The old form has no checksum; it is held to be JSON and to have the old keys alone, so that a line whose `crc` key
    was damaged does not pass for an old one.
    """
    return is_sealed(line) or (line.endswith(b"\n") and _is_legacy(line))


def check_body(body: bytes) -> Origin | None:
    """Checks an event that somebody else encoded, and gives its origin where it has one.

    Raises:
        EventLogError: it is not one JSON object on one line with `event_type` and `payload`, or has a `crc` already.
    """
    return _checked(body, _header_decoder)[0]


def check_addressed(body: bytes) -> tuple[Origin | None, str | None]:
    """Checks as `check_body` an event whose payload is an object, and gives also the run that this names, if any.

    Raises:
        EventLogError: it is none, or names its run by something that is no text.
    """
    origin, header = _checked(body, _addressed_decoder)
    return origin, header.payload.grid_search_id


def _checked(body: bytes, decoder: msgspec.json.Decoder[_AnyHeader]) -> tuple[Origin | None, _AnyHeader]:
    try:
        header = decoder.decode(body)
        if not body.isascii():
            body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventLogError(f"not an event: {error}: {body[:80]!r}") from error
    if not (body.startswith(b"{") and body.endswith(b"}")) or b"\n" in body:
        raise EventLogError(f"an event must be one JSON object on one line: {body[:80]!r}")
    if header.crc is not msgspec.UNSET:
        raise EventLogError(f"`crc` is written by the log, but the event brings one: {body[:80]!r}")
    _check_limits(body, header.event_type)
    return make_origin(header.producer, header.seq), header


def make_origin(producer: str | None, seq: int | None) -> Origin | None:
    """Gives the origin of an event, or None for events that do not say both.

    Raises:
        EventLogError: `seq` is negative.
    """
    if producer is None or seq is None:
        return None
    if seq < 0:
        raise EventLogError(f"`seq` must be 0 or more, but is {seq}")
    return producer, seq


def read_origin(line: bytes) -> Origin | None:
    """Gives the origin of a whole line of the log, or None where it does not say one."""
    try:
        keys = _origin_decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if keys.producer is None or keys.seq is None or keys.seq < 0:
        return None
    return keys.producer, keys.seq


def decode(line: bytes) -> dict[str, Any]:
    """Gives a whole line of the log, or an encoded event, as plain data without its checksum.

    `NaN` and `Infinity`, as old logs have them, come back as `encode` would have written them. A line whose checksum is
    right but which is no JSON object (nobody's normal writer makes one) comes back as an event of type `unreadable`.
    """
    try:
        event = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            event = _tolerant(line)
        except (ValueError, RecursionError) as error:
            return {"event_type": "unreadable", "payload": {"error": str(error)}}
    event.pop("crc", None)
    return event


def _encode_surrogates(event: Event) -> bytes:
    try:
        if event.event_type == EvaluationResult.event_type:
            event = msgspec.structs.replace(event, payload=_with_finite_scores(event.payload))
        plain = _without_surrogates(msgspec.to_builtins(event, enc_hook=_plain))
        return json.dumps(plain, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise EventLogError(f"`{event.event_type}` cannot be written as JSON: {error}") from error


def _tolerant(line: bytes) -> dict[str, Any]:
    event = json.loads(line)
    if not isinstance(event, dict):
        raise ValueError("not a JSON object")
    if event.get("event_type") == EvaluationResult.event_type:
        event["payload"] = _with_finite_scores(event.get("payload"))
    plain: dict[str, Any] = _without_surrogates(event)
    return plain


def _is_legacy(line: bytes) -> bool:
    event: Any
    try:
        event = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            return False
    return (
        isinstance(event, dict)
        and event.keys() <= _LEGACY_KEYS
        and isinstance(event.get("event_type"), str)
        and "payload" in event
    )


def _check_limits(body: bytes, event_type: str) -> None:
    if len(body) + SEAL_BYTES > MAX_LINE_BYTES:
        raise EventLogError(
            f"`{event_type}` takes {len(body):,} bytes, but an event may have at most {MAX_LINE_BYTES:,}; "
            "write large data to a file of the run folder instead"
        )
    # So many levels take two bytes each as lists and more as objects. Brackets within texts count at first.
    if len(body) < 2 * MAX_NESTING:
        return
    num_brackets = body.count(b"[") + body.count(b"{")
    if num_brackets > MAX_NESTING and _nesting(body) > MAX_NESTING:
        raise EventLogError(f"`{event_type}` is nested more than {MAX_NESTING} levels deep")


def _nesting(body: bytes) -> int:
    """Gives how deep lists and objects lie in each other, or `MAX_NESTING` + 1 where it is more."""
    depth = deepest = 0
    for bracket in _STRING_OR_BRACKET.finditer(body):
        token = bracket[0]
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return min(deepest, MAX_NESTING + 1)


def _with_finite_scores(payload: Any) -> Any:
    """Gives the payload of an evaluation with every non-finite score as null and its name beside it."""
    if isinstance(payload, EvaluationResult):
        return msgspec.structs.replace(
            payload,
            metric_scores=[_with_finite_score(score) for score in payload.metric_scores],
            loss_scores=[_with_finite_score(score) for score in payload.loss_scores],
        )
    if isinstance(payload, dict):
        scores = {key: payload[key] for key in ("metric_scores", "loss_scores") if isinstance(payload.get(key), list)}
        return payload | {key: [_with_finite_item(item) for item in items] for key, items in scores.items()}
    return payload


def _is_finite(score: object) -> bool:
    return not isinstance(score, float) or math.isfinite(score)


def _with_finite_score(score: _Score) -> _Score:
    if score.score is None or math.isfinite(score.score):
        return score
    value, name = finite(score.score)
    return msgspec.structs.replace(score, score=value, non_finite=name)


def _with_finite_item(item: Any) -> Any:
    if not isinstance(item, dict) or _is_finite(item.get("score")):
        return item
    value, name = finite(item["score"])
    return item | {"score": value, "non_finite": name}


def _without_surrogates(value: Any) -> Any:
    """Gives plain data with lone surrogates as U+FFFD and non-finite numbers as None."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value if _is_finite(value) else None


def _plain(value: object) -> Any:
    """Gives what JSON can carry for a value that it cannot: called by the encoder for unknown types."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # Arrays, tensors and their scalars of whatever library; none of them is imported here.
    tolist: Callable[[], Any] | None = getattr(value, "tolist", None)
    if callable(tolist):
        return tolist()
    raise TypeError(f"`{type(value).__module__}.{type(value).__qualname__}` is no JSON value")


_encoder: Final = msgspec.json.Encoder(enc_hook=_plain)
