"""Events in and out in bulk, as lines of JSON; and word that more of them may come."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from mlgym.errors import EventLogError
from mlgym.events.codec import check_addressed
from mlgym.events.log import CheckedBody
from mlgym.server.bodies import groups_of_lines
from mlgym.server.incoming import invalid_event
from mlgym.server.ingest import Ingest, StoredIds
from mlgym.server.refusal import RefusedError, no_such_range
from mlgym.server.senders import MAX_ANNOUNCED_S, announce, has_sender
from mlgym.server.store import HubStore
from mlgym.tracking.portable import body_of

NDJSON: Final = "application/x-ndjson"
_PIECE_BYTES: Final = 2**20
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.ASCII)
_EXAMPLE: Final = (
    '{"event_type":"log","creation_ts":1793462400000000,"payload":{"grid_search_id":"mnist"},"crc":"5f3c2a10"}\n'
)
_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The lines", "content": {NDJSON: {"example": _EXAMPLE}}},
    206: {"description": "The bytes asked for by `Range`", "content": {NDJSON: {"example": _EXAMPLE}}},
    304: {"description": "Nothing came since the answer with this `ETag`"},
    416: {"description": "The log has no such bytes"},
}
_BODY: Final = {"required": True, "content": {NDJSON: {"schema": {"type": "string"}, "example": _EXAMPLE}}}


class Received(BaseModel):
    """What became of events that were sent."""

    num_received: int
    num_stored: int
    num_events: int


class Announcement(BaseModel):
    """How long the driver of a run goes on at least, in s, though no event may come; 0 where it has ended."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"for_s": 20.0}]})

    for_s: Annotated[float, Field(ge=0, le=MAX_ANNOUNCED_S, allow_inf_nan=False)]


class Announced(BaseModel):
    """Whether the driver of a run is there now: connected, or announced."""

    run_id: str
    has_sender: bool


def event_routes(store: HubStore) -> APIRouter:
    """Gives the routes of events.

    Args:
        store: where runs are.
    """
    routes = APIRouter()
    ingest = Ingest(store)

    @routes.get("/runs/{run}/events", response_class=StreamingResponse, responses=_LINES)
    def get_events(
        run: str,
        start: Annotated[int, Query(alias="from", ge=0, description="number of the first event")] = 0,
        range_header: Annotated[str | None, Header(alias="Range")] = None,
        if_range: Annotated[str | None, Header()] = None,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """The lines of the log from an event on, byte for byte as they stand."""
        follower = store.logs.look(store.run(run).log_path, doubts=True)
        _, end, last_line = follower.head()
        begin = min(follower.offset(start), end)  # more may have come by now
        etag = f'"{begin:x}-{end:x}-{(last_line or b"")[-11:-3].hex()}"'
        headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "no-cache"}
        if if_none_match is not None and etag in (each.strip() for each in if_none_match.split(",")):
            return Response(status_code=304, headers=headers)
        span = _span(range_header, end - begin) if if_range in (None, etag) else None
        status = 200 if span is None else 206
        if span is not None:
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{end - begin}"
            begin, end = begin + span.start, begin + span.stop
        headers["Content-Length"] = str(end - begin)
        return StreamingResponse(_bytes_of(follower.path, begin, end), status, headers, media_type=NDJSON)

    @routes.post("/runs/{run}/events", openapi_extra={"requestBody": _BODY})
    async def post_events(
        run: str,
        request: Request,
        start: Annotated[
            int | None, Query(alias="from", ge=0, description="how many events the log has, where that matters")
        ] = None,
    ) -> Received:
        """Stores the events that are new: those whose producer and number are not in the log.

        The body is one event a line, of any length; what was stored before a line that is refused stays. With `from`,
        nothing is stored unless the log has exactly so many events.
        """
        path = (await asyncio.to_thread(store.make_run, run)).log_path
        if start is not None:
            await ingest.add(run, [], at=start)
        received = _Receiving(ingest, run, start)
        try:
            async for lines in groups_of_lines(request):
                await received.add(lines)
        finally:
            await received.end()
        follower = await asyncio.to_thread(store.logs.look, path)
        return Received(
            num_received=received.num_received, num_stored=received.num_stored, num_events=follower.view.num_events
        )

    @routes.put("/runs/{run}/sender")
    def announce_sender(run: str, announcement: Announcement) -> Announced:
        """Says that the driver of a run goes on, for one that has no connection to the websocket service."""
        folder = store.run(run)
        announce(folder.path, announcement.for_s)
        return Announced(run_id=folder.run_id, has_sender=has_sender(folder.path))

    return routes


class _Receiving:
    """Lines of a body on their way into a log: while one group goes to the disk, the next one comes in."""

    def __init__(self, ingest: Ingest, run_id: str, start: int | None) -> None:
        self.num_received = self.num_stored = 0
        self._ingest = ingest
        self._run_id = run_id
        self._start = start
        self._storing: asyncio.Task[StoredIds] | None = None

    async def add(self, lines: Sequence[bytes]) -> None:
        """Takes lines; those before them are stored then."""
        group = await asyncio.to_thread(_checked, lines, self._run_id, self.num_received)
        await self.end()
        at = None if self._start is None else self._start + self.num_stored
        self._storing = asyncio.create_task(self._ingest.add(self._run_id, group, at=at))
        self.num_received += len(lines)

    async def end(self) -> None:
        """Waits until all is stored."""
        storing, self._storing = self._storing, None
        if storing is not None:
            self.num_stored += sum(event_id is not None for event_id in await storing)


def _checked(lines: Sequence[bytes], run_id: str, num_before: int) -> list[CheckedBody]:
    """Gives events in the form that logs take.

    Raises:
        RefusedError: one is no event or belongs to another run.
    """
    group: list[CheckedBody] = []
    try:
        for line in lines:
            body = body_of(line)
            origin, named = check_addressed(body)
            if named is not None and named != run_id:
                raise _foreign(num_before + len(group) + 1)
            group.append((body, origin))
    except EventLogError as error:
        raise invalid_event(str(error), f"line {num_before + len(group) + 1}") from error
    return group


def _foreign(number: int) -> RefusedError:
    message = f"line {number}: the event belongs to another run; the lines before it may be stored"
    return RefusedError(422, "foreign_event", message, path=f"line {number}")


def _span(header: str | None, num_bytes: int) -> range | None:
    """Gives which bytes are asked for; None for all of them, and for several ranges, which need not be served.

    Raises:
        RefusedError: there are no such bytes.
    """
    asked = _RANGE.fullmatch(header or "")
    if asked is None:
        return None
    first, last, suffix = asked.groups()
    if first is None:
        span = range(max(0, num_bytes - int(suffix)), num_bytes)
    elif last and int(last) < int(first):
        return None
    else:
        span = range(int(first), min(int(last or num_bytes) + 1, num_bytes))
    if not span:
        raise no_such_range(num_bytes)
    return span


def _bytes_of(path: Path, begin: int, end: int) -> Iterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        while begin < end:
            piece = os.pread(descriptor, min(_PIECE_BYTES, end - begin), begin)
            if not piece:
                raise EventLogError("the log was cut off while it was sent")
            begin += len(piece)
            yield piece
    finally:
        os.close(descriptor)
