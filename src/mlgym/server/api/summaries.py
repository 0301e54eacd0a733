"""What the list of runs says of each run, kept from one question to the next and from one start to the next."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from mlgym.errors import EventLogError, MlgymError
from mlgym.events import MetricPoint
from mlgym.names import LOG_FILE, SAFE_NAME
from mlgym.server.api.table import Table, value_of
from mlgym.server.notes_log import Notes
from mlgym.server.projection import snapshot
from mlgym.server.projection.projection import Stamp, View, is_written, stamp_of
from mlgym.server.projection.projections import CACHE_FOLDER, Projections, is_own_cache
from mlgym.server.projection.reader import Reader
from mlgym.server.projection.sketch import sketch_of
from mlgym.tracking import RunFolder, write_atomically

_FILE: Final = "summaries.msgpack"
_MAX_METRICS: Final = 50
_WORTH_SAVING: Final = 20
# To open a log and to say what is in it takes as long as to read so much.
_BYTES_OF_A_LOG: Final = 2**14
_NO_COUNTS: Final = dict.fromkeys(("waiting", "running", "done", "failed", "interrupted"), 0)


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """What was found in a log.

    Args:
        stamp: of the log as it was.
        facts: a `RunSummary` without what people wrote, as if the run were alive.
        longest_silence_s: see `is_written`.
        can_crash: whether the run has not ended.
    """

    stamp: Stamp
    facts: dict[str, Any]
    longest_silence_s: float
    can_crash: bool


class _File(msgspec.Struct):
    code: str
    summaries: dict[str, Summary]


class Summaries:
    """The summaries of the runs in a storage folder; any thread may use it.

    Args:
        storage: the folder.
        projections: the runs in memory.
        reader: reads the logs that take long.
        at_once_bytes: how much is read at most before the list is answered; each log counts a little more than it has.
    """

    def __init__(self, storage: Path, projections: Projections, reader: Reader, *, at_once_bytes: int) -> None:
        self._storage = storage
        self._projections = projections
        self._reader = reader
        self._at_once_bytes = at_once_bytes
        self._sketches: dict[Path, tuple[Stamp, dict[str, Any]]] = {}
        # While it is in memory: it may have to make room for the next one.
        reader.on_read.append(self._note)
        self._path = storage / CACHE_FOLDER / _FILE
        self._known: dict[Path, Summary] | None = None
        self._num_new = 0

    def all(self, only: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Yields the facts of each run, in no order; see `of_all`.

        Args:
            only: ids of the runs that are wanted; empty for all.
        """
        for _, facts in self.of_all(self._folders(only)):
            yield facts
        if self._num_new >= _WORTH_SAVING:
            self.save()

    def of_all(self, folders: Iterable[RunFolder]) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
        """Yields the facts of runs, in no order; a run whose log cannot be read has a `problem`.

        Where more is to be read than can be waited for, small and new logs are read; of the others it is said what
        their ends say, and how far they are `reading`, which goes on in the background.
        """
        unread: list[tuple[int, int, int, RunFolder]] = []
        for folder in folders:
            path = folder.log_path
            try:
                stamp, known = stamp_of(path), self._all_known().get(path)
                if known is not None and known.stamp == stamp:
                    yield folder, _as_it_is(path, known)
                    continue
                num_unread = self._projections.num_unread(path)
            except OSError as error:
                yield folder, _unreadable(folder.run_id, str(error.strerror))
                continue
            if num_unread:
                unread.append((num_unread.bit_length(), -stamp.changed_ns, num_unread, folder))
            else:
                yield folder, self.of(folder)
        left = self._at_once_bytes
        for _, _, num_unread, folder in sorted(unread, key=lambda one: one[:2]):
            left -= num_unread + _BYTES_OF_A_LOG
            is_read_now = left >= 0 or self._reader.cannot_read(folder)
            yield folder, self.of(folder) if is_read_now else self._being_read(folder)

    def of(self, folder: RunFolder) -> dict[str, Any]:
        """Gives the facts of a run, once its log was read."""
        try:
            found = self._fresh(folder)
        except (MlgymError, OSError) as error:
            reason = error if isinstance(error, MlgymError) else error.strerror
            return _unreadable(folder.run_id, str(reason))
        return _as_it_is(folder.log_path, found)

    def save(self) -> None:
        """Keeps what was found for the next start; where the disk refuses, it is found anew then."""
        known = self._all_known()
        named = {path.parent.name: one for path, one in list(known.items()) if path.parent.parent == self._storage}
        if not self._num_new or not is_own_cache(self._storage):
            return
        self._num_new = 0
        with suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            write_atomically(self._path, msgspec.msgpack.encode(_File(_code(), named)))

    def _note(self, folder: RunFolder) -> None:
        self.of(folder)
        self._sketches.pop(folder.log_path, None)

    def _being_read(self, folder: RunFolder) -> dict[str, Any]:
        """Gives what is known of a run before its log was read, and has it read."""
        try:
            self._reader.want(folder)
            progress, facts = self._reader.progress(folder), self._sketched(folder)
        except (MlgymError, OSError):  # it is gone by now, or will be found to be unreadable
            return self.of(folder)
        reading = {"bytes_read": progress.bytes_read, "num_bytes": progress.num_bytes}
        return facts | {"num_events": progress.num_events, "reading": reading}

    def _sketched(self, folder: RunFolder) -> dict[str, Any]:
        path = folder.log_path
        stamp, before = stamp_of(path), self._sketches.get(path)
        if before is None or before[0] != stamp:
            state = sketch_of(path)
            view = View(state, state.num_events, is_now=True, is_live=is_written(path, 0.0), memory={})
            # No number of one or two experiments is taken for that of all.
            missing: dict[str, Any] = {"counts": _NO_COUNTS, "metrics": [], "reproduction": None}
            self._sketches[path] = before = (stamp, summary_of(view, folder.run_id) | missing)
        return before[1]

    def _fresh(self, folder: RunFolder) -> Summary:
        known, path = self._all_known(), folder.log_path
        found = known.get(path)
        if found is not None and found.stamp == stamp_of(path):
            return found
        with self._projections.hold_folder(folder) as projection:
            view, stamp = replace(projection.view(), is_live=True), projection.stamp
            assert stamp is not None
            can_crash = view.state.status == "running"
            found = Summary(stamp, summary_of(view, folder.run_id), projection.longest_silence_s, can_crash)
        known[path] = found
        self._num_new += 1
        return found

    def _all_known(self) -> dict[Path, Summary]:
        if self._known is None:
            self._known = {}
            with suppress(OSError, msgspec.MsgspecError):
                file = msgspec.msgpack.decode(self._path.read_bytes(), type=_File)
                if file.code == _code():
                    self._known = {self._storage / name / LOG_FILE: one for name, one in file.summaries.items()}
        return self._known

    def _folders(self, only: Sequence[str]) -> Iterator[RunFolder]:
        for name in self._names(only):
            folder = RunFolder(self._storage, name)
            if folder.log_path.is_file() and not folder.log_path.is_symlink():
                yield folder

    def _names(self, only: Sequence[str]) -> list[str]:
        if only:
            safe = [name for name in dict.fromkeys(only) if SAFE_NAME.fullmatch(name)]
            return [name for name in safe if not (self._storage / name).is_symlink()]
        try:
            entries = [entry for entry in os.scandir(self._storage) if SAFE_NAME.fullmatch(entry.name)]
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError as error:
            raise EventLogError(f"the storage folder cannot be read: {error.strerror}") from error


