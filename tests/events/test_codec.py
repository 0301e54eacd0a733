"""The text form of events: what goes in comes out, and what is damaged is told from what is whole."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgym.errors import EventLogError
from mlgym.events import EvaluationResult, Event, LossScore, MetricScore, Producer, decode, encode
from mlgym.events.codec import MAX_LINE_BYTES, MAX_NESTING, check_body, is_sealed, is_whole, read_origin, seal
from tests.events.samples import LEGACY_LINE, RUN_ID, log_event

any_text = st.text(st.characters(codec=None))  # lone surrogates, NUL and line separators included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def wire(value: Any) -> Any:
    """Gives what a JSON value becomes on its way through the log."""
    if isinstance(value, str):
        return "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [wire(item) for item in value]
    if isinstance(value, dict):
        return {wire(key): wire(item) for key, item in value.items()}
    return value


def event(payload: Any, event_type: str = "anything", **more: Any) -> Event:
    return Event(event_type=event_type, creation_ts=1, payload=payload, **more)


@given(json_values, any_text, st.integers(0, 2**63))
def test_round_trip(payload: Any, producer: str, seq: int) -> None:
    """Any JSON value comes back; non-finite numbers as null, lone surrogates as U+FFFD."""
    line = seal(encode(event(payload, producer=producer, seq=seq)))
    assert is_sealed(line)
    assert line.count(b"\n") == 1
    expected = {"event_type": "anything", "creation_ts": 1, "payload": wire(payload)}
    assert decode(line) == expected | {"producer": wire(producer), "seq": seq}
    assert read_origin(line) == (wire(producer), seq)


@given(st.lists(st.floats(), max_size=3))
def test_non_finite_scores_keep_their_name(scores: list[float]) -> None:
    """A NaN or infinite score is null with its name beside it, whether it comes as a payload or as plain data."""
    payload = EvaluationResult(
        grid_search_id=RUN_ID,
        experiment_id=0,
        epoch=0,
        step=0,
        metric_scores=[MetricScore("m", "val", score) for score in scores],
        loss_scores=[LossScore("l", "val", score) for score in scores],
    )
    plain = {"metric_scores": [{"metric": "m", "split": "val", "score": score} for score in scores]}
    for one in (payload, plain):
        written = decode(encode(event(one, "evaluation_result")))["payload"]["metric_scores"]
        for score, item in zip(scores, written, strict=True):
            if math.isfinite(score):
                assert (item["score"], item.get("non_finite")) == (score, None)
            else:
                assert item["score"] is None
                assert math.isnan(score) or float(item["non_finite"]) == score
                assert math.isnan(float(item["non_finite"])) == math.isnan(score)


def test_line_form() -> None:
    """A line is plain JSON whose last key is the checksum of all bytes before it."""
    line = seal(encode(event({"a": 1}, producer="p", seq=0)))
    covered = line[: line.index(b',"crc":')]
    assert json.loads(line)["crc"] == f"{crc32(covered):08x}"
    assert list(json.loads(line)) == ["event_type", "creation_ts", "payload", "producer", "seq", "crc"]


def test_a_text_that_looks_like_the_end_of_a_line_is_no_origin() -> None:
    """Keys of the payload and text within it are not taken for the producer of the event."""
    trap = ',"producer":"x","seq":1,"crc":"00000000"}\n'
    for payload in (trap, {"a": trap}, {"producer": "x", "seq": 1}, {trap: {"producer": "x", "seq": 1}}):
        assert read_origin(seal(encode(event(payload)))) is None
        assert read_origin(seal(encode(event(payload, producer="p", seq=2)))) == ("p", 2)


def test_origin_is_found_wherever_the_keys_are() -> None:
    """A foreign producer may order its keys otherwise."""
    assert read_origin(seal(b'{"seq":3,"producer":"p","event_type":"x","payload":1}')) == ("p", 3)
    assert read_origin(seal(b'{"seq":3,"event_type":"x","payload":1}')) is None
    assert read_origin(seal(b'{"seq":"3","producer":"p","event_type":"x","payload":1}')) is None


def test_numpy_and_paths_are_written() -> None:
    """What metrics and configs hand over by accident becomes plain JSON."""
    payload = {"a": np.float32(0.5), "b": np.arange(3), "c": Path("x/y"), "d": np.bool_(True)}
    assert decode(encode(event(payload)))["payload"] == {"a": 0.5, "b": [0, 1, 2], "c": "x/y", "d": True}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param(object(), "`builtins.object` is no JSON value", id="object"),
        pytest.param({(1, 2): 3}, "cannot be written as JSON", id="tuple as key"),
        pytest.param("x" * MAX_LINE_BYTES, "at most 16,777,216", id="too large"),
        pytest.param(json.loads("[" * 200 + "]" * 200), f"more than {MAX_NESTING} levels", id="nested"),
        pytest.param(json.loads("[" * 900 + '"\\ud800"' + "]" * 900), "more than|recursion", id="nested surrogate"),
    ],
)
def test_what_cannot_be_written_is_named(payload: Any, message: str) -> None:
    """An event that cannot become one line is refused with the reason."""
    with pytest.raises(EventLogError, match=message):
        encode(event(payload, producer="p", seq=0))


def test_brackets_within_texts_are_not_nesting() -> None:
    """A log line full of brackets is written, and so is a wide table."""
    encode(event('[["{' * 500))
    encode(event([[1.0] * 3] * 500))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"nonsense",
        b'{"event_type":"x"}',
        b'{"event_type":1,"payload":1}',
        b'{"event_type":"x","payload":NaN}',
        b'{"event_type":"x","payload":1}\n',
        b' {"event_type":"x","payload":1}',
        b'{"event_type":"x",\n"payload":1}',
        b'{"event_type":"x","payload":1}{"event_type":"x","payload":1}',
        b'{"event_type":"x","payload":1,"crc":"00000000"}',
        b'{"event_type":"x","payload":1,"crc":null}',
        b'{"event_type":"x","payload":1,"producer":"p","seq":-1}',
        b'{"event_type":"x","payload":1,"producer":"p","seq":"1"}',
        b'{"event_type":"x","payload":"\xff"}',
        b'{"event_type":"x","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"event_type":"x","payload":' + b"[" * 150 + b"]" * 150 + b"}",
    ],
)
def test_foreign_bodies_are_checked(body: bytes) -> None:
    """What others encoded is refused unless it is one JSON object on one line, without a checksum of its own."""
    with pytest.raises(EventLogError):
        check_body(body)


def test_unknown_keys_are_kept() -> None:
    """Newer producers may add keys."""
    body = b'{"event_type":"x","payload":1,"version":2,"mood":"fine"}'
    assert check_body(body) is None
    assert decode(seal(body)) == json.loads(body)


def test_old_lines_are_whole() -> None:
    """Lines of MLgym 0.0.75 have no checksum and may hold bare NaN and Infinity."""
    assert is_whole(LEGACY_LINE)
    payload = decode(LEGACY_LINE)["payload"]
    assert payload["metric_scores"] == [{"metric": "F1", "split": "val", "score": None, "non_finite": "nan"}]
    assert payload["loss_scores"][0] == {"loss": "CE", "split": "val", "score": None, "non_finite": "inf"}
    assert payload["loss_scores"][1] == {"loss": "CE", "split": "train", "score": 0.5}
    json.dumps(payload, allow_nan=False)


@pytest.mark.parametrize(
    "line",
    [
        LEGACY_LINE[:-1],
        b'{"event_type": "x", "payload": 1, "crb": "00000000"}\n',
        b'{"event_type": "x", "payload": 1, "producer": "p"}\n',
        b'{"event_type": "x", "payload": 1, "seq": 1}\n',
        b'{"event_type": "x"}\n',
        b'{"event_type": 1, "payload": 1}\n',
        b"[]\n",
        b"\n",
        b"",
        b',"crc":"00000000"}\n',
        b"\x00" * 30 + b"\n",
    ],
)
def test_lines_without_checksum_must_be_old_ones(line: bytes) -> None:
    """A line that lost its checksum, or is no event at all, does not pass for an old one."""
    assert not is_whole(line)


def test_whole_lines_always_decode() -> None:
    """A line with a right checksum that is no JSON object comes back as an event all the same."""
    for body in (b"{nonsense}", b'{"a":"\xff"}', b'{"a":' + b"[" * 100_000 + b"}"):
        assert is_whole(seal(body))
        assert decode(seal(body))["event_type"] == "unreadable"
    assert decode(b'{"event_type":"x","payload":1e999}\n')["payload"] is None
    assert decode(b'{"event_type":"x","payload":"\\ud800"}\n')["payload"] == "\ufffd"


def test_producer_numbers_its_events() -> None:
    """Events of one producer count up from 0 and carry its name and the time in microseconds."""
    producer = Producer()
    events = [decode(producer.encode(log_event(str(i)))) for i in range(3)]
    assert [one["seq"] for one in events] == [0, 1, 2]
    assert {one["producer"] for one in events} == {producer.name}
    assert all(1.7e15 < one["creation_ts"] < 1e16 for one in events)
    assert Producer().name != producer.name
