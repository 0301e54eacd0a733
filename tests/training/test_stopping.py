"""Early stopping rules."""

import math
from typing import Any

import pytest

from mlgym.training.stopping import Patience, StopOnNan, TargetReached, TimeLimit, improves


def _stops_at(rule: Any, values: list[float], metric: str = "val/f1") -> int | None:
    for epoch, value in enumerate(values, start=1):
        if rule.update(epoch, {metric: value}) is not None:
            return epoch
    return None


@pytest.mark.parametrize(
    ("value", "reference", "best", "margin", "expected"),
    [
        (1.0, None, "max", 0.0, True),
        (1.0, 1.0, "max", 0.0, False),
        (1.1, 1.0, "max", 0.0, True),
        (1.1, 1.0, "max", 0.2, False),
        (0.9, 1.0, "min", 0.0, True),
        (math.nan, None, "max", 0.0, False),
        (0.0, math.nan, "max", 0.0, True),
        (math.inf, 1.0, "min", 0.0, False),
        (-math.inf, 1.0, "min", 0.0, False),
        (math.inf, None, "max", 0.0, False),
        (0.0, math.inf, "max", 0.0, True),
    ],
)
def test_improves(value: float, reference: float | None, best: Any, margin: float, expected: bool) -> None:
    """Only finite values improve, any of them beats nothing, and the margin must be exceeded."""
    assert improves(value, reference, best, margin) is expected


def test_patience_counts_epochs_since_the_best() -> None:
    """It stops as soon as the best epoch lies `epochs` back."""
    assert _stops_at(Patience("val/f1", "max", epochs=3), [0.1, 0.5, 0.4, 0.5, 0.3, 0.9]) == 5
    assert _stops_at(Patience("val/f1", "max", epochs=3), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) is None


def test_patience_demands_an_improvement_large_enough() -> None:
    """Small steps that never exceed the margin together do not count as progress one by one."""
    values = [1.0, 1.005, 1.009, 1.0, 1.0]
    assert _stops_at(Patience("val/f1", "max", epochs=2, min_absolute_improvement=0.01), values) == 3
    assert _stops_at(Patience("val/f1", "max", epochs=2, min_relative_improvement=0.01), values) == 3
    assert _stops_at(Patience("val/f1", "max", epochs=2), values) == 5


def test_patience_gets_over_an_infinite_loss() -> None:
    """A loss that overflowed in the first epoch is improved on by any number, also one that overflowed downwards."""
    rule = Patience("val/f1", "min", epochs=2, min_relative_improvement=0.01)
    assert _stops_at(rule, [-math.inf, 3.0, 2.0, 1.0, 1.0, 1.0]) == 6
    control = Patience("val/f1", "min", epochs=2, min_relative_improvement=0.01)
    assert _stops_at(control, [math.inf, math.inf, math.inf]) == 2


def test_patience_with_nan_from_the_start_stops() -> None:
    """A metric that is never a finite number never improves."""
    reason = None
    rule = Patience("val/f1", "max", epochs=2)
    for epoch in (1, 2):
        reason = rule.update(epoch, {"val/f1": math.nan})
    assert reason == "`val/f1` did not improve for 2 epochs (never finite at epoch 0)"


def test_patience_goes_on_from_its_state() -> None:
    """A rule restored from a state decides like the one that was never interrupted."""
    rule = Patience("val/f1", "max", epochs=3)
    for epoch, value in enumerate([0.1, 0.5, 0.4], start=1):
        rule.update(epoch, {"val/f1": value})
    restored = Patience("val/f1", "max", epochs=3)
    restored.load_state_dict(rule.state_dict())
    assert restored.update(4, {"val/f1": 0.4}) is None
    assert restored.update(5, {"val/f1": 0.4}) is not None


def test_target_reached_in_both_directions() -> None:
    """It stops at or beyond the target."""
    assert _stops_at(TargetReached("val/f1", "max", target=0.5), [0.1, 0.4, 0.5]) == 3
    assert _stops_at(TargetReached("val/f1", "min", target=0.5), [0.9, 0.4]) == 2
    assert _stops_at(TargetReached("val/f1", "min", target=0.5), [-math.inf, math.nan, 0.6]) is None


def test_time_limit_counts_time_before_a_restart() -> None:
    """What was spent before counts too."""
    rule = TimeLimit(1000)
    assert rule.update(1, {}) is None
    rule.load_state_dict({"spent_s": 2000.0})
    assert "time limit of 1000 s" in (rule.update(2, {}) or "")


def test_stop_on_nan_watches_the_running_loss() -> None:
    """NaN and infinity end training; a missing score doesn't."""
    rule = StopOnNan()
    assert rule.update(1, {}) is None
    assert rule.update(1, {"train/running_loss": 1.0}) is None
    assert rule.update(2, {"train/running_loss": math.nan}) == "`train/running_loss` became nan"
    assert rule.update(2, {"train/running_loss": math.inf}) is not None
