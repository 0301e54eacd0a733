"""A config and its grid of straw, so that whole runs can be launched without PyTorch; also as a program of its own.

`python -m tests.execution.stand_ins STORAGE JSON` launches a run as a user's program would, and prints its summary.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlgym.config import load
from mlgym.execution import (
    Observer,
    RunOptions,
    RunSummary,
    Watch,
    WorkerCode,
    driver,
    hold_run,
    launch,
    plan,
    resume_run,
)
from mlgym.execution.environment import capture_environment
from mlgym.tracking import RunFolder


@dataclass
class StandInDocument:
    """What the driver reads of a document."""

    name: str = "straw"
    version: int = 1
    seed: int = 7
    imports: list[str] = field(default_factory=list)
    # Outside of any repository, whose state is a part of a run's surroundings.
    folder: Path = Path(tempfile.gettempdir())
    text: str | None = "name: straw  # as written\n"
    overrides: list[str] = field(default_factory=lambda: ["a=1"])
    validation: dict[str, Any] = field(default_factory=lambda: {"mode": "grid_search"})
    data: dict[str, Any] = field(default_factory=lambda: {"name": "straw"})

    @property
    def root(self) -> Any:
        """The document itself, of which no component is known."""
        return load({"version": 1, "experiment": {"use": "straw"}}).root

    @property
    def identity(self) -> dict[str, Any]:
        """What makes a run this run."""
        return self.data


@dataclass
class StandInPoint:
    """One experiment."""

    experiment_id: int
    config: dict[str, Any]
    swept: dict[str, Any]
    trial: dict[str, Any] = field(default_factory=dict)


class StandInSpace(Sequence[StandInPoint]):
    """A grid: each experiment has its entry in its config."""

    def __init__(self, num_experiments: int, entries: Sequence[str], **config: Any) -> None:
        self.num_experiments = num_experiments
        self.entries = entries
        self.config = config
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.num_experiments

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self.num_experiments:
            raise IndexError(index)
        self.asked.append(index)
        entry = self.entries[index % len(self.entries)]
        return StandInPoint(index, {"entry": entry, "seed": 7, **self.config}, {"entry": entry})


CODE = WorkerCode(entry="tests.execution.jobs:by_name", preload=("tests.execution.jobs",), preload_if_installed=())


def launch_straw(
    storage: Path,
    entries: Sequence[str],
    *,
    num_experiments: int | None = None,
    config: dict[str, Any] | None = None,
    document: StandInDocument | None = None,
    observer: Observer | None = None,
    on_event: Watch | None = None,
    code: WorkerCode | dict[str, Any] = CODE,
    skip: Sequence[int] = (),
    **options: Any,
) -> RunSummary:
    """Launches a run whose experiments are functions of `tests.execution.jobs`."""
    space: Any = StandInSpace(num_experiments or len(entries), entries, **(config or {}))
    given: Any = document or StandInDocument()
    with _configs_of_straw():
        return launch(
            given,
            space,
            RunOptions(storage=storage, **options),
            command=["mlgym", "run", "straw.yml"],
            observer=observer,
            on_event=on_event,
            code=msgspec.convert(asdict(CODE) | code, WorkerCode) if isinstance(code, dict) else code,
            skip=skip,
        )


def resume_straw(
    storage: Path,
    run_id: str,
    entries: Sequence[str],
    *,
    num_experiments: int | None = None,
    config: dict[str, Any] | None = None,
    document: StandInDocument | None = None,
    allowed_changes: Sequence[str] = (),
    retry_failed: bool = False,
    observer: Observer | None = None,
    code: WorkerCode | dict[str, Any] = CODE,
    **options: Any,
) -> RunSummary:
    """Goes on with such a run."""
    space: Any = StandInSpace(num_experiments or len(entries), entries, **(config or {}))
    given: Any = document or StandInDocument()
    with _configs_of_straw(), hold_run(RunFolder(storage, run_id)) as held:
        return resume_run(
            held,
            given,
            space,
            held.options(**options),
            command=["mlgym", "resume", run_id],
            allowed_changes=allowed_changes,
            retry_failed=retry_failed,
            observer=observer,
            code=msgspec.convert(asdict(CODE) | code, WorkerCode) if isinstance(code, dict) else code,
        )


@contextmanager
def _configs_of_straw() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (driver, plan):
            patch.setattr(module, "resolve", lambda config: config)
        patch.setattr(driver, "config_id", lambda config: "0" * 64)
        patch.setattr(driver, "capture_environment", _environment_without_sources)
        yield


def _environment_without_sources(**settings: Any) -> dict[str, Any]:
    """Gives the real environment but for hashes of sources, on which somebody may work while tests run."""
    environment = capture_environment(**settings)
    environment.pop("package_hashes")
    return environment


def start_program(storage: Path, *, ignores_sigint: bool = False, **arguments: Any) -> subprocess.Popen[str]:
    """Starts this module as a program in its own session; with SIGINT ignored, as a shell does in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.execution.stand_ins", str(storage), json.dumps(arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignores_sigint else None,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        sys.stderr.write("SIGINT is ignored at first\n")
    arguments = json.loads(sys.argv[2])
    begin = resume_straw if arguments.pop("resumes", False) else launch_straw
    summary = begin(Path(sys.argv[1]), **arguments)
    sys.stdout.write(json.dumps(asdict(summary.counts)))
    sys.exit(summary.exit_code)
