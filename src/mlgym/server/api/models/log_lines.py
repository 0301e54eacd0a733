"""Answers with lines that were logged or printed."""

from __future__ import annotations

from pydantic import Field

from mlgym.server.api.models.base import Model


class LogEntry(Model):
    """A line that somebody logged or printed."""

    event_id: int
    logged_at: float
    experiment_id: int | None = Field(description="null for the driver")
    level: str = Field(examples=["warning"])
    logger: str = Field(examples=["stderr"])
    message: str


class LogLines(Model):
    """Lines of the log, oldest first; `next_before` asks for the ones before them, null where there are none.

    A search gives up for the time being after 50,000 lines: there may be fewer lines than asked for, and more before.
    """

    at: int
    lines: list[LogEntry]
    next_before: int | None
