"""Distributions: their values and bounds, and that each is as probable as it should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlgym.config.distributions import DistributionValues

from .conftest import Faults

RUN = "experiment: {use: anything, %s}\nvalidation: {mode: random_search, num_samples: 3}\n"


@pytest.mark.parametrize(
    ("values", "low", "high", "middle"),
    [
        (DistributionValues("uniform", 0, 1), 0.0, 1.0, 0.5),
        (DistributionValues("uniform", -2.5, 2.5), -2.5, 2.5, 0.0),
        (DistributionValues("log_uniform", 1e-4, 1e-1), 1e-4, 1e-1, 10**-2.5),
        (DistributionValues("integer", 3, 9), 3, 9, 6),
        (DistributionValues("log_integer", 1, 99), 1, 99, 10),
    ],
)
def test_values(values: DistributionValues, low: float, high: float, middle: float) -> None:
    """They rise from the smallest to the largest, the middle one has half of the probability, digits are few."""
    assert values[0] == pytest.approx(low, abs=1e-5)
    assert values[-1] == pytest.approx(high, rel=1e-4)
    assert values[len(values) // 2] == pytest.approx(middle, rel=1e-4, abs=1e-5)
    some: list[Any] = [values[place] for place in range(0, len(values), max(1, len(values) // 1000))]
    assert some == sorted(some)
    assert {type(value) for value in some} == {int if "integer" in values.name else float}
    assert max(len(str(value).strip("-0.").replace(".", "").partition("e")[0]) for value in some) <= 7
    assert values.corners() == [values[0], values[-1]]


def test_whole_numbers_are_equally_probable() -> None:
    """Each whole number has its share; on the log scale each has that of its interval."""
    drawn: list[Any] = [DistributionValues("log_integer", 1, 7)[i] for i in range(0, 2**20, 64)]
    counts = np.bincount(drawn)
    expected = np.log1p(1 / np.arange(1, 8)) / np.log(8) * 2**14
    assert counts[1:] == pytest.approx(expected, abs=1.5)


def test_bounds_of_parameters_are_checked(faults: Faults) -> None:
    """A distribution that reaches values that the component refuses is found before anything runs."""
    assert faults(RUN % "f: {sweep: {uniform: [0, 1]}}, x: {sweep: {integer: [1, 5]}}") == []
    assert faults(RUN % "x: {sweep: {uniform: [0, 1]}}")
    (fault,) = faults(
        "components: {m: {use: mlp, hidden: [1]}, o: {use: adam, model: $m, lr: {sweep: {uniform: [-1, 1]}}}}\n"
        + RUN % "thing: $o"
    )
    assert "components.o.lr.sweep" in fault
    assert "greater than 0" in fault
