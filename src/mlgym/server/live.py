"""Events out: histories, then what comes, without a gap and without a repeat.

A client has a place in each log that it follows, and is given what stands from there on. Nothing is queued for it: one
that is slow is behind, and what it has missed still stands in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from mlgym.errors import EventLogError
from mlgym.server.follow import LogFollower
from mlgym.server.store import HubStore

DELIVERY_BYTES: Final = 64 * 2**10
"""What is handed to a client at a time, unless a single event is longer."""
_POLL_S: Final = 0.05
_IDLE_POLL_S: Final = 0.5
_IDLE_AFTER_POLLS: Final = 200
_LOOK_PACE_S: Final = 0.005
_NUM_THREADS: Final = 4
_NOT_LOOKED_AT: Final = (-1, -1)


class Delivery(NamedTuple):
    """Lines of a log, the first of which is event `start`.

    Args:
        run_id: whose log it is.
        start: the number of the first event.
        lines: as they stand.
        is_history: whether they stood when the client joined.
        num_rewinds: how often the log had been found to be another one: tells its lines from earlier ones.
    """

    run_id: str
    start: int
    lines: Sequence[bytes]
    is_history: bool
    num_rewinds: int


class Resync(NamedTuple):
    """A client has to join a run again.

    Args:
        run_id: the run.
        start: from which event on; what it has with this number and higher ones is void.
    """

    run_id: str
    start: int


@dataclass(eq=False, slots=True)
class _Watched:
    """A log that somebody follows."""

    path: Path
    follower: LogFollower
    feeds: set[Feed] = field(default_factory=set)
    is_dirty: bool = False
    task: asyncio.Task[None] | None = None
    stamp: tuple[int, int] | None = _NOT_LOOKED_AT
    num_quiet_polls: int = 0


@dataclass(slots=True)
class _Place:
    """How far a client has got with a run."""

    watched: _Watched
    next_id: int
    history_end: int
    num_rewinds: int


class Live:
    """Follows the logs that clients want, whoever writes them, in one event loop."""

    def __init__(self, store: HubStore) -> None:
        """Makes it; `run` has to run for what other processes write to be seen.

        Args:
            store: where runs are.
        """
        self._store = store
        self._watched: dict[Path, _Watched] = {}
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="live")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._somebody = asyncio.Event()

    async def run(self) -> None:
        """Looks at the logs until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        self._store.logs.on_append.append(self._on_append)
        try:
            while True:
                await self._somebody.wait()
                await asyncio.sleep(_POLL_S)
                due = [one for one in self._watched.values() if _is_due(one)]
                stamps = await self._loop.run_in_executor(self._threads, _stamps_of, due)
                for watched, stamp in zip(due, stamps, strict=True):
                    self._note(watched, stamp)
        finally:
            self._store.logs.on_append.remove(self._on_append)
            self._threads.shutdown(wait=False)

    @property
    def followed(self) -> list[Path]:
        """The logs that somebody follows."""
        return list(self._watched)

    def feed(self) -> Feed:
        """Gives a client's feed, which follows nothing yet."""
        return Feed(self)

    async def lines(self, watched: _Watched, start: int) -> Sequence[bytes]:
        """Gives what stands from an event on, about `DELIVERY_BYTES` of it.

        Raises:
            EventLogError: the log cannot be read.
        """
        if kept := watched.follower.view.lines(start, DELIVERY_BYTES):
            return kept
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, watched.follower.lines, start, DELIVERY_BYTES)

    async def watch(self, run_id: str, feed: Feed) -> _Watched:
        """Begins to follow a run for a feed, and has looked at it once."""
        path = self._store.folder(run_id).log_path
        watched = self._watched.get(path)
        if watched is None:
            watched = self._watched[path] = _Watched(path, self._store.logs.watch(path))
            self._somebody.set()
        watched.feeds.add(feed)
        await self._look(watched)
        return watched

    def unwatch(self, watched: _Watched, feed: Feed) -> None:
        """Ends to follow a run for a feed."""
        watched.feeds.discard(feed)
        if not watched.feeds and self._watched.pop(watched.path, None) is not None:
            self._store.logs.unwatch(watched.path)
            if not self._watched:
                self._somebody.clear()

    def _on_append(self, path: Path) -> None:
        # In the thread that has appended. The look itself may read a long log, for which no producer should wait.
        if path in self._watched and self._loop is not None:
            self._loop.call_soon_threadsafe(self._mark, path)

    def _mark(self, path: Path) -> None:
        watched = self._watched.get(path)
        if watched is not None:
            watched.is_dirty = True
            if watched.task is None:
                watched.task = asyncio.create_task(self._look_while_dirty(watched))

    def _note(self, watched: _Watched, stamp: tuple[int, int] | None) -> None:
        if stamp != watched.stamp:
            watched.stamp, watched.num_quiet_polls = stamp, 0
            self._mark(watched.path)

    async def _look_while_dirty(self, watched: _Watched) -> None:
        while watched.is_dirty:
            watched.is_dirty = False
            await self._look(watched)
            await asyncio.sleep(_LOOK_PACE_S)  # what comes meanwhile is seen in one look
        watched.task = None

    async def _look(self, watched: _Watched) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._store.logs.look, watched.path)
        except EventLogError:
            watched.stamp = _NOT_LOOKED_AT  # the next poll tries again
        for feed in watched.feeds:
            feed.wake()


