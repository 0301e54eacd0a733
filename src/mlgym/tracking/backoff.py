"""How long to wait before something is tried again."""

from __future__ import annotations

import random
from typing import Final

_JITTER: Final = 0.5


class Backoff:
    """Pauses that double from one attempt to the next, each shortened by chance.

    Without chance, a hundred workers whose hub came back would all knock at the same moments.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        """Begins with the first pause.

        Args:
            first_s: the first pause, in s, > 0.
            longest_s: the longest one, in s.
        """
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Gives the next pause in s: between half of it and all of it."""
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self._longest_s)
        # Not the generator of the user's program, whose numbers are part of the results.
        return pause_s * (1 - _JITTER * _random.random())

    def reset(self) -> None:
        """Begins with the first pause again."""
        self._next_s = self._first_s


_random: Final = random.SystemRandom()
