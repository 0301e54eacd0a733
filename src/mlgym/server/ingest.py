"""Events into logs: one writer per run, and one wait for the disk for all that came meanwhile.

Where another process writes the log of a run, such as `mlgym run` in the same storage, nothing is written here: an
event counts as stored once it stands there, and is refused for now where it does not come to stand there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from mlgym.errors import LogInUseError
from mlgym.events.log import CheckedBody
from mlgym.server.store import HubStore

_MAX_COMMIT_EVENTS: Final = 20_000
_GATHER_S: Final = 0.005
_LOOK_EVERY_S: Final = 0.02
_TRY_LOCK_EVERY_S: Final = 0.2
_NUM_THREADS: Final = 4

StoredIds = list[int | None]
"""For each event its number in the log, or None where it was stored before."""


@dataclass(eq=False, slots=True)
class _Group:
    """Events that are stored together."""

    bodies: Sequence[CheckedBody]
    at: int | None
    is_awaited: bool
    came_at: float
    stored: asyncio.Future[StoredIds]


@dataclass(slots=True)
class _Lane:
    """What waits for the log of one run."""

    waiting: list[_Group] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    # While another process writes the log, its lock is tried seldom: not before this time of the loop's clock.
    locked_until: float = 0.0


class Ingest:
    """Takes groups of events for the runs of a store, in one event loop.

    Attributes:
        num_commits: how often events were written.
    """

    def __init__(self, store: HubStore, *, in_use_s: float = 1.0) -> None:
        """Makes it; nothing runs until events come.

        Args:
            store: where runs are.
            in_use_s: how long events wait while another process writes their log, in s.
        """
        self.num_commits = 0
        self._store = store
        self._in_use_s = in_use_s
        self._lanes: dict[str, _Lane] = {}
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="ingest")

    async def add(
        self, run_id: str, bodies: Sequence[CheckedBody], *, at: int | None = None, is_awaited: bool = True
    ) -> StoredIds:
        """Stores events and returns once they are durable; calls for one run are served in their order.

        Args:
            run_id: the run; made where it is missing.
            bodies: events that `incoming` has checked.
            at: how many events the log must have; None for any number.
            is_awaited: whether the sender waits for them to be stored; others may wait for more of their kind.

        Raises:
            RefusedError: it has another number of events.
            InvalidNameError: it can be no run id.
            EventLogError: none of them is stored; a `LogInUseError` where another process writes the log.
            RunError: the run cannot be made.
        """
        self._store.folder(run_id)
        loop = asyncio.get_running_loop()
        group = _Group(bodies, at, is_awaited, loop.time(), loop.create_future())
        lane = self._lanes.setdefault(run_id, _Lane())
        lane.waiting.append(group)
        if lane.task is None:
            lane.task = asyncio.create_task(self._serve(run_id, lane))
        return await group.stored

    async def close(self) -> None:
        """Waits until nothing is left to be written."""
        while tasks := [lane.task for lane in self._lanes.values() if lane.task is not None]:
            await asyncio.wait(tasks)
        self._threads.shutdown()

    async def _serve(self, run_id: str, lane: _Lane) -> None:
        while lane.waiting:
            if not any(group.is_awaited for group in lane.waiting):
                await asyncio.sleep(_GATHER_S)
            groups = _take(lane.waiting)
            try:
                await self._store_groups(run_id, lane, groups)
            except Exception as error:  # whatever it is, nobody may wait for ever
                _fail(groups, error)
        lane.task = None
        if asyncio.get_running_loop().time() >= lane.locked_until:
            del self._lanes[run_id]

    async def _store_groups(self, run_id: str, lane: _Lane, groups: list[_Group]) -> None:
        loop = asyncio.get_running_loop()
        while groups:
            if loop.time() >= lane.locked_until:
                try:
                    await self._commit(run_id, groups)
                    return
                except LogInUseError as error:
                    lane.locked_until = loop.time() + _TRY_LOCK_EVERY_S
                    late = [group for group in groups if loop.time() - group.came_at > self._in_use_s]
                    _fail(late, error)
            if lane.waiting and lane.waiting[0].at is groups[0].at is None:
                groups += _take(lane.waiting)
            await self._settle_standing(run_id, groups)
            groups[:] = [group for group in groups if not group.stored.done()]
            if groups:
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _commit(self, run_id: str, groups: Sequence[_Group]) -> None:
        merged = groups[0].bodies if len(groups) == 1 else [body for group in groups for body in group.bodies]
        self.num_commits += 1
        ids = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._append, run_id, merged, groups[0].at
        )
        start = 0
        for group in groups:
            _settle(group, ids[start : start + len(group.bodies)])
            start += len(group.bodies)

    def _append(self, run_id: str, bodies: Sequence[CheckedBody], at: int | None) -> StoredIds:
        return self._store.logs.append(self._store.make_run(run_id).log_path, bodies, at=at)

    async def _settle_standing(self, run_id: str, groups: Sequence[_Group]) -> None:
        """Answers the groups whose events all stand in the log that another process writes."""
        path = self._store.folder(run_id).log_path
        loop = asyncio.get_running_loop()
        follower = await loop.run_in_executor(self._threads, self._store.logs.look, path)
        seen = await loop.run_in_executor(self._threads, follower.origins)
        for group in groups:
            if all(origin is not None and origin in seen for _, origin in group.bodies):
                _settle(group, [None] * len(group.bodies))


def _take(waiting: list[_Group]) -> list[_Group]:
    """Takes the first groups, as many as are written at a time; one that has its place alone."""
    num_groups = num_events = 0
    for group in waiting:
        num_events += len(group.bodies)
        has_place = group.at is not None or waiting[0].at is not None
        if num_groups and (has_place or num_events > _MAX_COMMIT_EVENTS):
            break
        num_groups += 1
    taken = waiting[:num_groups]
    del waiting[:num_groups]
    return taken


def _settle(group: _Group, ids: StoredIds) -> None:
    if not group.stored.done():  # whoever waited may be gone
        group.stored.set_result(ids)


def _fail(groups: Sequence[_Group], error: Exception) -> None:
    for group in groups:
        if not group.stored.done():
            group.stored.set_exception(error)