def _as_it_is(path: Path, found: Summary) -> dict[str, Any]:
    """Gives the facts of a run, with what a log cannot say: that the run died."""
    if found.can_crash and not is_written(path, found.longest_silence_s):
        return found.facts | crashed(found.facts)
    return found.facts


@cache
def _code() -> str:
    """Gives a hash of everything that decides what a summary says."""
    return snapshot.code() + sha256(Path(__file__).read_bytes()).hexdigest()


def summary_of(view: View, run_id: str) -> dict[str, Any]:
    """Gives a `RunSummary` without what people wrote.

    Args:
        view: the run; its projection is held.
        run_id: the name of its folder.
    """
    state, table = view.state, Table.of(view)
    facts = {
        "run_id": run_id,
        "name": state.name,
        "status": state.status,
        "tags": [],
        "notes": "",
        "validation_mode": state.validation_mode,
        "num_experiments": max(state.num_experiments or 0, len(state.experiments)),
        "counts": dict(state.counts),
        "created_at": state.first_event_at,
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "last_event_at": state.last_event_at,
        "duration_s": _duration(state.started_at, state.finished_at),
        "num_events": state.num_events,
        "selected_metric": table.selection.metric if table.selection else None,
        "reproduces": state.reproduces,
        "reproduction": _reproduction(table),
        "metrics": [metric for key in table.metrics[:_MAX_METRICS] if (metric := run_metric(table, key)) is not None],
        "is_trashed": False,
        "problem": None if state.damage is None else state.damage.explained(run_id),
        "reading": None,
    }
    return facts | crashed(facts) if view.is_crashed else facts


