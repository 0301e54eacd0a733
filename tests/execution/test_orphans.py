"""Signals to a real driver process, and what is left of its family afterwards: nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlgym.events import RunState
from mlgym.tracking import RunFolder
from tests.execution.jobs import FOR_EVER_S
from tests.execution.stand_ins import start_program
from tests.programs import is_alive

PROTECTED = ["tests.execution.jobs"]
UNPROTECTED = ["tests.execution.jobs", "tests.execution.unprotected"]


class Program:
    """A driver process, with everything that it started."""

    def __init__(self, storage: Path, entries: list[str], **arguments: Any) -> None:
        self.folder = RunFolder(storage, "run")
        self.popen = start_program(storage, entries=entries, run_id="run", **{"processes": 2} | arguments)
        self.family: dict[int, psutil.Process] = {}

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
        """Waits, and takes note of all descendants meanwhile."""
        give_up_at = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < give_up_at, "timed out"
            assert self.popen.poll() is None, self.popen.communicate()
            time.sleep(0.05)
        self.take_note()

    def says_that_it_stops(self) -> bool:
        """Whether it has heard a signal."""
        return any(line.message.startswith("stopping: ") for line in self.state().recent_logs)

    def end(self) -> tuple[str, str]:
        """Waits for its end, and gives what it said."""
        stdout, stderr = self.popen.communicate(timeout=120)
        return stdout, stderr

    def take_note(self) -> None:
        for process in psutil.Process(self.popen.pid).children(recursive=True):
            self.family[process.pid] = process

    def state(self) -> RunState:
        return self.folder.state()

    def num_running(self) -> int:
        return self.state().counts["running"] if self.folder.log_path.exists() else 0

    def survivors(self, patience_s: float) -> list[psutil.Process]:
        """The descendants that still live after a while."""
        give_up_at = time.monotonic() + patience_s
        while True:
            alive = [process for process in self.family.values() if is_alive(process)]
            if not alive or time.monotonic() > give_up_at:
                return alive
            time.sleep(0.05)


Starter = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts driver processes, and leaves nothing behind whatever happens."""
    started: list[Program] = []

    def start_one(entries: list[str], **arguments: Any) -> Program:
        started.append(Program(tmp_path / "storage", entries, **arguments))
        return started[-1]

    yield start_one
    for program in started:
        if program.popen.poll() is None:
            program.popen.kill()
        program.popen.communicate()
        for process in program.survivors(0):
            process.kill()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_driver_leaves_no_process(signum: int, start: Starter, tmp_path: Path) -> None:
    """Workers that hang with the GIL held, their children and daemons, and the server all end with the driver."""
    children = tmp_path / "children"
    program = start(
        ["hang", "leave_children"], grace_s=1.0, config={"children": str(children), "wait": True}, num_experiments=6
    )
    program.wait_until(
        lambda: program.num_running() == 2 and children.exists() and len(children.read_text().split()) == 3
    )
    assert len(program.family) >= 5  # server, two workers, child, daemon
    program.popen.send_signal(signum)
    program.popen.wait(120)
    assert program.survivors(60) == []
    assert program.popen.returncode == (130 if signum == signal.SIGTERM else -signal.SIGKILL)


def test_without_protection_a_killed_driver_would_leave_orphans(start: Starter) -> None:
    """The control: with a server that neither kills nor dies with its driver, a worker survives, and is seen."""
    code = {"preload": UNPROTECTED}
    program = start(["hang"], code=code)
    program.wait_until(lambda: program.num_running() == 1)
    program.popen.kill()
    program.popen.wait(120)
    assert len(program.survivors(2)) >= 1


def test_a_driver_killed_while_the_server_imports_leaves_no_process(start: Starter) -> None:
    """A server that hangs in an import does not listen; it ends with its driver all the same."""
    program = start(["succeed"], code={"preload": ["tests.execution.slow_to_import"]})
    program.wait_until(lambda: len(psutil.Process(program.popen.pid).children()) == 1)
    time.sleep(0.7)
    program.take_note()
    program.popen.kill()
    program.popen.wait(120)
    assert program.survivors(60) == []


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_workers_of_a_torch_loader_end_too(signum: int, start: Starter) -> None:
    """The processes of a real `DataLoader` are gone soon after the driver."""
    program = start(["load_forever"], grace_s=1.0, code={"preload": ["torch", "tests.execution.jobs"]})
    program.wait_until(
        lambda: program.num_running() == 1 and len(psutil.Process(program.popen.pid).children(True)) >= 4, 200
    )
    program.popen.send_signal(signum)
    program.popen.wait(120)
    assert program.survivors(60) == []


def test_ctrl_c_in_the_terminal_stops_and_can_be_counted(start: Starter) -> None:
    """SIGINT to the whole foreground group reaches the driver alone: workers end at a step boundary, counts add up."""
    program = start(["sleep"], num_experiments=5)
    program.wait_until(lambda: program.num_running() == 2)
    os.killpg(program.popen.pid, signal.SIGINT)
    stdout, stderr = program.end()
    assert program.popen.returncode == 130, stderr
    assert json.loads(stdout) == {"succeeded": 0, "failed": 0, "interrupted": 2, "not_started": 3}
    state = program.state()
    assert (state.status, state.counts["interrupted"]) == ("interrupted", 2)
    assert [state.experiments[number].exit_signal for number in (0, 1)] == [None, None]
    assert program.survivors(60) == []


def test_a_second_ctrl_c_ends_at_once(start: Starter) -> None:
    """Workers that do not stop are killed without waiting for the grace."""
    program = start(["hang"], num_experiments=5, grace_s=FOR_EVER_S)
    program.wait_until(lambda: program.num_running() == 2)
    program.popen.send_signal(signal.SIGINT)
    program.wait_until(program.says_that_it_stops)  # two at once would be one
    program.popen.send_signal(signal.SIGINT)
    stdout, stderr = program.end()
    assert program.popen.returncode == 130, stderr
    assert json.loads(stdout) == {"succeeded": 0, "failed": 0, "interrupted": 2, "not_started": 3}
    assert [program.state().experiments[number].exit_signal for number in (0, 1)] == ["SIGKILL", "SIGKILL"]
    assert program.survivors(60) == []


def test_started_in_the_background_sigint_still_stops(start: Starter) -> None:
    """A shell starts background jobs with SIGINT ignored; asking them to stop must work there too."""
    program = start(["sleep"], num_experiments=5, ignores_sigint=True)
    program.wait_until(lambda: program.num_running() == 2)
    assert not _ignores(program.popen.pid, signal.SIGINT)
    program.popen.send_signal(signal.SIGINT)
    stdout, stderr = program.end()
    assert "SIGINT is ignored at first" in stderr
    assert json.loads(stdout) == {"succeeded": 0, "failed": 0, "interrupted": 2, "not_started": 3}


def _ignores(pid: int, signum: int) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigIgn:"):
            return bool(int(line.split()[1], 16) >> (signum - 1) & 1)
    raise AssertionError("no SigIgn")
