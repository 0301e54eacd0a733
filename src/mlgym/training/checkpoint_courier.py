"""Bringing checkpoints to another place while training goes on: a thread that nothing waits for before the end.

It is told which checkpoints are to stand, and makes the place like that: the newest first, and what is not to stand any
more goes only once the newest is there. So what the place has is good to go on from at every moment, however slow or
broken the way there is; where it is slower than checkpoints come, some are passed over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlgym.errors import MlgymError, PlaceError
from mlgym.tracking.backoff import Backoff
from mlgym.tracking.manifest import MANIFEST_FILE, FileEntry, read_manifest, remove_checkpoint, sha256_of
from mlgym.tracking.places import CheckpointPlace, open_place
from mlgym.training.checkpoint import age_of
from mlgym.training.context import ExperimentContext

FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
_PAUSE_AT_THE_END_S: Final = 5.0
_STEP_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a courier has to tell.

    Args:
        deleted: folders of checkpoints that stand neither here nor there any more.
        complaints: what went wrong, in words.
    """

    deleted: tuple[Path, ...] = ()
    complaints: tuple[str, ...] = ()


class Courier:
    """Keeps a place like the folder of one experiment's checkpoints.

    Args:
        place: the place; only the courier uses it from the first `replace` or `settle` on.
        experiment_id: whose checkpoints they are.
        folder: where they stand here.
        keep_local: whether what is there stays here, too.
        is_scratch: whether the folder goes with the experiment.

    Attributes:
        tell: takes what it has to tell, from its own thread.
    """

    def __init__(
        self,
        place: CheckpointPlace,
        experiment_id: int,
        folder: Path,
        *,
        keep_local: bool = True,
        is_scratch: bool = False,
    ) -> None:
        self.place = place
        self.tell: Callable[[Delivered], None] = lambda news: None
        self._experiment_id = experiment_id
        self._folder = folder
        self._keep_local = keep_local
        self._is_scratch = is_scratch
        self._changed = threading.Condition()
        self._wanted: set[str] = set()
        self._retracted: set[str] = set()
        self._news_of: set[str] = set()
        self._there: dict[str, dict[str, FileEntry]] = {}
        self._is_listed = False
        self._damaged: set[str] = set()
        self._distrusted: set[str] = set()
        self._is_dirty = self._is_ending = self._gives_up = self._has_complained = False
        self._failure: str | None = None
        self._moved_at_s = time.monotonic()
        self._thread: threading.Thread | None = None
        place.on_bytes = self._on_bytes

    def replace(self, added: str, removed: Iterable[str]) -> None:
        """Takes that a checkpoint stands here, and that others are not to stand any more; returns at once.

        Args:
            added: its name.
            removed: their names; once they are gone there, `tell` is told.
        """
        with self._changed:
            gone = set(removed) - {added}
            self._wanted = (self._wanted | {added}) - gone
            self._retracted = (self._retracted | gone) - {added}
            self._news_of = (self._news_of | gone) - {added}
            self._damaged.discard(added)
            self._wake()

    def settle(self, names: Iterable[str]) -> None:
        """Takes which checkpoints are to stand, whatever was before; of those that go nothing is told."""
        with self._changed:
            self._wanted = set(names)
            self._retracted.clear()
            self._wake()

    def distrust(self, name: str) -> None:
        """Takes that a checkpoint there was found damaged: should it be wanted again, it is compared and sent anew."""
        self._distrusted.add(name)

    def finish(self, *, patience_s: float, is_urgent: Callable[[], bool], urgent_s: float) -> list[str]:
        """Waits until everything is there, as long as something moves; what is left is complained of, and given.

        Args:
            patience_s: how long it is waited while nothing moves, in s.
            is_urgent: asked again and again; from when it says so, at most `urgent_s` (s) are left.
            urgent_s: see `is_urgent`.
        """
        if self._thread is None:
            self.place.close()
            return []
        with self._changed:
            self._is_ending = True
            self._moved_at_s = time.monotonic()
            self._changed.notify_all()
        give_up_at = float("inf")
        while self._thread.is_alive():
            now = time.monotonic()
            if is_urgent():
                give_up_at = min(give_up_at, now + urgent_s)
            if now > min(give_up_at, self._moved_at_s + patience_s):
                break
            self._thread.join(min(_STEP_S, urgent_s))
        is_late, self._gives_up = self._thread.is_alive(), True
        left = sorted(self._lacking(), key=age_of) if is_late or self._failure else []
        if left and not self._is_scratch:
            self._complain_of_the_end(left)
        return left

    def _complain_of_the_end(self, left: list[str]) -> None:
        why = self._failure or "it takes too long"
        stand = "they stand in the run folder" if len(left) > 1 else "it stands in the run folder"
        complaint = (
            f"{self.place.address} does not have {', '.join(left)}: {why}; {stand}, and `mlgym checkpoints "
            f"{self.place.run_id} --send` brings what is missing"
        )
        self.tell(Delivered(complaints=(complaint,)))

    def _wake(self) -> None:
        self._is_dirty = True
        self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="checkpoint courier", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        backoff = Backoff(FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while self._wait_for_work():
            try:
                while self._step():
                    pass
            except (MlgymError, OSError) as error:
                self._failed(error)
                # A new checkpoint does not hurry it: with short epochs it would knock again and again.
                self._pause(backoff.next_s())
            else:
                self._failure, self._has_complained = None, False
                backoff.reset()
        self.place.close()

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not (self._is_dirty or self._is_ending):
                self._changed.wait()
            goes_on = self._is_dirty and not self._gives_up
            self._is_dirty = False
            return goes_on

    def _pause(self, seconds: float) -> None:
        """Waits before it is tried again; at the end, which somebody waits for, not for long."""
        began = time.monotonic()
        while not self._gives_up:
            wanted = min(seconds, _PAUSE_AT_THE_END_S) if self._is_ending else seconds
            left = began + wanted - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, _STEP_S))
        with self._changed:
            self._is_dirty = True

    def _failed(self, error: Exception) -> None:
        self._is_listed = False
        self._failure = str(error)
        if not (self._has_complained or self._gives_up):
            self._has_complained = True
            self.tell(Delivered(complaints=(f"{error}; training goes on, and it is tried again",)))

    def _step(self) -> bool:
        """Takes one step towards what is wanted; gives whether another one is to be thought of."""
        if not self._is_listed:
            listed = self.place.checkpoints(self._experiment_id)
            self._there = {name: {} if name in self._distrusted else files for name, files in listed.items()}
            self._is_listed = True
        lacking = self._lacking()
        if lacking:
            self._send(max(lacking, key=age_of))
            return True
        with self._changed:
            wanted = set(self._wanted)
            gone = sorted((self._retracted | self._there.keys()) - wanted)
        newest = max(wanted, key=age_of, default=None)
        if newest is None or self._there.get(newest):
            for name in gone:
                self._delete(name)
        if not self._keep_local:
            for name in wanted & self._there.keys():
                if read_manifest(self._folder / name / MANIFEST_FILE) == self._there[name]:
                    remove_checkpoint(self._folder / name)
        return False

    def _lacking(self) -> list[str]:
        """Gives what is to stand, stands here, and is not there."""
        with self._changed:
            wanted = self._wanted - self._damaged
        here = {name: read_manifest(self._folder / name / MANIFEST_FILE) for name in wanted}
        return [name for name, files in here.items() if files and self._there.get(name) != files]

    def _send(self, name: str) -> None:
        with ExitStack() as opened:
            try:
                files = read_manifest(self._folder / name / MANIFEST_FILE)
                # Held open, so that all of it can be read though a newer one replaces it meanwhile.
                contents = {file: opened.enter_context((self._folder / name / file).open("rb")) for file in files}
            except FileNotFoundError:
                if (self._folder / name / MANIFEST_FILE).exists():
                    self._damaged.add(name)
                return
            if not files:
                return  # it went between the look and this
            try:
                self.place.put(self._experiment_id, name, contents, files)
            except PlaceError as error:
                if not error.is_damage or self._is_whole_here(name, files):
                    raise
                self._damaged.add(name)
                self.tell(Delivered(complaints=(f"{error}; it was damaged here, and is not sent",)))
                return
        self._there[name] = files
        self._distrusted.discard(name)
        self._moved_at_s = time.monotonic()

    def _is_whole_here(self, name: str, files: dict[str, FileEntry]) -> bool:
        return all(sha256_of(self._folder / name / file) == entry.sha256 for file, entry in files.items())

    def _delete(self, name: str) -> None:
        self.place.delete(self._experiment_id, name)
        self._there.pop(name, None)
        with self._changed:
            is_news = name in self._news_of
            self._retracted.discard(name)
            self._news_of.discard(name)
        if is_news and not (self._folder / name).exists():
            self.tell(Delivered(deleted=(self._folder / name,)))

    def _on_bytes(self, num_bytes: int) -> None:
        self._moved_at_s = time.monotonic()
        if self._gives_up:
            raise PlaceError(f"what was on its way to {self.place.address} was cut short")


def courier_of(context: ExperimentContext, folder: Path) -> Courier | None:
    """Gives the courier of an experiment's checkpoints; None where there is no place but the run folder.

    Args:
        context: the surroundings.
        folder: the checkpoints' folder of the experiment.

    Raises:
        PlaceError, HubError: there can be no such place.
    """
    if context.checkpoint_place is None:
        return None
    place = open_place(context.checkpoint_place, context.run_id, patience_s=0.0)
    return Courier(
        place, context.experiment_id, folder, keep_local=context.keep_local_checkpoints, is_scratch=context.is_scratch
    )
