"""Where things stand in a log: bytes of events here and there, log lines, loads, starts and ends of experiments."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

LEVELS: Final = {"debug": 0, "info": 1, "warning": 2, "warn": 2, "error": 3, "critical": 4, "fatal": 4}
"""Order of the levels; whatever else a log says counts as `info`."""
OF_DRIVER: Final = -1
LOADS: Final = ("steps_per_s", "cpu_percent", "rss_bytes", "gpu_percent", "gpu_memory_bytes")
"""What `system_metrics` says, as columns of the index."""
_LARGEST: Final = 2.0**63
_FIRST: Final = 10_000
_STRIDE: Final = 64
_OF_RUN: Final = ("run_started", "run_resumed", "run_finished")


class Mark(NamedTuple):
    """The start or the end of something; `experiment_id` is -1 for the run."""

    event_id: int
    created_at: float
    kind: str
    experiment_id: int


class Place(NamedTuple):
    """The beginning of an event in the log."""

    event_id: int
    num_bytes: int


@dataclass(slots=True)
class LogIndex:
    """What a log has where; columns of equal length belong together.

    Args:
        place_ids, place_bytes, place_times: the first 10,000 events, then every 64th: its number, where it begins, when
            it was made.
        line_ids, line_bytes, line_experiments, line_levels: events that are log lines: their numbers, where they begin,
            whose they are (-1: the driver's), how grave.
        load_ids, load_times, load_experiments: events that tell the load of an experiment's process: their numbers,
            when they were made, whose they are.
        steps_per_s, cpu_percent, rss_bytes, gpu_percent, gpu_memory_bytes: what they say; NaN for nothing.
        marks: starts and ends.
    """

    place_ids: array[int] = field(default_factory=lambda: array("q"))
    place_bytes: array[int] = field(default_factory=lambda: array("q"))
    place_times: array[float] = field(default_factory=lambda: array("d"))
    line_ids: array[int] = field(default_factory=lambda: array("q"))
    line_bytes: array[int] = field(default_factory=lambda: array("q"))
    line_experiments: array[int] = field(default_factory=lambda: array("q"))
    line_levels: array[int] = field(default_factory=lambda: array("b"))
    load_ids: array[int] = field(default_factory=lambda: array("q"))
    load_times: array[float] = field(default_factory=lambda: array("d"))
    load_experiments: array[int] = field(default_factory=lambda: array("q"))
    steps_per_s: array[float] = field(default_factory=lambda: array("d"))
    cpu_percent: array[float] = field(default_factory=lambda: array("d"))
    rss_bytes: array[float] = field(default_factory=lambda: array("d"))
    gpu_percent: array[float] = field(default_factory=lambda: array("d"))
    gpu_memory_bytes: array[float] = field(default_factory=lambda: array("d"))
    marks: list[Mark] = field(default_factory=list)

    def add(self, event_id: int, num_bytes: int, created_at: float, event: Mapping[str, Any] | None) -> None:
        """Takes the next event in.

        Args:
            event_id: its number.
            num_bytes: where it begins.
            created_at: s since the epoch.
            event: as plain data; None for the values of an evaluation.
        """
        if event_id < _FIRST or event_id % _STRIDE == 0:
            self.place_ids.append(event_id)
            self.place_bytes.append(num_bytes)
            self.place_times.append(created_at)
        if event is None:
            return
        event_type, payload = event.get("event_type"), event.get("payload")
        if not isinstance(payload, Mapping):
            return
        if event_type == "log":
            self._add_line(event_id, num_bytes, payload)
        elif event_type == "system_metrics":
            self._add_load(event_id, created_at, payload)
        else:
            kind = _kind(event_type, payload)
            if kind is not None:
                self.marks.append(Mark(event_id, created_at, kind, _experiment_of(payload)))

    def place_before(self, event_id: int) -> Place:
        """Gives the last known place at or before an event."""
        found = bisect_right(self.place_ids, event_id) - 1
        return Place(self.place_ids[found], self.place_bytes[found]) if found >= 0 else Place(0, 0)

    def _add_line(self, event_id: int, num_bytes: int, payload: Mapping[str, Any]) -> None:
        level = payload.get("level")
        self.line_ids.append(event_id)
        self.line_bytes.append(num_bytes)
        self.line_experiments.append(_experiment_of(payload))
        self.line_levels.append(LEVELS.get(level.lower(), 1) if isinstance(level, str) else 1)

    def _add_load(self, event_id: int, created_at: float, payload: Mapping[str, Any]) -> None:
        self.load_ids.append(event_id)
        self.load_times.append(created_at)
        self.load_experiments.append(_experiment_of(payload))
        for name in LOADS:
            value = payload.get(name)
            if type(value) not in (int, float) or not abs(number := cast("float", value)) < _LARGEST:
                number = math.nan
            getattr(self, name).append(number)


def _experiment_of(payload: Mapping[str, Any]) -> int:
    found = payload.get("experiment_id")
    return found if type(found) is int and 0 <= found < 2**63 else OF_DRIVER


def _kind(event_type: Any, payload: Mapping[str, Any]) -> str | None:
    if event_type == "job_status":
        status = payload.get("status")
        if status == "RUNNING":
            return "experiment_started"
        if status != "DONE":
            return None
        if payload.get("interrupted") is True:
            return "experiment_interrupted"
        return "experiment_failed" if payload.get("error") else "experiment_done"
    return event_type if event_type == "training_stopped" or event_type in _OF_RUN else None
