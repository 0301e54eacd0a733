"""What the first and the last lines of a log say of its run, for as long as the rest was not read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final

from mlgym.errors import EventLogError
from mlgym.events import RunState
from mlgym.events.scan import whole_lines

_END_BYTES: Final = 2**16


def sketch_of(path: Path) -> RunState:
    """Gives the state of a run from both ends of its log: what it is, how it began, whether it has ended.

    What happens in between is missing: most experiments, and all values of metrics.

    Raises:
        EventLogError: the log cannot be read.
    """
    state = RunState()
    try:
        with path.open("rb", buffering=_END_BYTES) as file:
            end = _apply(state, file, _END_BYTES)
            num_bytes = os.fstat(file.fileno()).st_size
            if end < num_bytes - _END_BYTES:
                file.seek(num_bytes - _END_BYTES)
                file.readline()  # begins somewhere in a line
            _apply(state, file, _END_BYTES)
    except OSError as error:
        raise EventLogError(f"the log cannot be read: {error.strerror}") from error
    return state


def _apply(state: RunState, file: BinaryIO, max_bytes: int) -> int:
    """Takes lines in up to about so many bytes, and gives where that ended."""
    end = file.tell() + max_bytes
    for line in whole_lines(file):
        state.apply_line(state.num_events, line, with_values=False)
        if file.tell() >= end:
            break
    return file.tell()
