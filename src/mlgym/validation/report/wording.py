"""Words and numbers as reports print them, in sentences as in tables."""

from __future__ import annotations

import math
from typing import Final

from mlgym.names import Best
from mlgym.texts import key_text, number, value_text
from mlgym.validation.report.facts import ConfigurationFacts, IntervalFacts

SMALL_P: Final = 0.001
# A spread below this share of its mean is what adding up equal scores leaves, and none.
_ROUNDING: Final = 1e-12
_MAX_PLACES: Final = 8


def is_test_split(split: str) -> bool:
    """Says whether a split is, by its name, one that no selection may see."""
    return split == "test" or split.startswith("test_") or split.endswith("_test")


def with_spread(mean: float | None, sd: float | None) -> str:
    """Gives `0.971 ± 0.012`: as many places as two digits of the spread take; `0.9884 ± 0` where there is none."""
    if mean is None or sd is None:
        return number(mean)
    if not math.isfinite(mean) or not math.isfinite(sd):
        return f"{number(mean)} \N{PLUS-MINUS SIGN} {number(sd, 2)}"
    if sd <= _ROUNDING * abs(mean):
        return f"{number(mean)} \N{PLUS-MINUS SIGN} 0"
    if _places(sd) > _MAX_PLACES:
        return f"{mean:.{_MAX_PLACES}g} \N{PLUS-MINUS SIGN} {number(sd, 2)}"
    places = _places(sd)
    return f"{mean:.{places}f} \N{PLUS-MINUS SIGN} {sd:.{places}f}"


def interval_text(interval: IntervalFacts) -> str:
    """Gives `[0.94, 0.98]`: as many places as two digits of half its width take."""
    half = (interval.high - interval.low) / 2
    if not _ROUNDING * abs(interval.high) < half < math.inf or _places(half) > _MAX_PLACES:
        return f"[{number(interval.low)}, {number(interval.high)}]"
    places = _places(half)
    return f"[{interval.low:.{places}f}, {interval.high:.{places}f}]"


def _places(size: float) -> int:
    return max(0, 1 - math.floor(math.log10(size)))


def name_of(one: ConfigurationFacts) -> str:
    """Gives what a configuration is called in a sentence: its swept values."""
    values = ", ".join(f"{key_text(key)} {value_text(value)}" for key, value in one.swept.items())
    return f"configuration {one.configuration}" + (f" ({values})" if values else "")


def signed(value: float | None, digits: int = 3) -> str:
    """Gives a difference with its sign."""
    return number(value, digits) if value is None or value < 0 else f"+{number(value, digits)}"


def p_text(p: float) -> str:
    """Gives a p-value as papers print it."""
    return f"< {SMALL_P}" if p < SMALL_P else f"{p:.3f}"


def p_phrase(p: float) -> str:
    """Gives `p = 0.023` or `p < 0.001`."""
    return f"p {p_text(p)}" if p < SMALL_P else f"p = {p_text(p)}"


def share_text(share: float | None) -> str:
    """Gives a probability with two places, without calling what is nearly certain certain."""
    if share is None:
        return number(None)
    return "> 0.99" if 0.99 < share < 1 else "< 0.01" if 0 < share < 0.01 else f"{share:.2f}"


def direction_of(best: Best) -> str:
    """Gives the arrow that tables put beside a metric."""
    return "\N{UPWARDS ARROW}" if best == "max" else "\N{DOWNWARDS ARROW}"


def count(num: int, noun: str) -> str:
    """Gives `1 experiment` or `3 experiments`."""
    return f"{num} {noun}{'' if num == 1 else 's'}"
