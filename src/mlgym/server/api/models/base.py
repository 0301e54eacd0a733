"""What all answers share: their base, how errors look, values of metrics, and words of which one is meant."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RunStatus = Literal["running", "finished", "interrupted", "crashed"]
ExperimentStatusName = Literal["waiting", "running", "done", "failed", "interrupted"]
Direction = Literal["min", "max"]
NonFinite = Literal["nan", "inf", "-inf"]
Order = Literal["asc", "desc"]
Verdict = Literal["identical", "within_tolerance", "diverged"]
SearchStanding = Literal["running", "paused", "left", "stopped", "complete", "stopped early", "failed"]

RUN_ID = "2026-11-23--16-14-30"
POINT: dict[str, Any] = {"value": 0.9712, "epoch": 8, "step": 1920}


class Model(BaseModel):
    """Base of all answers: what is not said here is not sent."""

    model_config = ConfigDict(extra="forbid")


class Problem(Model):
    """What went wrong: a word for programs, a sentence for people, the part of the request it is about."""

    code: str = Field(examples=["not_found"])
    message: str = Field(examples=["there is no run `2026-11-23--16-14-31`"])
    path: str | None = Field(default=None, examples=["filter"])


class ErrorAnswer(Model):
    """Every error of `/api/v1` looks like this."""

    error: Problem


class MetricValue(Model):
    """One value of a metric and when in training it was measured; `step` is -1 where unknown."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [POINT]})

    value: float | None
    epoch: int
    step: int
    non_finite: NonFinite | None = None
