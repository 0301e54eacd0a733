"""The matrix: which moments are killed, and whether what comes out is what comes out undisturbed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from mlgym.training import checkpoint_writer, rank_state

from .attempts import Outcome, Tamper, Trial, resolved
from .injection import Event, Kill

LOST_EVENTS: Final = 4
# A resume has something to do after these: something to tidy, to settle, or to go on with.
_FIRST_KILLS: Final = ("temporary file: half written", "after the rename, before pruning", "while pruning")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the matrix.

    Args:
        family: of the model.
        num_workers: processes that read the training data.
        synchronous: whether training waits for each checkpoint.
    """

    family: str
    num_workers: int = 0
    synchronous: bool = False

    def __str__(self) -> str:
        return f"{self.family}, {self.num_workers} workers, {'waits' if self.synchronous else 'writes beside'}"


@dataclass(frozen=True, slots=True)
class Point:
    """Where an experiment is killed: once, or once more in the attempt that goes on.

    Args:
        phase: what was about to happen at the last kill.
        kills: one for each attempt but the last.
        after_checkpoint: whether one stood at the first kill, as far as the undisturbed experiment tells.
        lost_events: how many events are lost at each kill, as with a driver that is killed too.
    """

    phase: str
    kills: tuple[Kill, ...]
    after_checkpoint: bool
    lost_events: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one point.

    Args:
        setting: the row.
        point: where it was killed.
        identical: whether weights, optimizer, generators, results and files are those of the undisturbed experiment.
        unresumable: whether an attempt found nothing to go on from although a checkpoint had stood, or failed.
        faults: what differs.
    """

    setting: Setting
    point: Point
    identical: bool
    unresumable: bool
    faults: tuple[str, ...]


class Row:
    """One setting, with the undisturbed experiment and the moments at which it can be killed.

    Args:
        setting: what is trained.
        folder: scratch.
        tamper: takes a protection away in all processes but the undisturbed one.
    """

    def __init__(self, setting: Setting, folder: Path, tamper: Tamper | None = None) -> None:
        self.setting = setting
        self._folder = folder
        self._tamper = tamper
        self._config = resolved(setting.family, num_workers=setting.num_workers, synchronous=setting.synchronous)
        folder.mkdir(parents=True, exist_ok=True)
        self.expected, self._moments = self._undisturbed(None)
        if tamper is not None:
            _, self._moments = self._undisturbed(tamper)

    def _undisturbed(self, tamper: Tamper | None) -> tuple[Outcome, list[Event]]:
        trial = self._trial("undisturbed", tamper)
        moments = trial.run()
        assert moments is not None, trial.faults
        return trial.outcome(), moments

    def points(self, *, thinned: bool = True) -> list[Point]:
        """Gives every point of one kill; of the many writes of a file only the first, one in the middle, the last."""
        chosen = _thinned(self._moments) if thinned else self._moments
        return [self._point(number, event) for number, event in enumerate(chosen)]

    def _point(self, number: int, event: Event) -> Point:
        # Every other time the driver is lost too, with what it had not written yet.
        return Point(event.phase, (self._kill(event),), event.after_checkpoint, LOST_EVENTS * (number % 2))

    def _kill(self, event: Event) -> Kill:
        return Kill(event.role, event.number, held=event.role == "writer" and not self.setting.synchronous)

    def points_in_resume(self) -> Iterator[Point]:
        """Gives points of two kills, the second one in the attempt that tidies up and goes on."""
        for phase in _FIRST_KILLS:
            of_phase = [point for point in self.points() if point.phase == phase and point.after_checkpoint]
            if of_phase:
                first = of_phase[len(of_phase) // 2]
                yield from self._second_points(first)

    def _second_points(self, first: Point) -> Iterator[Point]:
        trial = self._trial("second", self._tamper)
        trial.run(first.kills[0])
        moments = trial.run()
        if moments is None:
            yield first  # its verdict says what is wrong
            return
        resume = [event for event in moments if "of a resume" in event.phase]
        others = [event for event in _thinned(moments) if "of a resume" not in event.phase]
        for number, event in enumerate([*resume, *others[:24:3]]):
            name = event.phase if "of a resume" in event.phase else f"second kill: {event.phase}"
            yield Point(name, (first.kills[0], self._kill(event)), first.after_checkpoint, LOST_EVENTS * (number % 2))

    def verdict(self, point: Point) -> Verdict:
        """Kills the experiment at a point, lets it go on to its end, and compares."""
        trial = self._trial("point", self._tamper)
        for kill in point.kills:
            trial.run(kill, lost_events=point.lost_events)
        finished = trial.run() is not None
        faults = list(trial.faults)
        if finished:
            faults += _differences(self.expected, trial.outcome())
        return Verdict(
            self.setting,
            point,
            identical=finished and not faults,
            unresumable=not finished or trial.started_anew > 0,
            faults=tuple(faults),
        )

    def _trial(self, name: str, tamper: Tamper | None) -> Trial:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        return Trial(folder, self._config, tamper)


def _thinned(moments: Sequence[Event]) -> list[Event]:
    chosen: list[Event] = []
    for (_, file, phase), group in groupby(moments, key=lambda one: (one.role, one.file, one.phase)):
        events = list(group)
        if file or phase == "buffer half copied":
            events = [events[place] for place in sorted({0, len(events) // 2, len(events) - 1})]
        chosen += events
    return chosen


def _differences(expected: Outcome, found: Outcome) -> list[str]:
    faults = list(found.faults)
    if found.checkpoints != expected.checkpoints:
        faults.append(f"other checkpoints: {found.checkpoints}, expected {expected.checkpoints}")
    if found.results != expected.results:
        missing = sorted(expected.results.keys() - found.results.keys())
        other = [key for key, value in found.results.items() if expected.results.get(key) != value]
        faults.append(f"other results: missing {missing}, different {other}")
    if found.leftovers:
        faults.append(f"left over: {found.leftovers}")
    return faults


def without_generators() -> None:
    """Control: what cannot be derived from seed and position is not put back."""
    rank_state.restore_generators_of = lambda state: None  # type: ignore[attr-defined]  # imported there


def written_in_place() -> None:
    """Control: the one before goes first, then the new one is written under its name, manifest first."""
    write = checkpoint_writer.write_checkpoint  # type: ignore[attr-defined]  # imported there

    def write_in_place(folder: Path, content: Any, *among_others: Any) -> Any:
        scratch = folder.parent / "scratch"
        stored = write(scratch, content, *among_others)
        for old in folder.iterdir() if folder.is_dir() else ():
            shutil.rmtree(old)
        target = folder / stored.path.name
        target.mkdir(parents=True)
        for source in sorted(stored.path.iterdir(), key=lambda path: path.name != "manifest.json"):
            _copy(source, target / source.name)
        shutil.rmtree(scratch)
        return replace(stored, path=target)

    checkpoint_writer.write_checkpoint = write_in_place  # type: ignore[attr-defined, assignment]  # imported there


def _copy(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, source.read_bytes())
    os.fsync(descriptor)
    os.close(descriptor)
