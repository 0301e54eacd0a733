"""Which runs of the storage folder have changed, for those who show the list of them.

One look a second at what the file system says serves all of them, whoever writes the logs; nothing is read. A run is
named, and what is new about it is asked for by REST: only that run, and only by those who show it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from mlgym.errors import EventLogError
from mlgym.events import has_writer
from mlgym.names import LOG_FILE, SAFE_NAME
from mlgym.server.notes_log import NOTES_FILE
from mlgym.server.senders import has_sender

_EVERY_S: Final = 1.0
_GROWTH_EVERY_S: Final = 5.0
"""How often a run is named whose log only grows: to say what is in it costs more than to see that it grew."""
_FRESH_S: Final = 60.0
_MAX_NAMED: Final = 100

_logger: Final = logging.getLogger(__name__)

Tell = Callable[[list[str] | None], Awaitable[bool]]
"""Sends the ids of runs, None for all, and gives whether it could; they are sent with the next ones where not."""


class _Mark(NamedTuple):
    """What tells whether a run has changed: its log, and whether somebody is at it."""

    inode: int
    num_bytes: int
    changed_ns: int
    is_held: bool


@dataclass(eq=False, slots=True)
class _Follower:
    """Somebody who shows the list, and what has not been told yet."""

    tell: Tell
    run_ids: set[str] | None = field(default_factory=set)


class StorageWatch:
    """What each look finds changed since the one before; one thread at a time uses it.

    Args:
        storage: the folder of all runs.
        clock: gives the time, in s.
    """

    def __init__(self, storage: Path, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._clock = clock
        self._marks: dict[str, _Mark] = {}
        self._named_at: dict[str, float] = {}
        self._notes: tuple[int, int] | None = None

    def look(self) -> set[str] | None:
        """Gives the ids of runs that changed, came or went; None where people wrote on them, which may be any."""
        now, notes = self._clock(), _stamp(self._storage / NOTES_FILE)
        found = dict(self._found(now))
        changed = {run_id for run_id, mark in found.items() if self._is_news(run_id, mark, now)}
        # A growth that is not named yet must look like one the next time.
        waiting = {run_id: self._marks[run_id] for run_id in found if run_id in self._marks and run_id not in changed}
        changed |= self._marks.keys() - found.keys()
        self._marks = found | waiting
        self._named_at = {run_id: at for run_id, at in self._named_at.items() if run_id in found}
        self._named_at |= dict.fromkeys(changed & found.keys(), now)
        if notes != self._notes:
            self._notes = notes
            return None
        return changed

    def _found(self, now: float) -> list[tuple[str, _Mark]]:
        found = []
        try:
            entries = list(os.scandir(self._storage))
        except OSError:
            return []
        for entry in entries:
            if not SAFE_NAME.fullmatch(entry.name):
                continue
            path = self._storage / entry.name / LOG_FILE
            try:
                status = path.lstat()
            except OSError:
                continue
            before = self._marks.get(entry.name)
            # Whoever takes a run up writes to its log: of those that stand still it is not asked again and again.
            may_be_held = before is None or before.is_held or now - status.st_mtime < _FRESH_S
            is_held = may_be_held and _is_held(path)
            found.append((entry.name, _Mark(status.st_ino, status.st_size, status.st_mtime_ns, is_held)))
        return found

    def _is_news(self, run_id: str, mark: _Mark, now: float) -> bool:
        before = self._marks.get(run_id)
        if mark == before:
            return False
        has_only_grown = before is not None and (mark.inode, mark.is_held) == (before.inode, before.is_held)
        return not (has_only_grown and 0 <= now - self._named_at.get(run_id, 0.0) < _GROWTH_EVERY_S)


class RunChanges:
    """Tells followers which runs have changed, in one event loop."""

    def __init__(self, storage: Path) -> None:
        """Makes it; `run` has to run for anybody to be told.

        Args:
            storage: the folder of all runs.
        """
        self._storage = storage
        self._watch: StorageWatch | None = None
        self._followers: dict[str, _Follower] = {}
        self._somebody = asyncio.Event()

    async def run(self) -> None:
        """Looks and tells until it is cancelled."""
        while True:
            await self._somebody.wait()
            await asyncio.sleep(_EVERY_S)
            if self._watch is None:
                continue
            try:
                await self._tell(await asyncio.to_thread(self._watch.look))
            except Exception:  # whatever it is, the next look comes
                _logger.exception("what changed in the storage could not be told")

    async def follow(self, client: str, tell: Tell) -> None:
        """Has a client told of what changes from now on.

        Args:
            client: its session.
            tell: called once a second at most.
        """
        watch = self._watch
        if watch is None:
            watch = StorageWatch(self._storage)
            await asyncio.to_thread(watch.look)
        if self._watch is None:  # another one may have come meanwhile
            self._watch = watch
        self._followers[client] = _Follower(tell)
        self._somebody.set()

    def leave(self, client: str) -> None:
        """Ends it; what changes while nobody is told is not looked at."""
        if self._followers.pop(client, None) is not None and not self._followers:
            self._watch = None
            self._somebody.clear()

    async def _tell(self, changed: set[str] | None) -> None:
        for follower in list(self._followers.values()):
            known = follower.run_ids
            follower.run_ids = None if changed is None or known is None else known | changed
            if follower.run_ids is not None and len(follower.run_ids) > _MAX_NAMED:
                follower.run_ids = None
            if follower.run_ids == set():
                continue
            if await follower.tell(None if follower.run_ids is None else sorted(follower.run_ids)):
                follower.run_ids = set()


def _is_held(log_path: Path) -> bool:
    try:
        return has_writer(log_path) or has_sender(log_path.parent)
    except EventLogError:
        return False


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
