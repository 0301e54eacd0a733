"""How commands print: tables that fit, JSON for scripts, numbers with sensible digits."""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_OF_A_PIPE: Final = 220
NOTHING: Final = "\N{EN DASH}"
"""What a cell shows where there is no value."""

_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(0x7F, 0xA0))}


def print_json(data: Any) -> None:
    """Prints data as JSON; NaN and infinities, which JSON cannot carry, become null."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(_finite(data)), indent=2).decode() + "\n")


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return data


def console(*, stderr: bool = False) -> Console:
    """Gives the terminal, or a wide page where the output goes into a pipe or a file."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_A_PIPE
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


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


def plain(text: str) -> str:
    """Gives `text` with its control characters made visible, so that a log cannot drive the terminal."""
    return text.translate(_CONTROL)


def value_text(value: Any) -> str:
    """Gives a swept value in one short cell."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, float):
        return f"{value:g}"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 40 else text[:37] + "..."
