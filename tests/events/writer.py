"""A process that writes a log through a sink, for tests that kill it or make its disk fail.

Prints the number of an event, one a line and unbuffered, once its flush said that it is durable. Run as
`python -m tests.events.writer LOG NUM_EVENTS GROUP`; numbers go on after those that the log holds already.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from mlgym.events import EventLog, LogSink
from tests.events.samples import log_event


def main(path: Path, num_events: int, group: int) -> None:
    with EventLog.open(path) as log:
        sink = LogSink(log)
        first = log.num_events
        for start in range(first, first + num_events, group):
            numbers = range(start, min(start + group, first + num_events))
            for number in numbers:
                sink.emit(log_event(str(number)))
            while sink.pending:
                sink.flush(ignore_pause=True)
                if sink.error:
                    os.write(2, f"{sink.error}\n".encode())
                    time.sleep(0.001)
            os.write(1, "".join(f"{number}\n" for number in numbers).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
