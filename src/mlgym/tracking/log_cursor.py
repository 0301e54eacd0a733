"""How far the log of a run here and the one on a hub are the same, and what comes next here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from mlgym.events.scan import whole_lines
from mlgym.tracking.portable import line_crc

_TAIL_BYTES: Final = 64


@dataclass(slots=True)
class LogCursor:
    """A place between two events of a log, up to which a hub has it.

    Args:
        position: bytes before it.
        num_events: events before it.
        last_line: the one before it; empty at the start.
    """

    position: int = 0
    num_events: int = 0
    last_line: bytes = b""

    def stands(self, file: BinaryIO) -> bool:
        """Tells whether the log still has what came before here.

        A writer takes lines back that the disk refuses, and others may come in their place.
        """
        tail = self.last_line[-_TAIL_BYTES:]
        file.seek(self.position - len(tail))
        return file.read(len(tail)) == tail

    def advance(
        self, file: BinaryIO, num_there: int, last_crc: str | None, note: Callable[[bytes], None] = lambda line: None
    ) -> bool:
        """Goes to where the log of a hub ends, if that has the events of this one; else stays.

        Args:
            file: the log here.
            num_there: events that the hub has.
            last_crc: checksum of its last one, in the form that travels; None where it has none.
            note: is shown each line that is passed.
        """
        file.seek(self.position)
        position, num_here, last_line = self.position, self.num_events, self.last_line
        lines = whole_lines(file)
        while num_here < num_there and (line := next(lines, None)) is not None:
            note(line)
            position, num_here, last_line = position + len(line), num_here + 1, line
        if num_here != num_there or (line_crc(last_line) if last_line else None) != last_crc:
            return False
        self.position, self.num_events, self.last_line = position, num_here, last_line
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

    def take(self, group: Sequence[bytes]) -> None:
        """Goes behind a group of lines that the hub has now."""
        if group:
            self.position += sum(map(len, group))
            self.num_events += len(group)
            self.last_line = group[-1]
