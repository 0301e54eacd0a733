"""What workers print: from bytes to lines, bounded in length and in rate."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

MAX_LINE_CHARS: Final = 8192
_PIECE_S: Final = 2.0


class LineSplitter:
    """Cuts a stream of bytes into lines of text, keeping at most one bounded unfinished line in memory.

    What a terminal would overwrite is left out: of a line with carriage returns the part after the last one counts, so
    a progress bar becomes its final state. Bytes that are no UTF-8 become backslash escapes.
    """

    def __init__(self, max_chars: int = MAX_LINE_CHARS) -> None:
        """Makes an empty splitter.

        Args:
            max_chars: longer lines are cut, and say by how much; > 0.
        """
        self._max = max_chars
        self._pending = b""
        self._cut_bytes = 0

    def feed(self, data: bytes) -> list[str]:
        """Takes the next bytes and gives the lines that they complete, without their ends."""
        *whole, rest = data.split(b"\n")
        if not whole:
            self._hold(rest)
            return []
        self._hold(whole[0])
        lines = [self._finish()]
        lines += [self._text(part, 0) for part in whole[1:]]
        self._hold(rest)
        return lines

    def flush(self) -> list[str]:
        """Gives the unfinished line, where there is one."""
        return [self._finish()] if self._pending or self._cut_bytes else []

    def _hold(self, part: bytes) -> None:
        pending = self._pending + part
        if len(pending) > self._max:
            # A `\r` at the very end may belong to `\r\n`.
            start = pending.rfind(b"\r", 0, len(pending) - 1) + 1
            self._cut_bytes = 0 if start else self._cut_bytes
            pending = pending[start:]
            over = max(0, len(pending) - self._max)
            self._cut_bytes += over
            pending = pending[: len(pending) - over] if over else pending
        self._pending = pending

    def _finish(self) -> str:
        text = self._text(self._pending, self._cut_bytes)
        self._pending, self._cut_bytes = b"", 0
        return text

    def _text(self, line: bytes, cut_bytes: int) -> str:
        line = line.removesuffix(b"\r")
        line = line[line.rfind(b"\r") + 1 :]
        cut_bytes += max(0, len(line) - self._max)
        text = line[: self._max].decode("utf-8", "backslashreplace")
        return f"{text} ... ({cut_bytes:,} more bytes)" if cut_bytes else text


class FloodLimit:
    """Lets a burst through and then so many lines a second, in pieces of some seconds; counts what it holds back."""

    def __init__(
        self, *, burst: int = 2000, lines_per_s: float = 50.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Makes a full bucket.

        Args:
            burst: lines that pass at once, > 0.
            lines_per_s: lines that pass a second in the long run, > 0.
            clock: gives the time in s.
        """
        self._burst = burst
        self._rate = lines_per_s
        self._clock = clock
        self._reopen_at = min(float(burst), _PIECE_S * lines_per_s)
        self._tokens = float(burst)
        self._is_open = True
        self._refilled_at = clock()
        self.num_dropped = 0

    def admit(self, wanted: int) -> int:
        """Gives how many of `wanted` lines may pass; the others are counted as dropped."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) * self._rate)
        self._refilled_at = now
        # Once empty it stays shut for a while: single lines between counts of missing ones would tell nothing.
        self._is_open = self._is_open or self._tokens >= self._reopen_at
        admitted = min(wanted, int(self._tokens)) if self._is_open else 0
        self._tokens -= admitted
        self._is_open = self._is_open and admitted == wanted
        self.num_dropped += wanted - admitted
        return admitted

    def take_notice(self) -> str | None:
        """Gives a line that says how many were dropped since the last one, or None where none were."""
        if not self.num_dropped:
            return None
        text = f"{self.num_dropped:,} lines of output were left out here: more than {self._rate:g} a second"
        self.num_dropped = 0
        return text
