"""Distributions to draw a swept value from: `{sweep: {log_uniform: [1e-4, 1e-1]}}`.

A distribution is a long sequence of equally probable values, so that all that is known about sweeps holds for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from mlgym.config.lazy_sequence import LazySequence
from mlgym.config.nodes import PlainScalar

DISTRIBUTIONS: Final = ("uniform", "log_uniform", "integer", "log_integer")
RESOLUTION: Final = 2**20
"""How many values a distribution over fractional numbers is cut into; more than anybody draws."""


@dataclass(frozen=True)
class DistributionValues(LazySequence[PlainScalar]):
    """The values of a distribution, from the smallest to the largest, each as probable as any other.

    Args:
        name: `uniform` (equal shares for equal differences), `log_uniform` (for equal ratios), and the same over whole
            numbers: `integer`, `log_integer`.
        low: smallest value; > 0 where ratios count.
        high: largest value, >= `low`.
    """

    name: str
    low: int | float
    high: int | float

    def __len__(self) -> int:
        return int(self.high) - int(self.low) + 1 if self.name == "integer" else RESOLUTION

    def item(self, index: int) -> PlainScalar:
        """Gives a value by its place, from the smallest."""
        place = range(len(self))[index]
        if self.name == "integer":
            return int(self.low) + place
        share = (place + 0.5) / len(self)
        if self.name == "log_integer":
            return min(int(self.high), int(_between(self.low, self.high + 1, share, log=True)))
        value = _between(self.low, self.high, share, log=self.name == "log_uniform")
        # Longer numbers would become part of tables, and say nothing more.
        return min(max(float(f"{value:.6g}"), float(self.low)), float(self.high))

    def corners(self) -> list[PlainScalar]:
        """Gives the smallest and the largest value, by which all others are judged."""
        return [self[0], self[-1]]

    @staticmethod
    def complaint(name: str, numbers: object) -> str | None:
        """Gives why something is not the [low, high] of a distribution; None where it is.

        Args:
            name: of the distribution.
            numbers: plain data.
        """
        kinds: tuple[type, ...] = (int,) if name.endswith("integer") else (int, float)
        what = "whole numbers" if name.endswith("integer") else "numbers"
        if not (isinstance(numbers, list) and len(numbers) == 2 and all(type(number) in kinds for number in numbers)):
            return f"`{name}` takes two {what}, [smallest, largest]"
        low, high = numbers
        if low > high:
            return f"`{name}` takes the smaller number first"
        if name.startswith("log") and low <= 0:
            return f"`{name}` needs numbers greater than 0"
        if not math.isfinite(float(high) - float(low)) or (name == "integer" and high - low > 2**53):
            return f"`{name}` cannot span so much"
        return None


def _between(low: float, high: float, share: float, *, log: bool) -> float:
    if log:
        return math.exp(math.log(low) * (1 - share) + math.log(high) * share)
    return low * (1 - share) + high * share