class Feed:
    """What one client follows, for one task that takes from it."""

    def __init__(self, live: Live) -> None:
        """Use `Live.feed`."""
        self._live = live
        self._places: dict[str, _Place] = {}
        self._resyncs: list[Resync] = []
        self._is_closed = False
        self._news = asyncio.Event()

    @property
    def rooms(self) -> set[str]:
        """The runs that are followed."""
        return set(self._places)

    async def join(self, run_id: str, start: int) -> int:
        """Follows a run from event `start` on, or from there anew, and gives how many events stand.

        Raises:
            InvalidNameError: it can be no run id.
        """
        self._leave(run_id)
        watched = await self._live.watch(run_id, self)
        if self._is_closed:  # the client has gone meanwhile
            self._live.unwatch(watched, self)
            return 0
        view = watched.follower.view
        self._places[run_id] = _Place(watched, start, view.num_events, view.num_rewinds)
        if start > view.num_events:  # what the client has came from another log
            self._resyncs.append(self._void(run_id, 0))
        self.wake()
        return view.num_events

    def stop(self) -> list[Resync]:
        """Ends following everything, and gives where each run would have gone on."""
        places = [Resync(run_id, place.next_id) for run_id, place in self._places.items()]
        for run_id in list(self._places):
            self._leave(run_id)
        return places

    def close(self) -> None:
        """Ends following everything, for good."""
        self._is_closed = True
        self.stop()

    def wake(self) -> None:
        """Has `next` look again."""
        self._news.set()

    async def next(self) -> Delivery | Resync:
        """Waits for something that the client does not have yet, and gives it; runs take turns.

        Raises:
            EventLogError: a log cannot be read; the place in it stays as it is.
        """
        while True:
            self._news.clear()
            if self._resyncs:
                return self._resyncs.pop(0)
            for run_id in list(self._places):
                if (delivery := await self._take(run_id)) is not None:
                    return delivery
            await self._news.wait()

    async def _take(self, run_id: str) -> Delivery | Resync | None:
        place = self._places.get(run_id)
        if place is None:
            return None
        view = place.watched.follower.view
        if view.num_rewinds != place.num_rewinds:
            return self._void(run_id, 0)
        if place.next_id >= view.num_events:
            return None
        start = place.next_id
        lines = await self._live.lines(place.watched, start)
        is_current = self._places.get(run_id) is place
        if not lines or not is_current or place.watched.follower.view.num_rewinds != place.num_rewinds:
            return None  # it was joined anew meanwhile, or its log is another one: the next look sees
        # To the end of the running dict: the other runs come first the next time.
        self._places[run_id] = self._places.pop(run_id)
        place.next_id = start + len(lines)
        return Delivery(run_id, start, lines, start < place.history_end, place.num_rewinds)

    def _void(self, run_id: str, start: int) -> Resync:
        self._leave(run_id)
        return Resync(run_id, start)

    def _leave(self, run_id: str) -> None:
        place = self._places.pop(run_id, None)
        if place is not None:
            self._live.unwatch(place.watched, self)


def _is_due(watched: _Watched) -> bool:
    """Tells whether a log is looked at in this round: every time while it grows, seldom once it has stood still."""
    every = round(_IDLE_POLL_S / _POLL_S) if watched.num_quiet_polls > _IDLE_AFTER_POLLS else 1
    watched.num_quiet_polls += 1
    return watched.num_quiet_polls % every == 0


def _stamps_of(logs: Sequence[_Watched]) -> list[tuple[int, int] | None]:
    stamps: list[tuple[int, int] | None] = []
    for watched in logs:
        try:
            status = watched.path.stat()
            stamps.append((status.st_ino, status.st_size))
        except OSError:
            stamps.append(None)
    return stamps
