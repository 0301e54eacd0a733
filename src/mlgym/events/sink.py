"""Where events go: the one contract between those who make events and those who keep them."""

from __future__ import annotations

from typing import Protocol

from mlgym.events.types import Event, Payload


class EventSink(Protocol):
    """Takes events; never blocks on a network and never raises for one that cannot be delivered now."""

    def emit(self, payload: Payload) -> None:
        """Takes one event; its time stamp is now."""

    def emit_event(self, event: Event) -> None:
        """Takes an event that has its time, producer and number already."""


class MemorySink:
    """Keeps the payloads in a list, for tests and for measuring."""

    def __init__(self) -> None:
        self.payloads: list[Payload] = []

    def emit(self, payload: Payload) -> None:
        """Takes one event."""
        self.payloads.append(payload)

    def emit_event(self, event: Event) -> None:
        """Takes an event that has its time, producer and number already."""
        self.payloads.append(event.payload)


class NullSink:
    """Drops everything."""

    def emit(self, payload: Payload) -> None:
        """Drops one event."""

    def emit_event(self, event: Event) -> None:
        """Drops one event."""
