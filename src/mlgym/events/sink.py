"""Where events go: the one contract between those who make events and those who keep them."""

from __future__ import annotations

from typing import Protocol

from mlgym.events.types import Payload


class EventSink(Protocol):
    """Takes events; never blocks on a network and never raises for one that cannot be delivered now."""

    def emit(self, payload: Payload) -> None:
        """Takes one event; its time stamp is now."""


class MemorySink:
    """Keeps the payloads in a list, for tests and for measuring."""

    def __init__(self) -> None:
        self.payloads: list[Payload] = []

    def emit(self, payload: Payload) -> None:
        """Takes one event."""
        self.payloads.append(payload)


class NullSink:
    """Drops everything."""

    def emit(self, payload: Payload) -> None:
        """Drops one event."""
