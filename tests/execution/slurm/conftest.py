"""A cluster of straw: SLURM's commands on the path, which run tasks as processes of this machine."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.execution.slurm import fake_slurm

COMMANDS = ("sbatch", "srun", "scancel", "scontrol", "sacct", "squeue", "end")


class Cluster:
    """The fake cluster of one test."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def tasks(self, state: str = "") -> list[str]:
        """The tasks in a state, in the order of their ids."""
        found = {path.stem: path.read_text() for path in self.root.glob("*_*.state")}
        return sorted(
            (task for task, its in found.items() if its.startswith(state)), key=lambda task: (len(task), task)
        )

    def call(self, *command: str) -> None:
        """Runs one of its commands."""
        subprocess.run(command, check=True)

    def refuse(self, how: str) -> None:
        """Has it behave badly from now on: `refuses`, `no_requeue`, `no_accounting`, `full`."""
        (self.root / how).touch()

    def relent(self, how: str) -> None:
        """Takes that back."""
        (self.root / how).unlink()

    def script(self, array: int) -> str:
        """What was submitted."""
        return (self.root / f"array-{array}" / "script").read_text()

    def end(self) -> None:
        """Ends everything."""
        for path in self.root.glob("array-*/pid"):
            with suppress(ProcessLookupError):
                os.killpg(int(path.read_text()), signal.SIGKILL)
        for path in self.root.glob("*.step"):
            with suppress(ProcessLookupError):
                if step := path.read_text():
                    os.kill(int(step), signal.SIGKILL)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster with its commands on the path."""
    root, commands = tmp_path / "cluster", tmp_path / "bin"
    root.mkdir()
    commands.mkdir()
    for name in COMMANDS:
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S -E {fake_slurm.__file__} {name} "$@"\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(root))
    made = Cluster(root)
    yield made
    made.end()
