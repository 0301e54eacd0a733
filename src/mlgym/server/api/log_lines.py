"""Log lines of a run: found by the index, read from the log itself."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mlgym.errors import EventLogError
from mlgym.events import decode
from mlgym.events.codec import MAX_LINE_BYTES
from mlgym.events.fields import Fields
from mlgym.server.projection.index import LEVELS
from mlgym.server.projection.projection import Projection, View

_MAX_LOOKED_AT: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which lines.

    Args:
        experiment: of this one; -1 for the driver's; None for all.
        level: of this level or above; None for all.
        contains: with this text, in any case; None for all.
        tail: at most so many, the last ones.
        before: only events with a lower number; None for all.
    """

    experiment: int | None
    level: str | None
    contains: str | None
    tail: int
    before: int | None


def log_lines(projection: Projection, view: View, query: LogQuery) -> dict[str, Any]:
    """Gives `LogLines`.

    Raises:
        EventLogError: the log cannot be read.
    """
    index = projection.index
    end = view.at if query.before is None else min(view.at, query.before)
    places = _matching(projection, bisect_left(index.line_ids, end), query)
    wanted = query.contains.casefold() if query.contains else ""
    found: list[dict[str, Any]] = []
    next_before: int | None = None
    try:
        with projection.path.open("rb") as file:
            for num_looked_at, place in enumerate(places):
                if len(found) == query.tail or num_looked_at == _MAX_LOOKED_AT:
                    next_before = index.line_ids[place] + 1
                    break
                file.seek(index.line_bytes[place])
                line = _entry(index.line_ids[place], decode(file.readline(MAX_LINE_BYTES + 1)))
                if wanted in line["message"].casefold():
                    found.append(line)
    except OSError as error:
        raise EventLogError(f"the log cannot be read: {error.strerror}") from error
    return {"at": view.at, "lines": found[::-1], "next_before": next_before}


def _matching(projection: Projection, end: int, query: LogQuery) -> Iterator[int]:
    """Yields the places in the index of the lines that may match, the last first."""
    index = projection.index
    least = LEVELS[query.level] if query.level else 0
    for place in range(end - 1, -1, -1):
        is_of = query.experiment is None or index.line_experiments[place] == query.experiment
        if is_of and index.line_levels[place] >= least:
            yield place


def _entry(event_id: int, event: dict[str, Any]) -> dict[str, Any]:
    fields = Fields(event)
    payload = fields.inner("payload")
    experiment_id = payload.integer("experiment_id")
    return {
        "event_id": event_id,
        "logged_at": (fields.integer("creation_ts") or 0) / 1e6,
        "experiment_id": experiment_id if experiment_id is not None and experiment_id >= 0 else None,
        "level": (payload.text("level") or "").lower(),
        "logger": payload.text("logger") or "",
        "message": payload.text("message") or "",
    }
