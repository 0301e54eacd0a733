"""Damage of a log: a complete line that is no event. Readers end before it, and have to say that there was more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mlgym.errors import EventLogError
from mlgym.events.codec import MAX_LINE_BYTES, is_whole
from mlgym.events.scan import whole_lines
from mlgym.events.torn import torn_path
from mlgym.names import LOG_FILE


class Damage(NamedTuple):
    """Where a log is damaged.

    Args:
        num_events: events before it, which can be read.
        offset: where the damaged line begins, in bytes.
        num_bytes: from there to the end of the log.
    """

    num_events: int
    offset: int
    num_bytes: int

    def explained(self, run_id: str) -> str:
        """Gives what cannot be read of the log of a run, and what to do."""
        before = (
            f"the {self.num_events:,} events before it are shown" if self.num_events else "no event stands before it"
        )
        return (
            f"the log is damaged in line {self.num_events + 1:,} (byte {self.offset:,}): the {self.num_bytes:,} bytes "
            f"from there on cannot be read, {before}; `mlgym sync {run_id} --from URL` brings the rest from a hub that "
            f"has the run, `mlgym resume {run_id}` goes on from what stands, for a loop of its own "
            "`mlgym.track(..., resume=True)`; all keep what cannot be read in "
            f"`{torn_path(Path(LOG_FILE))}`"
        )


def damage_after(file: BinaryIO, num_events: int, num_bytes: int) -> Damage | None:
    """Gives the damage that ended the reading of a log; None where it just ends.

    An end without a newline is none: a writer is at it, or died there, and the event was never confirmed.

    Args:
        file: the log.
        num_events: whole lines that were read.
        num_bytes: how long they are.

    Raises:
        OSError: it cannot be read.
    """
    file.seek(num_bytes)
    line = file.readline(MAX_LINE_BYTES + 1)
    is_complete = line.endswith(b"\n") or len(line) > MAX_LINE_BYTES
    if not is_complete or is_whole(line):  # one that came meanwhile is whole
        return None
    return Damage(num_events, num_bytes, os.fstat(file.fileno()).st_size - num_bytes)


def damage_of(path: Path | str) -> Damage | None:
    """Gives the damage of a log, reading all of it; else as `damage_after`.

    Raises:
        EventLogError: it cannot be read.
    """
    num_events = num_bytes = 0
    try:
        with Path(path).open("rb", buffering=2**20) as file:
            for line in whole_lines(file):
                num_events += 1
                num_bytes += len(line)
            return damage_after(file, num_events, num_bytes)
    except OSError as error:
        raise EventLogError(f"`{path}` cannot be read: {error.strerror}") from error
