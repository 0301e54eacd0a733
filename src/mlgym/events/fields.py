"""Reading the fields of JSON data whose shape nobody vouches for."""

from __future__ import annotations

import math
from typing import Any, Final

_NON_FINITE: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def named(non_finite: str | None) -> float:
    """Gives the value that JSON has no number for."""
    return _NON_FINITE.get(non_finite or "", math.nan)


class Fields:
    """The fields of a JSON object, each given only where it has the type asked for."""

    __slots__ = ("_data",)

    def __init__(self, data: Any) -> None:
        self._data: dict[str, Any] = data if isinstance(data, dict) else {}

    def text(self, key: str) -> str | None:
        """Gives a text."""
        value = self._data.get(key)
        return value if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        """Gives a whole number that fits 64 bits."""
        value = self._data.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return value if type(value) is int and -(2**63) <= value < 2**63 else None

    def number(self, key: str) -> float | None:
        """Gives a number, also a non-finite one; true and false are none."""
        value = self._data.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if abs(value) < 1e300 or isinstance(value, float) else None

    def time(self, key: str) -> float | None:
        """Gives a time in s since the epoch; those not yet reached are written as -1."""
        value = self.number(key)
        return value if value is not None and value >= 0 else None

    def score(self) -> float:
        """Gives the score of a metric or a loss; a non-finite one is null with its name in `non_finite`."""
        value = self.number("score")
        return named(self.text("non_finite")) if value is None else value

    def mapping(self, key: str) -> dict[str, Any]:
        """Gives an object, empty where there is none."""
        value = self._data.get(key)
        return value if isinstance(value, dict) else {}

    def texts(self, key: str) -> list[str]:
        """Gives the texts of a list."""
        return [item for item in self.items(key) if isinstance(item, str)]

    def items(self, key: str) -> list[Any]:
        """Gives a list, empty where there is none."""
        value = self._data.get(key)
        return value if isinstance(value, list) else []

    def inner(self, key: str) -> Fields:
        """Gives the fields of an object."""
        return Fields(self._data.get(key))

    def says(self, key: str) -> bool:
        """Tells whether the field is `true`."""
        return self._data.get(key) is True

    def has(self, key: str) -> bool:
        """Tells whether there is anything in the field, of whatever type."""
        return bool(self._data.get(key))
