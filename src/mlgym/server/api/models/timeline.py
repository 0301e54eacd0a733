"""The answer about when what happened."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlgym.server.api.models.base import Model


class TimelineMark(Model):
    """An event worth a mark on the slider."""

    event_id: int
    created_at: float
    kind: Literal[
        "run_started",
        "run_resumed",
        "run_finished",
        "experiment_started",
        "experiment_done",
        "experiment_failed",
        "experiment_interrupted",
        "training_stopped",
    ]
    experiment_id: int | None


class Timeline(Model):
    """Event numbers against wall time: after `event_ids[i]` events it was `times[i]`."""

    at: int
    event_ids: list[int] = Field(description="growing; at most as many as asked for")
    times: list[float]
    marks: list[TimelineMark] = Field(description="starts and ends, oldest first; at most 2,000")
