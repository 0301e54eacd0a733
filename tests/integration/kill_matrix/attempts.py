"""Attempts at one experiment, each in a process of its own, and the log that outlives them."""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import torch

from mlgym.config import check, load, resolve
from mlgym.events import Event, Payload
from mlgym.execution.linux import kill_group
from mlgym.execution.processes.worker import warm_up
from mlgym.training import ExperimentContext, list_checkpoints, prepare_process, run_experiment
from mlgym.training.checkpoint import verify_checkpoint

from . import families
from .injection import Event as Moment
from .injection import Injector, Kill

Tamper = Callable[[], None]
"""Takes a protection away, in the process that is about to be killed."""

_RESULTS: Final = ("evaluation_result", "digest", "training_stopped", "data_fingerprint")
_WRITE: Final = os.write


def warm() -> None:
    """Imports and computes whatever each process would: each starts as a fork of this one, within milliseconds."""
    prepare_process(threads=1)
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    for family in families.FAMILIES:
        for synchronous in (False, True):
            warm_up(resolved(family, synchronous=synchronous))


def resolved(family: str, **options: Any) -> dict[str, Any]:
    """Gives the config of a family with every default; see `families.config_of`."""
    return resolve(check(load(families.config_of(family, **options)))[0].config)


class _FileSink:
    """Writes each event to a file at once: what a worker has said survives it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def emit(self, payload: Payload) -> None:
        self._tell(payload, payload.event_type, None)

    def emit_event(self, event: Event) -> None:
        self._tell(event.payload, event.event_type, f"{event.producer}:{event.seq}")

    def _tell(self, payload: Any, event_type: str, origin: str | None) -> None:
        line = {"event_type": event_type, "payload": msgspec.to_builtins(payload), "origin": origin}
        _WRITE(self._descriptor, json.dumps(line).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stands at the end of an experiment.

    Args:
        results: each result as the log stores it, by producer and number.
        checkpoints: hashes of the tensors of each checkpoint that stands: weights, optimizer, schedulers, generators.
        leftovers: hidden names in the checkpoints' folder.
        faults: what the log or the disk contradicts.
    """

    results: Mapping[str, Any]
    checkpoints: Mapping[str, Any]
    leftovers: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass
