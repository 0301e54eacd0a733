"""Numbers and words of reports."""

from __future__ import annotations

import pytest

from mlgym.texts import NOTHING
from mlgym.validation.report.facts import IntervalFacts
from mlgym.validation.report.wording import interval_text, with_spread

EQUAL = 0.9883720930232558
"""The mean of ten of these is not quite it, so that their spread is not quite zero."""


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (0.97123, 0.0123, "0.971 ± 0.012"),
        (EQUAL, 0.0, "0.9884 ± 0"),
        (EQUAL, 1.2e-16, "0.9884 ± 0"),
        (0.0, 0.0, "0 ± 0"),
        (0.0, 3e-17, "0 ± 3e-17"),
        (EQUAL, 1.5e-10, "0.98837209 ± 1.5e-10"),
        (EQUAL, 0.00012, "0.98837 ± 0.00012"),
        (1234.5, 321.0, "1234 ± 321"),
        (float("nan"), 0.1, "nan ± 0.1"),
        (0.5, None, "0.5"),
        (None, 0.1, NOTHING),
    ],
)
def test_as_many_places_as_the_spread_takes(mean: float | None, sd: float | None, text: str) -> None:
    """No zeros that say nothing where there is no spread, and no spread from adding up equal scores."""
    assert with_spread(mean, sd) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.9412, 0.9834, "[0.941, 0.983]"),
        (EQUAL, EQUAL, "[0.9884, 0.9884]"),
        (EQUAL, EQUAL + 2e-16, "[0.9884, 0.9884]"),
        (0.0, 0.0, "[0, 0]"),
    ],
)
def test_an_interval_without_width_has_no_needless_places(low: float, high: float, text: str) -> None:
    """As many places as half the width takes, and four digits where there is none."""
    assert interval_text(IntervalFacts(low=low, high=high, confidence=0.95, test_to_train=0.25)) == text
