"""How far the log of a run here and the one on a hub are the same, and what comes next here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from mlgym.events.scan import whole_lines
from mlgym.tracking.portable import line_crc


@dataclass(slots=True)
class LogCursor:
    """A place between two events of a log, up to which a hub has it.

    Args:
        position: bytes before it.
        num_events: events before it.
        last_crc: checksum of the one before it in the form that travels (8 hex digits); None at the start.
    """

    position: int = 0
    num_events: int = 0
    last_crc: str | None = None

    def advance(
        self, file: BinaryIO, num_there: int, last_crc: str | None, note: Callable[[bytes], None] = lambda line: None
    ) -> bool:
        """Goes to where the log of a hub ends, if that has the events of this one; else stays.

        Args:
            file: the log here.
            num_there: events that the hub has.
            last_crc: checksum of its last one.
            note: is shown each line that is passed.
        """
        file.seek(self.position)
        position, num_here, crc = self.position, self.num_events, self.last_crc
        lines = whole_lines(file)
        while num_here < num_there and (line := next(lines, None)) is not None:
            note(line)
            position, num_here = position + len(line), num_here + 1
            crc = line_crc(line) if num_here == num_there else None
        if (num_here, crc) != (num_there, last_crc):
            return False
        self.position, self.num_events, self.last_crc = position, num_here, crc
        return True

    def group(self, file: BinaryIO, *, max_bytes: int, max_events: int | None = None) -> list[bytes]:
        """Gives the whole lines that come next.

        Args:
            file: the log here.
            max_bytes: no more once there are so many.
            max_events: at most so many; None for any number.
        """
        file.seek(self.position)
        group: list[bytes] = []
        num_bytes = 0
        for line in whole_lines(file):
            group.append(line)
            num_bytes += len(line)
            if num_bytes >= max_bytes or len(group) == max_events:
                break
        return group

    def take(self, group: list[bytes]) -> None:
        """Goes behind a group of lines that the hub has now."""
        if group:
            self.position += sum(map(len, group))
            self.num_events += len(group)
            self.last_crc = line_crc(group[-1])