class Trial:
    """One experiment, through all its attempts.

    Args:
        folder: where it writes; empty or missing before the first attempt.
        config: resolved.
        tamper: takes a protection away, for a control.
        attempt: number of the next attempt.
        faults: what went wrong in attempts.
        started_anew: attempts that found nothing to go on from although a checkpoint had stood.
    """

    folder: Path
    config: dict[str, Any]
    tamper: Tamper | None = None
    attempt: int = 0
    faults: list[str] = field(default_factory=list)
    started_anew: int = 0
    _stood: bool = False
    _num_resumed: int = 0

    @property
    def checkpoints(self) -> Path:
        """The checkpoints' folder."""
        return self.folder / "0" / "checkpoints"

    def run(self, kill: Kill | None = None, *, lost_events: int = 0) -> list[Moment] | None:
        """Runs one attempt in a process of its own.

        Args:
            kill: when it kills itself; None to let it run to its end.
            lost_events: how many of the last events are lost with a driver that is killed too.

        Returns:
            The moments at which it could have been killed; None where it was.
        """
        self.folder.mkdir(exist_ok=True)
        known = self._known_checkpoints()
        self._stood |= bool(known)
        pid = self._fork(kill, known)
        _, status = os.waitpid(pid, 0)
        kill_group(pid)  # as the fork server does: loader workers must not outlive their experiment
        if not _is_gone(pid):
            self.faults.append(f"attempt {self.attempt} left processes behind")
        self._note_start()
        self.attempt += 1
        self._stood |= self._mark.exists()
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and kill is not None:
            self._lose(lost_events)
            return None
        if os.waitstatus_to_exitcode(status) != 0 or kill is not None:
            ended = self._report.read_text() if self._report.exists() else f"status {status}"
            self.faults.append(f"attempt {self.attempt - 1} was not killed at {kill}: {ended}"[:2000])
            return None
        return [Moment(**moment) for moment in json.loads(self._report.read_text())]

    def outcome(self) -> Outcome:
        """Gives what stands now."""
        results: dict[str, Any] = {}
        faults = list(self.faults)
        for line in self._lines():
            if line["event_type"] in _RESULTS:
                first = results.setdefault(line["origin"], line["payload"])
                if first != line["payload"]:
                    faults.append(f"result {line['origin']} was told twice, differently")
        standing = list_checkpoints(self.checkpoints)
        for one in standing:
            verify_checkpoint(one)
        on_disk = {f"0/checkpoints/{one.path.name}" for one in standing}
        if set(self._known_checkpoints()) != on_disk:
            faults.append(f"the log says that {self._known_checkpoints()} stand, but {sorted(on_disk)} do")
        hashes = {
            one.path.name: {file: sha for file, sha in one.sha256.items() if file != "state.json"} for one in standing
        }
        hidden = sorted(path.name for path in self.checkpoints.iterdir() if path.name.startswith("."))
        return Outcome(results, hashes, tuple(hidden), tuple(faults))

    @property
    def _report(self) -> Path:
        return self.folder / "report.json"

    @property
    def _mark(self) -> Path:
        return self.folder / "a-checkpoint-stood"

    def _fork(self, kill: Kill | None, known: list[str]) -> int:
        self._report.unlink(missing_ok=True)
        with warnings.catch_warnings():
            # Python 3.12 warns of forks beside threads, which a debugger or a test runner may have.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setpgid(0, 0)
                self._perform(kill, known)
                status = 0
            except BaseException:
                self._report.write_text(traceback.format_exc())
            finally:
                os._exit(status)
        return pid

    def _perform(self, kill: Kill | None, known: list[str]) -> None:
        # Loader workers whose parent is killed complain.
        os.dup2(os.open(self.folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        context = ExperimentContext(
            run_id="run",
            experiment_id=0,
            run_dir=self.folder,
            seed=5,
            device="cpu",
            sink=_FileSink(self.folder / "events"),
            attempt=self.attempt,
            known_checkpoints=tuple(known),
        )
        prepare_process(threads=1)
        if self.tamper is not None:
            self.tamper()
        injector = Injector(self.checkpoints, kill, self._mark)
        injector.install()
        run_experiment(self.config, context)
        self._report.write_text(json.dumps([msgspec.to_builtins(moment) for moment in injector.events]))

    def _lines(self) -> list[dict[str, Any]]:
        path = self.folder / "events"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def _known_checkpoints(self) -> list[str]:
        known: dict[str, None] = {}
        for line in self._lines():
            if line["event_type"] == "checkpoint_saved":
                known[line["payload"]["path"]] = None
            elif line["event_type"] == "checkpoint_deleted":
                known.pop(line["payload"]["path"], None)
        return list(known)

    def _note_start(self) -> None:
        """Counts a start from nothing where a checkpoint had stood."""
        resumed = [line["payload"] for line in self._lines() if line["event_type"] == "experiment_resumed"]
        if self._stood and resumed and len(resumed) > self._num_resumed and resumed[-1]["path"] is None:
            self.started_anew += 1
        self._num_resumed = len(resumed)

    def _lose(self, num_events: int) -> None:
        if num_events:
            lines = (self.folder / "events").read_bytes().splitlines(keepends=True)
            (self.folder / "events").write_bytes(b"".join(lines[:-num_events]))
            self._num_resumed = sum(line["event_type"] == "experiment_resumed" for line in self._lines())


def _is_gone(group_id: int, patience_s: float = 60.0) -> bool:
    """Tells whether no process of a group is alive any more."""
    until = time.monotonic() + patience_s
    while any(_is_alive_in(path, group_id) for path in Path("/proc").glob("[0-9]*")):
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


def _is_alive_in(process: Path, group_id: int) -> bool:
    try:
        state, _, group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return False
    return int(group) == group_id and state not in "ZX"
