"""The runs of a storage folder in memory, each from when it is first asked for until others need the room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mlgym.errors import EventLogError
from mlgym.server.projection import snapshot
from mlgym.server.projection.projection import Projection, stamp_of
from mlgym.server.store import HubStore
from mlgym.tracking import RunFolder

CACHE_FOLDER: Final = ".cache"
"""Within the storage folder; may be removed at any time."""
_SUFFIX: Final = ".snapshot"
_WORTH_A_SNAPSHOT: Final = 20_000
_GROWTH: Final = 0.25
_MAX_POINTS: Final = 30_000_000


class Projections:
    """The runs that are in memory.

    Args:
        store: where runs are.
        max_points: values of metrics that are held at most, over all runs; one run may have more.
    """

    def __init__(self, store: HubStore, *, max_points: int = _MAX_POINTS) -> None:
        self._store = store
        self._max_points = max_points
        self._held: OrderedDict[Path, Projection] = OrderedDict()
        self._num_points: dict[Path, int] = {}
        self._num_saved: dict[Path, int] = {}
        self._counted_at: dict[Path, int] = {}
        self._mutex = threading.Lock()

    @contextmanager
    def hold(self, run_id: str) -> Iterator[Projection]:
        """Gives a run as its log says now; nobody else changes it meanwhile.

        Raises:
            InvalidNameError: it can be no run id.
            RefusedError: there is no such run.
            EventLogError: its log cannot be read.
        """
        with self.hold_folder(self._store.run(run_id)) as projection:
            yield projection

    @contextmanager
    def hold_folder(self, folder: RunFolder) -> Iterator[Projection]:
        """Gives the run in a folder; else as `hold`."""
        projection = self._projection(folder.log_path)
        with projection.lock:
            if projection.refresh():
                self._grown(projection)
            yield projection

    def held(self, log_path: Path) -> Projection | None:
        """Gives a run that is in memory; how far it was read may be looked at without its lock."""
        with self._mutex:
            return self._held.get(log_path)

    def num_unread(self, log_path: Path) -> int:
        """Gives how many bytes of a log are not in memory, without waiting for whoever reads it.

        Raises:
            OSError: there is no such log.
        """
        stamp, projection = stamp_of(log_path), self.held(log_path)
        known = projection.stamp if projection is not None else None
        if stamp == known:
            return 0
        if projection is None or (known is not None and known.inode != stamp.inode):
            return stamp.num_bytes
        return max(0, stamp.num_bytes - projection.num_bytes)

    def read_on(self, folder: RunFolder, max_bytes: int) -> bool:
        """Reads a piece of a log into memory, and tells whether that was the last one.

        Raises:
            EventLogError: it cannot be read.
        """
        projection = self._projection(folder.log_path)
        with projection.lock:
            projection.refresh(max_bytes)
            if projection.is_read:
                self._grown(projection)
            return projection.is_read

    def close(self) -> None:
        """Keeps what was read for the next start."""
        with self._mutex:
            held = list(self._held.values())
        for projection in held:
            with projection.lock:
                self._save(projection, worth=_WORTH_A_SNAPSHOT)

    def snapshot_path(self, log_path: Path) -> Path:
        """Gives where the snapshot of a log is or would be."""
        return self._store.storage / CACHE_FOLDER / f"{log_path.parent.name}{_SUFFIX}"

    def _projection(self, log_path: Path) -> Projection:
        with self._mutex:
            projection = self._held.get(log_path)
            if projection is not None:
                self._held.move_to_end(log_path)
                return projection
        has_snapshot = self._is_run(log_path) and is_own_cache(self._store.storage)
        loaded = snapshot.load(log_path, self.snapshot_path(log_path)) if has_snapshot else None
        with self._mutex:
            projection = self._held.get(log_path)
            if projection is not None:  # another thread was faster, and may be reading it by now
                return projection
            if loaded is not None:
                self._num_saved[log_path] = loaded.state.num_events
            projection = self._held[log_path] = loaded or Projection(log_path)
            self._make_room(projection)
            return projection

    def _is_run(self, log_path: Path) -> bool:
        # Runs in the trash have numbers for names.
        return log_path.parent.parent == self._store.storage

    def _grown(self, projection: Projection) -> None:
        path = projection.path
        self._save(projection, worth=max(_WORTH_A_SNAPSHOT, int(_GROWTH * self._num_saved.get(path, 0))))
        num_events = projection.state.num_events
        # Counting looks at every metric: not for each event of a live run.
        if num_events > 1.05 * self._counted_at.get(path, 0):
            self._counted_at[path] = num_events
            with self._mutex:
                self._make_room(projection)

    def _make_room(self, wanted: Projection) -> None:
        self._num_points[wanted.path] = wanted.num_points
        for path in list(self._held):
            if path == wanted.path or sum(self._num_points.values()) <= self._max_points:
                return
            del self._held[path], self._num_points[path]

    def _save(self, projection: Projection, *, worth: int) -> None:
        num_new = projection.state.num_events - self._num_saved.get(projection.path, 0)
        if num_new < worth or not self._is_run(projection.path) or not is_own_cache(self._store.storage):
            return
        with suppress(OSError, EventLogError):
            snapshot.save(projection, self.snapshot_path(projection.path))
            self._num_saved[projection.path] = projection.state.num_events


def is_own_cache(storage: Path) -> bool:
    """Tells whether the cache folder lies in the storage folder, or would: nothing is written where a link leads."""
    return not (storage / CACHE_FOLDER).is_symlink()
