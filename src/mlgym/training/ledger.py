"""Results that reach the log exactly once, however often an experiment is killed and goes on.

What an experiment repeats after a checkpoint has the same producer and number as before, so the log knows it. What may
have been lost on the way to the log with the driver is in the checkpoint, and sent again.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

import msgspec

from mlgym.events.sink import EventSink
from mlgym.events.types import Event, Payload
from mlgym.seeding import derive_seed

# As many as a worker can have sent while a busy driver has read none: 1 MiB of pipe.
MAX_RECENT: Final = 1024
# A driver writes an event 20 ms after it was sent; what is older is in the log, or the log cannot be written.
_RECENT_S: Final = 30.0


class ResultLedger:
    """Sends the results of one experiment, numbered from the start of its training.

    Args:
        sink: takes the events.
        run_id: the run.
        experiment_id: the experiment in the run.
        lineage: one more than before where results need not repeat those that were sent.
    """

    def __init__(self, sink: EventSink, *, run_id: str, experiment_id: int, lineage: int) -> None:
        self._sink = sink
        self._run_id = run_id
        self._experiment_id = experiment_id
        self._lineage = lineage
        self._producer = self._producer_after(0)
        self._next_seq = 0
        self._recent: deque[tuple[float, Event]] = deque(maxlen=MAX_RECENT)

    @property
    def num_sent(self) -> int:
        """How many results were sent since the start of training, by earlier attempts too."""
        return self._next_seq

    def emit(self, payload: Payload) -> None:
        """Sends one result."""
        event = Event(
            event_type=payload.event_type,
            creation_ts=time.time_ns() // 1000,
            payload=payload,
            producer=self._producer,
            seq=self._next_seq,
        )
        self._next_seq += 1
        self._send(event)

    def state_dict(self) -> dict[str, Any]:
        """Gives what to go on from: the next number, and the results that may not have reached the log yet."""
        recent_from = time.monotonic() - _RECENT_S
        recent = [msgspec.json.encode(event).decode() for sent_at, event in self._recent if sent_at >= recent_from]
        return {
            "lineage": self._lineage,
            "producer": self._producer,
            "next_seq": self._next_seq,
            "recent": recent,
        }

    def load_state_dict(self, state: dict[str, Any], *, step: int) -> bool:
        """Goes on from a state and sends its recent results again.

        Args:
            state: as `state_dict` gave it.
            step: optimizer updates so far.

        Returns:
            False where it is of another lineage: nothing of it is taken over, and numbers begin anew.
        """
        if state["lineage"] != self._lineage:
            # A lineage may begin again elsewhere, where a checkpoint was damaged, and has other results under a number.
            self._producer = self._producer_after(step)
            return False
        self._producer = state["producer"]
        self._next_seq = state["next_seq"]
        for event in state["recent"]:
            self._send(msgspec.json.decode(event, type=Event))
        return True

    def _producer_after(self, step: int) -> str:
        """Gives the name of who sends what the lineage measures, where it begins after so many updates."""
        begin = (step,) if step else ()
        name = derive_seed(0, self._run_id, self._experiment_id, self._lineage, *begin)
        return f"{name:016x}{self._experiment_id:012x}{self._lineage:04x}"

    def _send(self, event: Event) -> None:
        # What is sent again is recent again: this driver may be lost as the one before was.
        self._recent.append((time.monotonic(), event))
        self._sink.emit_event(event)
