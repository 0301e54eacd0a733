"""Text streams in the place of `sys.stdout` and `sys.stderr` that tell whole lines to somebody."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Final, TextIO

from mlgym.execution.executor import Stream
from mlgym.execution.output.lines import LineSplitter

STREAMS: Final[tuple[Stream, ...]] = ("stdout", "stderr")


class Tap(io.TextIOBase):
    """A text stream that tells lines; what goes around it, through the descriptor or the buffer, is not seen.

    A forked child, such as a loader's worker, writes to the stream behind it instead.
    """

    def __init__(self, behind: TextIO, tell: Callable[[list[str]], None], *, passes_on: bool) -> None:
        """Makes a tap.

        Args:
            behind: the stream in whose place it stands.
            tell: takes lines, without their ends.
            passes_on: whether text goes on to that stream too.
        """
        self._behind = behind
        self._tell = tell
        self._passes_on = passes_on
        self._splitter = LineSplitter()
        self._owner = os.getpid()
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Takes text; tells the lines that it completes."""
        if os.getpid() != self._owner:
            return self._behind.write(text)
        if self._passes_on:
            self._behind.write(text)
        with self._lock:
            if lines := self._splitter.feed(text.encode("utf-8", "backslashreplace")):
                self._tell(lines)
        return len(text)

    def finish(self) -> None:
        """Tells the unfinished line, where there is one."""
        with self._lock:
            if lines := self._splitter.flush():
                self._tell(lines)

    def flush(self) -> None:
        """Flushes the stream behind; lines are told when they are complete."""
        self._behind.flush()

    def writable(self) -> bool:
        """Says yes."""
        return True

    def isatty(self) -> bool:
        """Whether the stream behind is a terminal."""
        return self._passes_on and self._behind.isatty()

    def fileno(self) -> int:
        """Gives the descriptor of the stream behind."""
        return self._behind.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # that of the stream behind, which may change
        """Encoding of the stream behind."""
        return self._behind.encoding

    def __getattr__(self, name: str) -> Any:
        # `buffer`, `name` and whatever else programs expect of the stream.
        return getattr(self._behind, name)


@contextmanager
def tapped_output(tell: Callable[[Stream, list[str]], None], *, passes_on: bool) -> Iterator[None]:
    """Puts taps in the place of `sys.stdout` and `sys.stderr` while its body runs.

    Args:
        tell: takes the stream's name and lines.
        passes_on: whether text goes on to the streams too.
    """

    def taker(stream: Stream) -> Callable[[list[str]], None]:
        return lambda lines: tell(stream, lines)

    taps = {stream: Tap(getattr(sys, stream), taker(stream), passes_on=passes_on) for stream in STREAMS}
    with redirect_stdout(taps["stdout"]), redirect_stderr(taps["stderr"]):
        try:
            yield
        finally:
            for tap in taps.values():
                tap.finish()
