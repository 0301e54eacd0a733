"""Making events: the envelope with who made it and its number, so that a repeated delivery is stored once."""

from __future__ import annotations

import itertools
import os
import time
import uuid
import weakref
from typing import Final

from mlgym.events.codec import encode
from mlgym.events.types import Event, Payload


class Producer:
    """One maker of events, usually one per process; threads may share it.

    Args:
        producer: uuid (hex) to go by; a fresh one by default. Two producers must never share one.
    """

    def __init__(self, producer: str | None = None) -> None:
        self._become(producer or uuid.uuid4().hex)

    def _become(self, name: str) -> None:
        self._name = name
        self._seqs = itertools.count()
        _producers.add(self)

    @property
    def name(self) -> str:
        """The uuid (hex) that its events carry."""
        return self._name

    def event(self, payload: Payload) -> Event:
        """Gives the next event: stamped with now (microseconds since the epoch), its producer and its number."""
        return Event(
            event_type=payload.event_type,
            creation_ts=time.time_ns() // 1000,
            payload=payload,
            producer=self._name,
            seq=next(self._seqs),
        )

    def encode(self, payload: Payload) -> bytes:
        """Gives the next event in the form that `EventLog.append` and `LogSink.emit_encoded` take.

        Raises:
            EventLogError: the payload cannot be written as one line of JSON.
        """
        return encode(self.event(payload))


_producers: Final[weakref.WeakSet[Producer]] = weakref.WeakSet()


def _rename_all() -> None:
    # A forked child that went on with its parent's numbers would have its events taken for repeats.
    for producer in list(_producers):
        producer._become(uuid.uuid4().hex)


os.register_at_fork(after_in_child=_rename_all)
