"""Going through a log from its start: how much of it stands, how many events that is, and which ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, Final

from mlgym.events.codec import MAX_LINE_BYTES, Origin, is_whole, read_origin

TAIL_BYTES: Final = 64
"""Of the last line, checksum included: another log has others there."""


class SeenOrigins:
    """The set of stored origins, as ranges: it grows with the gaps between sequence numbers, not with the events."""

    def __init__(self) -> None:
        # The borders of half-open ranges, [start, end, start, end, ...]: a number is inside where an odd number of
        # borders lies at or below it.
        self._borders: dict[str, list[int]] = {}

    def __contains__(self, origin: Origin) -> bool:
        producer, seq = origin
        borders = self._borders.get(producer)
        return borders is not None and seq < borders[-1] and bool(bisect_right(borders, seq) % 2)

    def add(self, origin: Origin) -> None:
        """Adds one origin; adding it again changes nothing."""
        producer, seq = origin
        borders = self._borders.get(producer)
        if borders is None:
            self._borders[producer] = [seq, seq + 1]
        elif borders[-1] == seq:
            borders[-1] += 1
        else:
            _insert(borders, seq)

    def update(self, origins: Iterable[Origin]) -> None:
        """Adds many."""
        for origin in origins:
            self.add(origin)


def _insert(borders: list[int], seq: int) -> None:
    place = bisect_right(borders, seq)
    if place % 2:
        return
    joins_left = place > 0 and borders[place - 1] == seq
    joins_right = place < len(borders) and borders[place] == seq + 1
    if joins_left and joins_right:
        del borders[place - 1 : place + 1]
    elif joins_left:
        borders[place - 1] += 1
    elif joins_right:
        borders[place] = seq
    else:
        borders[place:place] = [seq, seq + 1]


@dataclass(slots=True)
class Scan:
    """What stands in a log.

    Args:
        num_events: whole lines from the start to the first one that is not.
        num_bytes: how many bytes these take.
        seen: their origins.
        tail: the last of these bytes, `TAIL_BYTES` at most, by which a log is known again.
    """

    num_events: int = 0
    num_bytes: int = 0
    seen: SeenOrigins = field(default_factory=SeenOrigins)
    tail: bytes = b""

    def add(self, lines: bytes, num_events: int, origins: Iterable[Origin]) -> None:
        """Adds lines that now stand after the others, with the origins of those that have one."""
        # In this order: an exception that falls in between, such as that of a signal handler, must leave no event
        # counted for which there are no bytes.
        self.num_bytes += len(lines)
        self.num_events += num_events
        self.tail = (self.tail + lines[-TAIL_BYTES:])[-TAIL_BYTES:]
        self.seen.update(origins)

    def add_line(self, line: bytes, origin: Origin) -> None:
        """Adds one line; else as `add`, at half the cost."""
        self.num_bytes += len(line)
        self.num_events += 1
        # A sealed line is longer than the tail.
        self.tail = line[-TAIL_BYTES:]
        self.seen.add(origin)

    def is_beginning_of(self, file: BinaryIO) -> bool:
        """Tells whether a log still begins with what was found here, going by its tail."""
        file.seek(self.num_bytes - len(self.tail))
        return file.read(len(self.tail)) == self.tail


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yields the lines from where `file` stands to the first that is damaged, unfinished or too long."""
    for line in iter(partial(file.readline, MAX_LINE_BYTES + 1), b""):
        if not is_whole(line):
            return
        yield line


def scan(file: BinaryIO, known: Scan | None = None) -> Scan:
    """Reads a log to the first line that is not whole.

    Args:
        file: the log.
        known: what was found in it earlier; it goes on from there, where the log still begins with it. It is used up.

    Raises:
        OSError: it cannot be read; nothing is known about the rest then.
    """
    found = known if known is not None and known.is_beginning_of(file) else Scan()
    file.seek(found.num_bytes)
    for line in whole_lines(file):
        found.num_events += 1
        found.num_bytes += len(line)
        found.tail = line[-TAIL_BYTES:]
        origin = read_origin(line)
        if origin is not None:
            found.seen.add(origin)
    return found
