"""Finding the checkpoint from which an experiment goes on, and putting its folder and the log in step with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from torch import Tensor

from mlgym.errors import PlaceError, TrainingError
from mlgym.tracking.backoff import Backoff
from mlgym.tracking.manifest import FileEntry, remove_checkpoint
from mlgym.training.agreement import Agreement
from mlgym.training.checkpoint import (
    CheckpointContent,
    StoredCheckpoint,
    age_of,
    list_checkpoints,
    read_checkpoint,
    tidy,
)
from mlgym.training.checkpoint_courier import Courier
from mlgym.training.checkpoint_shards import Target, is_share
from mlgym.training.context import ExperimentContext
from mlgym.training.reporting import Reporter
from mlgym.training.state_codec import restore

STATE_FORMAT: Final = 1
"""How `state.json` is to be read; the next number wherever what is in there changes."""
_PATIENCE_S: Final = 120.0
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint to go on from.

    Args:
        path: where it lies.
        weights: parameters and buffers by name, of a process that reads shares its own.
        state: everything else.
        in_shares: whether each process reads its own share of it.
    """

    path: Path
    weights: Mapping[str, Tensor]
    state: dict[str, Any]
    in_shares: bool = False


class Resumption:
    """One attempt to go on with an experiment.

    Args:
        folder: its checkpoints' folder, which nobody else writes to.
        context: the surroundings.
        reporter: is told what is found.
        courier: knows the place where checkpoints stand beside the folder; None for none.
        target: makes what tensors are read into that were written in shares; None for whole ones.
    """

    def __init__(
        self,
        folder: Path,
        context: ExperimentContext,
        reporter: Reporter,
        courier: Courier | None = None,
        target: Target | None = None,
    ) -> None:
        self._folder = folder
        self._context = context
        self._reporter = reporter
        self._courier = courier
        self._target = target
        self._elsewhere: dict[str, dict[str, FileEntry]] = {}
        tidy(folder)
        if courier is not None:
            self._elsewhere = self._listed(courier)

    @property
    def elsewhere(self) -> frozenset[str]:
        """Names of the checkpoints that stand at the courier's place."""
        return frozenset(self._elsewhere)

    def newest(self) -> Found | None:
        """Gives the newest checkpoint that is whole; None where there is none.

        One that is damaged is reported and passed over; one that stands at the courier's place alone is fetched.

        Raises:
            TrainingError: it was written by a version of MLgym that kept its state in another way.
            PlaceError: it cannot be fetched, though it may be whole.
        """
        here = {stored.path.name: stored for stored in list_checkpoints(self._folder)}
        for name in sorted({*here, *self._elsewhere}, key=age_of, reverse=True):
            content = self._read(here[name], name) if name in here else None
            if content is None and name in self._elsewhere:
                content = self._fetched(name)
            if content is not None:
                return _found(content, self._folder / name)
        return None

    def _read(self, stored: StoredCheckpoint, name: str) -> CheckpointContent | None:
        try:
            return read_checkpoint(stored, self._target)
        except TrainingError as error:
            instead = "the one at the other place" if name in self._elsewhere else "the checkpoint before it"
            self._reporter.warn(f"{error}; {instead} is taken, or the start")
            return None

    def _fetched(self, name: str) -> CheckpointContent | None:
        assert self._courier is not None
        courier, files = self._courier, self._elsewhere[name]
        try:
            _again(lambda: courier.place.fetch(self._context.experiment_id, name, files, self._folder))
        except PlaceError as error:
            if not error.is_damage:
                raise
            self._reporter.warn(f"{error}; the checkpoint before it is taken, or the start")
            courier.distrust(name)
            return None
        fetched = next(one for one in list_checkpoints(self._folder) if one.path.name == name)
        return self._read(fetched, name)

    def _listed(self, courier: Courier) -> dict[str, dict[str, FileEntry]]:
        try:
            return _again(lambda: courier.place.checkpoints(self._context.experiment_id))
        except PlaceError as error:
            if not list_checkpoints(self._folder):
                raise
            self._reporter.warn(f"{error}; what stands in the run folder is taken")
            return {}

    def settle(self, names: frozenset[str]) -> None:
        """Removes every checkpoint that is not to stand, and tells the log of what it does not know.

        Args:
            names: folders of those that are to stand.
        """
        known = {Path(path).name for path in self._context.known_checkpoints}
        for stored in list_checkpoints(self._folder):
            if stored.path.name not in names:
                self._delete(stored.path)
            elif stored.path.name not in known:
                self._reporter.checkpoint_saved(stored, ("found",))
        here = {stored.path.name for stored in list_checkpoints(self._folder)}
        there = self._elsewhere.keys() & names
        for name in sorted(there - here - known):
            stored = StoredCheckpoint.of_files(self._folder / name, self._elsewhere[name])
            self._reporter.checkpoint_saved(stored, ("found",))
        for name in sorted(known - here - there):
            self._reporter.checkpoint_deleted(self._folder / name)

    def _delete(self, path: Path) -> None:
        try:
            remove_checkpoint(path)
        except OSError as error:
            self._reporter.warn(f"checkpoint {path} is not needed, but cannot be deleted: {error.strerror or error}")


def found_by_main(resumption: Resumption | None, agreement: Agreement, target: Target | None) -> Found | None:
    """Gives all processes the newest checkpoint, which the main one finds; all call it at the same place.

    It tells them what is in it, or, where it was written in shares, which one it is: each reads its own.

    Args:
        resumption: that of the main process; None in the others.
        agreement: the processes.
        target: makes what tensors are read into that were written in shares; None for whole ones.
    """
    own = None if resumption is None else resumption.newest()

    def tell() -> Any:
        if own is None:
            return None
        return [str(own.path), *([] if own.in_shares else [dict(own.weights), own.state])]

    told = agreement.as_main(tell)
    if told is None:
        return None
    path, *content = told
    found = own or (Found(Path(path), *content) if content else _own_share(Path(path), target))
    if not content:
        agreement.on(False)  # until all have read it: the copy in the run folder may go soon
    return found


def _own_share(path: Path, target: Target | None) -> Found:
    """Gives what a process has of a checkpoint that the main one found to be whole."""
    stored = [one for one in list_checkpoints(path.parent) if one.path == path]
    if not stored:
        raise TrainingError(f"there is no checkpoint {path} for this process; all must see the same run folder")
    return _found(read_checkpoint(stored[0], target, verify=False), path)


def _found(content: CheckpointContent, path: Path) -> Found:
    written = content.state.get("format", "unknown")
    if written != STATE_FORMAT:
        raise TrainingError(
            f"checkpoint {path} was written by another version of MLgym (format {written}, this one "
            f"reads {STATE_FORMAT}): go on with that version, which `run_config.yml` of the run "
            "names, or start the run anew"
        )
    in_shares = any(map(is_share, (*content.model.values(), *content.tensors.values())))
    return Found(path, content.model, restore(content.state, content.tensors), in_shares)


def _again(ask: Callable[[], _T]) -> _T:
    """Asks a place until it answers, for as long as patience lasts."""
    give_up_at = time.monotonic() + _PATIENCE_S
    backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
    while True:
        try:
            return ask()
        except PlaceError as error:
            if error.is_damage or time.monotonic() > give_up_at:
                raise
        time.sleep(backoff.next_s())
