"""The Socket.IO side of a hub: events in, acknowledged once durable; histories and live events out.

What is said on the wire is the protocol of MLgym 0.0.75 and what extends it; the work is done by `ingest` and `live`.
A refusal is `{"error": {"code", "message", "path"}}`. The codes `in_use`, `disk_full`, `disk` and `internal` are about
the hub, and the same events may be accepted later; all others are about what was sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qs

import msgspec
from engineio.payload import Payload
from socketio import ASGIApp, AsyncServer, exceptions
from starlette.types import Receive, Scope, Send

from mlgym.errors import MlgymError
from mlgym.events.log import CheckedBody
from mlgym.server.engine import EngineDoor
from mlgym.server.guard import SOCKET_PATH, refuse
from mlgym.server.incoming import RUN_PATH, incoming
from mlgym.server.ingest import Ingest, StoredIds
from mlgym.server.live import Live
from mlgym.server.packets import MALFORMED, EventPacket, Unanswered
from mlgym.server.refusal import RefusedError, not_found, refusal_of
from mlgym.server.run_changes import RunChanges
from mlgym.server.senders import Senders
from mlgym.server.socket_client import Pending, SessionAccess, Shared, SocketClient
from mlgym.server.store import HubStore
from mlgym.server.strangers import Strangers
from mlgym.texts import printable

OLD_ROOMS: Final = frozenset({"mlgym_event_publishers", "mlgym_streamed_logger"})
"""What publishers of MLgym 0.0.75 join; nothing is ever sent there."""
_PROTOCOL: Final = 2
_CLIENT_KEY: Final = "mlgym.socket_client"
# Browsers send what they have collected in one go.
_MAX_PACKETS_OF_A_POLL: Final = 1000
_logger: Final = logging.getLogger(__name__)
# What the libraries have to say is about clients, who get an answer; it may also hold what these have sent.
_silent: Final = logging.getLogger(f"{__name__}.library")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False
_silent.setLevel(logging.CRITICAL + 1)

Authorize = Callable[[Mapping[str, Any], object], SessionAccess | None]
"""Gives what a socket may do, from the scope of ASGI and what the client sent as `auth`; None to refuse it."""
Answer = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SocketLimits:
    """What a client may cost.

    Args:
        message_bytes: longest message of a client, in bytes.
        batch_events: most events in one message.
        rooms: most runs that a client follows at a time.
        client_pending_bytes: events of a client that wait for the disk, in bytes; reading from it stops at so many.
        pending_bytes: the same of all clients.
        patience_s: how long a client may take nothing of what it was sent, in s; then it is told to come again.
        in_use_s: how long events wait while another process writes the log of their run, in s.
        sessions: most clients at a time.
        stranger_s: how long a client may be there without connecting, which takes a token where there are any, in s.
    """

    message_bytes: int = 16 * 2**20
    batch_events: int = 10_000
    rooms: int = 64
    client_pending_bytes: int = 16 * 2**20
    pending_bytes: int = 128 * 2**20
    patience_s: float = 10.0
    in_use_s: float = 1.0
    sessions: int = 4000
    stranger_s: float = 30.0


class _Join(msgspec.Struct):
    rooms: list[str]
    client_id: Any = "<unknown>"
    protocol: Any = 1
    from_event_id: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}


class _Head(msgspec.Struct):
    run_id: str
    goes_on: bool = False


class _FollowRuns(msgspec.Struct):
    follows: bool = True


_follow_runs: Final = msgspec.json.Decoder(_FollowRuns)
_join: Final = msgspec.json.Decoder(_Join)
_head: Final = msgspec.json.Decoder(_Head)
_events: Final = msgspec.json.Decoder(list[msgspec.Raw])


class SocketService:
    """The Socket.IO service of a hub, as an ASGI app for everything below `SOCKET_PATH`.

    To be served behind a guard that checks `Host` and `Origin`, with `running()` entered in the app's lifespan, by
    uvicorn with `ws_max_size=limits.message_bytes`, `ws_per_message_deflate=False` (deflate costs 300 kB a client) and
    `ws_ping_interval=None` (Engine.IO has its own).

        service = SocketService(store, authorize=socket_access)
        async with service.running():
            await service(scope, receive, send)

    Beside the messages of the protocol there are three: `mlgym_head` with `{"run_id": ...}` asks what stands in a log,
    is answered like the REST route of a run, and with `"goes_on": true` says that the client sends the run as long as
    it is connected; `resync` with `{"run_id": ..., "from_event_id": n}` tells a client of protocol 2 that nothing more
    will come of a run until it joins again from `n`, and that what it has from there on is void: it was too slow, or
    the log has lost its end; `follow_runs` has the client told by `runs_changed` which runs of the storage changed.

    Attributes:
        store: where runs are.
        limits: what a client may cost.
        ingest: what stores events.
    """

    def __init__(self, store: HubStore, limits: SocketLimits | None = None, *, authorize: Authorize) -> None:
        """Makes the service; `running` starts it.

        Args:
            store: where runs are; the same object as that of a REST service in the same process.
            limits: what a client may cost.
            authorize: says what a client that connects may do.
        """
        self.store = store
        self.limits = limits or SocketLimits()
        self.ingest = Ingest(store, in_use_s=self.limits.in_use_s)
        self._live = Live(store)
        self._authorize = authorize
        self._senders = Senders()
        self._changes = RunChanges(store.storage)
        self._clients: dict[str, SocketClient] = {}
        self._by_engine_sid: dict[str, SocketClient] = {}
        self._pending = Pending(self.limits.pending_bytes)
        Payload.max_decode_packets = _MAX_PACKETS_OF_A_POLL
        self._sio = AsyncServer(
            async_mode="asgi",
            serializer=EventPacket,
            namespaces=["/"],
            cors_allowed_origins=[],  # the guard has looked at the origin
            max_http_buffer_size=self.limits.message_bytes,
            http_compression=False,
            logger=_silent,
            engineio_logger=_silent,
        )
        self._shared = Shared(self._sio, self.limits.patience_s)
        self._door = EngineDoor(ASGIApp(self._sio, socketio_path=SOCKET_PATH), self._room, self.limits.message_bytes)
        self._strangers = Strangers(
            self._sio,
            self._by_engine_sid.__contains__,
            max_sessions=self.limits.sessions,
            patience_s=self.limits.stranger_s,
        )
        for name, handler in self._handlers().items():
            self._sio.on(name, handler)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves while the body runs: follows logs that other processes write, and lets go of everything at last."""
        following = asyncio.gather(self._live.run(), self._strangers.dismiss(), self._changes.run())
        try:
            yield
        finally:
            for client in list(self._clients.values()):
                client.close()
            self._senders.close()
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            await self.ingest.close()
            await self._sio.shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes a request or a websocket below `SOCKET_PATH`."""
        try:
            self._strangers.check_room(scope)
        except RefusedError as refusal:
            await refuse(scope, receive, send, refusal)
            return
        engine_sid = parse_qs(scope["query_string"].decode("latin-1")).get("sid", [None])[0]

        def is_known() -> bool:
            client = self._client_of(scope, engine_sid)
            return client is not None and client.sid in self._clients

        await self._door(scope, self._strangers.bounded(scope, receive, is_known), send)

    def _client_of(self, scope: Scope, engine_sid: str | None) -> SocketClient | None:
        client: SocketClient | None = scope.get(_CLIENT_KEY) or self._by_engine_sid.get(engine_sid or "")
        return client

    def _handlers(self) -> dict[str, Callable[..., Any]]:
        return {
            "connect": self._on_connect,
            "disconnect": self._on_disconnect,
            "join": partial(self._answered, self._on_join),
            "leave": self._on_leave,
            "ping": self._on_ping,
            "mlgym_event": partial(self._answered, self._on_event),
            "mlgym_events": partial(self._answered, self._on_events),
            "follow_runs": partial(self._answered, self._on_follow_runs),
            "mlgym_head": partial(self._answered, self._on_head),
            "*": self._on_unknown,
        }

    async def _room(self, scope: Scope, engine_sid: str | None) -> None:
        """Waits until more may be read of a connection."""
        client = self._client_of(scope, engine_sid)
        if client is not None:
            await client.pending.room()
            if scope.get("method") != "GET":  # by which who polls takes them
                await client.has_taken_answers()
        await self._pending.room()

    async def _on_connect(self, sid: str, environ: Mapping[str, Any], auth: object = None) -> None:
        access = self._authorize(environ["asgi.scope"], auth)
        if access is None:
            raise exceptions.ConnectionRefusedError("this service asks for a token")
        pending = Pending(self.limits.client_pending_bytes)
        client = SocketClient(self._shared, sid, access, pending=pending, feed=self._live.feed())
        self._clients[sid] = self._by_engine_sid[client.engine_sid] = client
        # A websocket that begins as one has no Engine.IO session in its address.
        environ["asgi.scope"][_CLIENT_KEY] = client

    def _on_disconnect(self, sid: str, reason: str = "") -> None:
        client = self._clients.pop(sid, None)
        self._senders.remove(sid)
        self._changes.leave(sid)
        if client is not None:
            self._by_engine_sid.pop(client.engine_sid, None)
            client.close()
            engine = self._sio.eio.sockets.get(client.engine_sid)
            if engine is not None and not engine.upgraded:
                # Engine.IO leaves the last request of a client that polls unanswered: that waits half a minute for it.
                engine.queue.put_nowait(None)

    async def _on_leave(self, sid: str, *_: bytes) -> None:
        await self._sio.emit("server_log_message", "You are now disconnected.", to=sid)
        with suppress(TimeoutError):  # it waits until the client has taken what it was sent
            async with asyncio.timeout(self.limits.patience_s):
                await self._sio.disconnect(sid)

    async def _on_ping(self, sid: str, *_: bytes) -> None:
        await self._sio.emit("pong", to=sid)

    async def _on_unknown(self, event: str, sid: str, *arguments: bytes) -> Answer:
        if event == MALFORMED:
            return _refused(RefusedError(400, "malformed", arguments[0].decode(errors="replace")))
        return _refused(RefusedError(404, "unknown_event", f"there is no message `{event[:80]}`"))

    async def _answered(self, handler: Callable[[SocketClient, bytes], Any], sid: str, *arguments: bytes) -> Answer:
        """Gives what a handler answers, and its refusals in the one form."""
        try:
            client = self._clients.get(sid)
            if client is None:
                raise RefusedError(401, "unauthorized", "this client is not connected")
            if len(arguments) != 1:
                raise RefusedError(422, "invalid", f"expected one argument, but there are {len(arguments)}")
            answer: Answer = await handler(client, arguments[0])
            return answer
        except (MlgymError, OSError) as error:
            refusal = refusal_of(error)
        except Exception:
            _logger.exception("a message of a client made the service fail")
            refusal = RefusedError(500, "internal", "the service failed; its log says how")
        # Older clients ask for no answer, but print this.
        await self._sio.emit("server_log_message", f"refused: {refusal}", to=sid)
        return _refused(refusal)

    async def _on_join(self, client: SocketClient, argument: bytes) -> Answer:
        wanted = _read(_join, argument)
        rooms = [room for room in dict.fromkeys(wanted.rooms) if room not in OLD_ROOMS]
        for room in rooms:
            self._check_readable(client, room)
        if len(client.feed.rooms | set(rooms)) > self.limits.rooms:
            raise RefusedError(
                422, "too_many_rooms", f"a client follows at most {self.limits.rooms} runs", path="rooms"
            )
        client.knows_all = isinstance(wanted.protocol, int) and wanted.protocol >= _PROTOCOL
        about = f"Client {str(wanted.client_id)[:200]} joined rooms: {', '.join(wanted.rooms)}"
        await self._sio.emit("server_log_message", about, to=client.sid)
        client.start()
        num_events = {room: await client.feed.join(room, wanted.from_event_id.get(room, 0)) for room in rooms}
        return {"num_events": num_events}

    async def _on_event(self, client: SocketClient, argument: bytes) -> Answer:
        (event_id,) = await self._store(client, [argument], ["event"], is_awaited=not isinstance(argument, Unanswered))
        return {"event_id": event_id}

    async def _on_events(self, client: SocketClient, argument: bytes) -> Answer:
        bodies = _read(_events, argument)
        if len(bodies) > self.limits.batch_events:
            message = f"a message has at most {self.limits.batch_events:,} events, but this has {len(bodies):,}"
            raise RefusedError(413, "too_large", message)
        places = [f"events[{number}]" for number in range(len(bodies))]
        ids = await self._store(client, bodies, places, is_awaited=not isinstance(argument, Unanswered))
        return {"event_ids": ids}

    async def _on_head(self, client: SocketClient, argument: bytes) -> Answer:
        asked = _read(_head, argument)
        self._check_readable(client, asked.run_id)
        folder = self.store.folder(asked.run_id)
        if asked.goes_on and client.access.allows(asked.run_id, write=True):
            self._senders.add(client.sid, folder)
            await self._senders.show(client.sid)
        head = await asyncio.to_thread(self.store.logs.head, folder.log_path)
        return {"run_id": asked.run_id, **asdict(head)}

    async def _on_follow_runs(self, client: SocketClient, argument: bytes) -> Answer:
        wanted = _read(_follow_runs, argument)
        if not client.access.allows(None, write=False):
            raise RefusedError(403, "foreign_run", "this token is for one run only")
        self._changes.leave(client.sid)
        if wanted.follows:
            await self._changes.follow(client.sid, client.tell_runs)
            if client.sid not in self._clients:  # it has gone meanwhile
                self._changes.leave(client.sid)
        return {"follows": wanted.follows}

    async def _store(
        self, client: SocketClient, bodies: Sequence[bytes], places: Sequence[str], *, is_awaited: bool
    ) -> StoredIds:
        """Checks events, all of them before any is stored, and stores them; gives their numbers in the same order."""
        by_run: dict[str, list[CheckedBody]] = {}
        runs = []
        for body, place in zip(bodies, places, strict=True):
            event = incoming(bytes(body), place)
            if event.run_id is None:
                raise RefusedError(422, "invalid_event", f"{place}: `{RUN_PATH}` says which run it is of", path=place)
            if event.run_id not in by_run:
                self._check_writable(client, event.run_id)
            by_run.setdefault(event.run_id, []).append(event.body)
            runs.append(event.run_id)
        num_bytes = sum(map(len, bodies))
        with client.pending.holding(num_bytes), self._pending.holding(num_bytes):
            stored = await asyncio.gather(
                *(self.ingest.add(run_id, group, is_awaited=is_awaited) for run_id, group in by_run.items()),
                return_exceptions=True,
            )
        ids = {}
        for run_id, found in zip(by_run, stored, strict=True):
            if isinstance(found, BaseException):
                raise found
            ids[run_id] = iter(found)
        await self._senders.show(client.sid)  # of a run that is new here
        return [next(ids[run_id]) for run_id in runs]

    def _check_readable(self, client: SocketClient, run_id: str) -> None:
        folder = self.store.folder(run_id)
        if not client.access.allows(run_id, write=False):
            raise RefusedError(403, "foreign_run", "this token is for another run", path=run_id)
        if folder.path.is_symlink() or folder.log_path.is_symlink():
            raise not_found(f"there is no run `{run_id}`")

    def _check_writable(self, client: SocketClient, run_id: str) -> None:
        self.store.folder(run_id)
        if not client.access.allows(run_id, write=True):
            raise RefusedError(403, "forbidden", "this token does not allow to write this run", path=RUN_PATH)


_T = TypeVar("_T")


def _read(decoder: msgspec.json.Decoder[_T], argument: bytes) -> _T:
    """Reads the argument of a message.

    Raises:
        RefusedError: it is not what was expected.
    """
    try:
        return decoder.decode(argument)
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        message = printable(str(error))
        raise RefusedError(422, "invalid", message, path=message.rpartition("`$")[2].strip("`.") or None) from error


def _refused(refusal: RefusedError) -> Answer:
    return {"error": {"code": refusal.code, "message": str(refusal), "path": refusal.path}}