def run_metric(table: Table, key: str) -> dict[str, Any] | None:
    """Gives a `RunMetric`; None where no value counts."""
    direction = table.directions[key]
    latest: tuple[int, MetricPoint, int] | None = None
    best: tuple[float, MetricPoint, int] | None = None
    for one in table.experiments:
        history = one.metrics.get(key)
        if not history:
            continue
        event_id = history.measured.event_ids[history.rows[-1]]
        if latest is None or event_id > latest[0]:
            latest = event_id, history[-1], one.experiment_id
        point = one.best(key, direction)
        rank = None if point is None else point.value if direction == "min" else -point.value
        if point is not None and rank is not None and (best is None or rank < best[0]):
            best = rank, point, one.experiment_id
    if latest is None:
        return None
    return {
        "key": key,
        "direction": direction,
        "latest": value_of(latest[1]),
        "latest_experiment": latest[2],
        "best": value_of(best[1]) if best else None,
        "best_experiment": best[2] if best else None,
    }


def _reproduction(table: Table) -> dict[str, Any] | None:
    if all(one.reproduction is None for one in table.experiments):
        return None
    from mlgym.validation.report.reproductions import reproduction_summary  # longer to import than a service to start

    found = reproduction_summary(table.experiments)
    if found is None:
        return None
    record = found.record
    return {
        "verdict": found.verdict,
        "num_identical": found.num_identical,
        "num_within_tolerance": found.num_within_tolerance,
        "num_diverged": found.num_diverged,
        "experiment_id": found.experiment_id,
        "epoch": record.epoch,
        "original_run_id": record.original_run_id,
        "new_run_id": record.new_run_id,
    }


def crashed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Gives what of a summary is another where the run died."""
    counts = Counter(facts["counts"])
    counts["interrupted"] += counts["running"]
    return {"status": "crashed", "counts": dict(counts) | {"running": 0}}


def with_notes(facts: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    """Gives a summary with what people wrote."""
    own = {"tags": list(notes.tags), "notes": notes.notes}
    return {**facts, **own, "name": notes.name or facts["name"]}


def _duration(started_at: float | None, finished_at: float | None) -> float | None:
    return None if started_at is None or finished_at is None else max(0.0, finished_at - started_at)


def _unreadable(run_id: str, problem: str) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("name", "validation_mode", "created_at", "started_at", "finished_at", "last_event_at", "duration_s",
         "selected_metric", "reproduces", "reproduction", "reading")
    )  # fmt: skip
    return nothing | {
        "run_id": run_id,
        "status": "crashed",
        "tags": [],
        "notes": "",
        "num_experiments": 0,
        "counts": _NO_COUNTS,
        "num_events": 0,
        "metrics": [],
        "is_trashed": False,
        "problem": problem,
    }
