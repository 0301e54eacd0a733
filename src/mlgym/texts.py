"""Numbers, durations and foreign text as people are shown them, wherever that is: terminals, tables, pages.

What comes out of configs and logs may have been written by strangers: nothing here lets it drive a terminal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

NOTHING: Final = "\N{EN DASH}"
"""What a cell shows where there is no value."""

_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(0x7F, 0xA0))}
# Marks that turn the direction of text or begin a line: they make a line look like another one.
_CONTROL.update({code: f"\\u{code:04x}" for code in (0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))})
# Halves of characters, as undecodable file names have them: no stream takes them.
_SURROGATES: Final = {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}
_CONTROL.update(_SURROGATES)
_MAX_CELL: Final = 40


def number(value: float | None, digits: int = 4) -> str:
    """Gives a number with `digits` significant ones, a dash for none."""
    if value is None:
        return NOTHING
    return f"{value:.{digits}g}" if math.isfinite(value) else str(value)


def duration(seconds: float | None) -> str:
    """Gives a duration as people say it: `0.4 s`, `12 s`, `3m 05s`, `2h 07m`."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02d}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02d}m"


def rough_duration(seconds: float) -> str:
    """Gives an estimated duration in whole seconds, at least one: an estimate has no tenths."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else duration(whole)


def plain(text: str) -> str:
    """Gives `text` with its control characters made visible, so that a log cannot drive the terminal."""
    return text.translate(_CONTROL)


def printable(text: str) -> str:
    """Gives `text` without lone surrogates, which file names may hold and neither JSON nor UTF-8 does."""
    return text if text.isascii() else text.translate(_SURROGATES)


def one_line(text: str, max_length: int = 200) -> str:
    """Gives `text` on one line without control characters, cut after `max_length` characters."""
    # Cut before and after: what is 5 MB long must not be translated, and an escape is longer than what it stands for.
    line = plain(text[: max_length + 1]).replace("\n", "\\n").replace("\t", " ")
    return line if len(line) <= max_length else line[: max_length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def first_line(text: str | None, max_length: int = 200) -> str:
    """Gives the first line that has something on it, cut after `max_length` characters."""
    return one_line((text or "").strip().split("\n", 1)[0], max_length)


def value_text(value: Any) -> str:
    """Gives a swept value in one short cell."""
    if isinstance(value, float):
        return f"{value:g}"
    return one_line(value if isinstance(value, str) else msgspec.json.encode(jsonable(value)).decode(), _MAX_CELL)


def key_text(key: str) -> str:
    """Gives a name out of a config or log, short enough for the head of a column."""
    return one_line(key, _MAX_CELL)


def short_heads(keys: Sequence[str]) -> list[str]:
    """Gives `lr` for `optimizer.lr`, but whole keys where two of them end alike."""
    last = Counter(_last_part(key) for key in keys)
    return [key_text(_last_part(key) if last[_last_part(key)] == 1 else key) for key in keys]


def _last_part(key: str) -> str:
    # `val/loss` and `train/loss`, but `optimizer.lr` and `model.layers[0].out`.
    return key.rpartition(".")[2] or key


def jsonable(data: Any) -> Any:
    """Gives data as JSON can carry it: NaN and infinities become null, lone surrogates text."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, str):
        return printable(data)
    if isinstance(data, dict):
        return {jsonable(str(key)): jsonable(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [jsonable(value) for value in data]
    return data
