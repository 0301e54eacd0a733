"""Events in and out in bulk, as lines of JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from mlgym.errors import EventLogError
from mlgym.events.codec import check_body
from mlgym.events.log import CheckedBody
from mlgym.server.bodies import groups_of_lines
from mlgym.server.refusal import RefusedError
from mlgym.server.store import HubStore
from mlgym.tracking.portable import body_of

NDJSON: Final = "application/x-ndjson"


class _Addressed(msgspec.Struct):
    grid_search_id: Any = None


class _Addressee(msgspec.Struct):
    payload: _Addressed | None = None


_addressee: Final = msgspec.json.Decoder(_Addressee)


class RunHead(BaseModel):
    """What stands in the log of a run."""

    run_id: str
    num_events: int
    num_bytes: int
    last_crc: str | None


class Received(BaseModel):
    """What became of events that were sent."""

    num_received: int
    num_stored: int
    num_events: int


def event_routes(store: HubStore) -> APIRouter:
    """Gives the routes of events.

    Args:
        store: where runs are.
    """
    routes = APIRouter()

    @routes.get("/runs/{run}")
    def get_run(run: str) -> RunHead:
        """What stands in the log of a run."""
        head = store.head(run)
        return RunHead(run_id=run, num_events=head.num_events, num_bytes=head.num_bytes, last_crc=head.last_crc)

    @routes.get("/runs/{run}/events", response_class=StreamingResponse)
    def get_events(run: str, start: Annotated[int, Query(alias="from", ge=0)] = 0) -> StreamingResponse:
        """The lines of the log from an event on, as they stand."""
        return StreamingResponse(store.lines(run, start), media_type=NDJSON)

    @routes.post("/runs/{run}/events")
    async def post_events(
        run: str, request: Request, start: Annotated[int | None, Query(alias="from", ge=0)] = None
    ) -> Received:
        """Stores the events that are new: those whose producer and number are not in the log.

        With `from`, nothing is stored unless the log has exactly so many events.
        """
        path = (await asyncio.to_thread(store.make_run, run)).log_path
        num_received = num_stored = 0
        appending = store.logs.appending(path)
        log = await asyncio.to_thread(appending.__enter__)
        try:
            if start not in (None, log.num_events):
                raise RefusedError(
                    409, "offset_mismatch", f"the log has {log.num_events:,} events, not {start:,}", path="from"
                )
            async for lines in groups_of_lines(request):
                group = await asyncio.to_thread(_checked, lines, run, num_received)
                num_stored += await asyncio.to_thread(store.logs.append, path, group)
                num_received += len(lines)
            return Received(num_received=num_received, num_stored=num_stored, num_events=log.num_events)
        finally:
            appending.__exit__(None, None, None)

    return routes


def _checked(lines: Sequence[bytes], run_id: str, num_before: int) -> list[CheckedBody]:
    """Gives events in the form that logs take.

    Raises:
        RefusedError: one is no event or belongs to another run.
    """
    group: list[CheckedBody] = []
    for number, line in enumerate(lines, num_before + 1):
        try:
            body = body_of(line)
            origin = check_body(body)
            addressee = _addressee.decode(body).payload
        except (EventLogError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            message = str(error).encode(errors="backslashreplace").decode()
            raise RefusedError(422, "invalid_event", f"line {number}: {message}", path=f"line {number}") from error
        if addressee is not None and addressee.grid_search_id not in (None, run_id):
            message = f"line {number}: the event belongs to another run; the lines before it may be stored"
            raise RefusedError(422, "foreign_event", message, path=f"line {number}")
        group.append((body, origin))
    return group
