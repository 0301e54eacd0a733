"""Numbers, durations and foreign texts as people are shown them."""

from __future__ import annotations

import math

import pytest

from mlgym.texts import (
    NOTHING,
    duration,
    first_line,
    key_text,
    number,
    one_line,
    plain,
    rough_duration,
    short_heads,
    value_text,
)
from tests.display.states import HOSTILE, UNSAFE


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_is_one_short_line_that_drives_nothing(text: str) -> None:
    """No control character, line break or mark of direction gets through, whatever the length."""
    for shown, limit in (
        (one_line(text), 200),
        (first_line(text, 300), 300),
        (key_text(text), 40),
        (value_text(text), 40),
    ):
        assert len(shown) <= limit
        assert not set(shown) & {*UNSAFE, "\n"}


def test_what_is_hidden_is_made_visible() -> None:
    """Whoever looks at a log sees that there was an escape, and where."""
    assert plain("a\x1b[31mb\u202ec\nd") == "a\\x1b[31mb\\u202ec\nd"
    assert one_line("a\nb\tc") == "a\\nb c"
    assert first_line("\n\n first\nsecond") == "first"
    assert one_line("x" * 300, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("seconds", "exact", "rough"),
    [
        (0.04, "0.0 s", "1 s"),
        (9.94, "9.9 s", "10 s"),
        (59.4, "59 s", "59 s"),
        (59.6, "60 s", "1m 00s"),
        (3599.6, "1h 00m", "1h 00m"),
        (7620, "2h 07m", "2h 07m"),
    ],
)
def test_durations(seconds: float, exact: str, rough: str) -> None:
    """As people say them; an estimate has no tenths and is never zero."""
    assert (duration(seconds), rough_duration(seconds)) == (exact, rough)
    assert duration(None) == NOTHING


def test_numbers_and_values() -> None:
    """Four digits that count; what is no number says what it is."""
    assert [number(one) for one in (0.123456, 12345.6, None, math.nan, -math.inf)] == [
        "0.1235", "1.235e+04", NOTHING, "nan", "-inf",
    ]  # fmt: skip
    assert [value_text(one) for one in (1e-4, "relu", [64, 32], None, True, {"use": "mlp"})] == [
        "0.0001", "relu", "[64,32]", "null", "true", '{"use":"mlp"}',
    ]  # fmt: skip
    assert value_text(["a\ud800"]) == '["a\\\\ud800"]'


def test_heads_are_short_where_that_says_enough() -> None:
    """The last part of a key, unless another key ends alike."""
    assert short_heads(["optimizer.lr", "model.width", "head.width"]) == ["lr", "model.width", "head.width"]
    assert short_heads(["model.layers[0].out", "odd."]) == ["out", "odd."]
