"""One client of the Socket.IO service: what it may do, what it has in the works, and what it follows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from engineio.exceptions import SocketIsClosedError
from engineio.packet import MESSAGE, Packet
from msgspec import json
from socketio import AsyncServer

from mlgym.errors import EventLogError
from mlgym.server.live import DELIVERY_BYTES, Delivery, Feed, Resync
from mlgym.server.outgoing import Messages

_PACE_S: Final = 0.01
_AFTER_FAILURE_S: Final = 1.0
_MOST_SINGLE: Final = 4
_MOST_WAITING: Final = 1000
_LOOK_EVERY_S: Final = 0.05
# A client that polls takes no more than 16 messages in one answer.
_MOST_AT_A_TIME: Final = 10


class SessionAccess(Protocol):
    """What whoever connected may do; `tokens.Access` is one."""

    def allows(self, run_id: str | None, *, write: bool) -> bool:
        """Tells whether a run may be read or written; None for what concerns all runs."""


class Pending:
    """Bytes of events that wait for the disk; whoever reads more of them waits for room."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    @contextmanager
    def holding(self, num_bytes: int) -> Iterator[None]:
        """Counts so many bytes while the body runs."""
        self._add(num_bytes)
        try:
            yield
        finally:
            self._add(-num_bytes)

    async def room(self) -> None:
        """Waits until there is room for more."""
        await self._has_room.wait()

    def _add(self, num_bytes: int) -> None:
        self._num_bytes += num_bytes
        if self._num_bytes < self._max_bytes:
            self._has_room.set()
        else:
            self._has_room.clear()


@dataclass(frozen=True, slots=True)
class Shared:
    """What all clients of a service have in common.

    Args:
        sio: the server.
        patience_s: how long a client may take nothing of what it was sent, in s.
        messages: makes what is sent.
        turn: held while a client is sent to, so that in each round of the loop only one is: producers are served as
            soon with hundreds of subscribers as with none.
    """

    sio: AsyncServer
    patience_s: float
    messages: Messages = field(default_factory=Messages)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class SocketClient:
    """A client from its connecting to its going.

    Attributes:
        sid: its session.
        engine_sid: the session of its transport.
        access: what it may do.
        pending: what it sent and is not stored yet.
        feed: what it follows.
        knows_all: whether it knows event types that came after MLgym 0.0.75.
    """

    def __init__(self, shared: Shared, sid: str, access: SessionAccess, *, pending: Pending, feed: Feed) -> None:
        """Makes it; `start` has it sent what it follows.

        Args:
            shared: what all clients have in common.
            sid: its session.
            access: what it may do.
            pending: counts what waits for the disk.
            feed: follows nothing yet.
        """
        self.access = access
        self.pending = pending
        self.feed = feed
        self.knows_all = False
        self._shared = shared
        self.sid = sid
        self.engine_sid: str = shared.sio.manager.eio_sid_from_sid(sid, "/")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to send what it follows."""
        if self._task is None:
            self._task = asyncio.create_task(self._send_all())

    async def has_taken_answers(self) -> None:
        """Waits while many packets wait to be taken: who sends and never reads would fill the memory with answers."""
        engine = self._shared.sio.eio.sockets.get(self.engine_sid)
        while engine is not None and not engine.closed and engine.queue.qsize() > _MOST_WAITING:
            await asyncio.sleep(_LOOK_EVERY_S)

    async def tell_runs(self, run_ids: list[str] | None) -> bool:
        """Says which runs have changed, None for any; tells whether it did: not while others wait to be taken."""
        engine = self._shared.sio.eio.sockets.get(self.engine_sid)
        if engine is None or engine.closed or engine.queue.qsize():
            return False
        text = f"2{json.encode(['runs_changed', {'run_ids': run_ids}]).decode()}"
        try:
            await self._shared.sio.eio.send_packet(self.engine_sid, Packet(MESSAGE, text))
        except SocketIsClosedError:
            return False
        return True

    def close(self) -> None:
        """Lets go of everything."""
        self.feed.close()
        if self._task is not None:
            self._task.cancel()

    async def _send_all(self) -> None:
        try:
            while await self._send_next():
                pass
        except SocketIsClosedError:
            return

    async def _send_next(self) -> bool:
        """Sends what comes next, and tells whether there is still somebody who takes it."""
        try:
            found = await self.feed.next()
        except EventLogError:  # the disk may come back
            await asyncio.sleep(_AFTER_FAILURE_S)
            return True
        if isinstance(found, Resync):
            await self._tell(found)
        elif not await self._deliver(found):
            return False
        elif sum(map(len, found.lines)) >= DELIVERY_BYTES:
            return True  # there is more
        # What comes within this time goes out together.
        await asyncio.sleep(_PACE_S)
        return True

    async def _deliver(self, found: Delivery) -> bool:
        """Sends lines, and tells whether there is still somebody who takes them."""
        together = found.is_history or (self.knows_all and len(found.lines) > _MOST_SINGLE)
        packets = self._shared.messages.of(found, together=together, old_types_only=not self.knows_all)
        for start in range(0, len(packets), _MOST_AT_A_TIME):
            async with self._shared.turn:
                for packet in packets[start : start + _MOST_AT_A_TIME]:
                    await self._shared.sio.eio.send_packet(self.engine_sid, packet)
                await asyncio.sleep(0)
            if not await self._is_taken():
                return False
        return True

    async def _is_taken(self) -> bool:
        """Waits until the client has taken what it was sent before the last of it; tells whether it still takes."""
        engine = self._shared.sio.eio.sockets.get(self.engine_sid)
        if engine is None or engine.closed:
            return False
        try:
            async with asyncio.timeout(self._shared.patience_s if self.knows_all else None):
                await engine.queue.join()
        except TimeoutError:
            for resync in self.feed.stop():
                await self._tell(resync)
        return True

    async def _tell(self, resync: Resync) -> None:
        """Tells that a run has to be joined again; older clients are not told, as they know no such message."""
        if self.knows_all:
            about = {"run_id": resync.run_id, "from_event_id": resync.start}
            text = f"2{json.encode(['resync', about]).decode()}"
            await self._shared.sio.eio.send_packet(self.engine_sid, Packet(MESSAGE, text))
