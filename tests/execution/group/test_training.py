"""Real experiments of several processes, through the command line: started by MLgym, by `torchrun` and on two nodes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlgym.events import read_log
from mlgym.tracking import RunFolder
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parent
CONFIG = """
version: 1
extends: preset/classification
imports: [odd]
components:
  data: {use: digits}
  model: {use: mlp, hidden: [16]}
  optimizer: {use: adam, model: $model, lr: 1e-2}
experiment:
  epochs: 3
  callbacks: [{use: oddity, how: HOW, file: FILE}]
"""


class Program:
    """A command line in a folder of its own, in a session of its own."""

    def __init__(self, folder: Path, *arguments: str, variables: dict[str, str] | None = None) -> None:
        paths = [str(FOLDER), *filter(None, sys.path)]
        self.popen = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths), **(variables or {})},
        )

    def ends_with(self, code: int) -> str:
        """Waits for its end, and gives what it printed."""
        output, _ = self.popen.communicate(timeout=240)
        assert self.popen.returncode == code, output
        return output


def config(folder: Path, *hows: str) -> str:
    """Writes the config; gives its name."""
    how = hows[0] if len(hows) == 1 else f"{{sweep: [{', '.join(hows)}]}}"
    (folder / "c.yml").write_text(CONFIG.replace("HOW", how).replace("FILE", str(folder / "came_here")))
    return "c.yml"


def digests(folder: Path, run_id: str = "run") -> list[tuple[int, int, str, str]]:
    """The digests of a run: experiment, epoch, parameters, optimizer."""
    payloads = [
        event["payload"]
        for _, event in read_log(RunFolder(folder / "event_storage", run_id).log_path)
        if event["event_type"] == "digest"
    ]
    return [(each["experiment_id"], each["epoch"], each["parameters"], each["optimizer"]) for each in payloads]


def experiments(folder: Path, run_id: str = "run") -> dict[int, Any]:
    """What the log says of the experiments."""
    return RunFolder(folder / "event_storage", run_id).state().experiments


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of one experiment of two processes, as MLgym starts them."""
    folder = tmp_path_factory.mktemp("two")
    arguments = ["mlgym", "run", config(folder, "not"), "--run-id", "run", "--devices-per-experiment", "2"]
    Program(folder, *arguments).ends_with(0)
    return folder


def test_a_group_is_recorded(folder: Path) -> None:
    """The device says how many there are; the surroundings say what connects them; the launch is recorded."""
    run = folder / "event_storage/run"
    assert experiments(folder)[0].device == "cpu x2"
    environment = json.loads((run / "environment.json").read_text())
    assert (environment["world_size"], environment["backend"]) == (2, "gloo")
    assert "devices_per_experiment: 2" in (run / "run_config.yml").read_text()
    assert len(digests(folder)) == 3


def test_ctrl_c_and_resume_give_the_same_bits(folder: Path) -> None:
    """A stop reaches both ranks at one step; going on takes over how many there are."""
    arguments = [config(folder, "waits_at_first"), "--run-id", "stopped", "--devices-per-experiment", "2"]
    program = Program(folder, "mlgym", "run", *arguments)
    wait_for((folder / "came_here").exists)
    program.popen.send_signal(signal.SIGINT)
    program.ends_with(130)
    assert 1 <= len(digests(folder, "stopped")) < 3
    Program(folder, "mlgym", "resume", "stopped").ends_with(0)
    assert digests(folder, "stopped") == digests(folder)
    assert experiments(folder, "stopped")[0].device == "cpu x2"


def test_two_nodes_that_torchrun_started_give_the_same_bits(folder: Path) -> None:
    """One agent for each node, a rank on each: rank 0 alone writes, and the numbers are those of one machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    agents = [
        Program(
            folder, "torch.distributed.run", "--nnodes", "2", "--node-rank", str(number), "--nproc-per-node", "1",
            "--master-addr", "127.0.0.1", "--master-port", str(port),
            "-m", "mlgym", "run", config(folder, "not"), "--run-id", "nodes",
        )
        for number in range(2)
    ]  # fmt: skip
    said = [agent.ends_with(0) for agent in agents]
    assert digests(folder, "nodes") == digests(folder)
    assert ["run folder:" in each for each in said] == [True, False]
    assert experiments(folder, "nodes")[0].device == "cpu x2"


def torchrun(folder: Path, *arguments: str) -> Program:
    """Two ranks on this machine."""
    return Program(folder, "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mlgym", *arguments)


def test_a_failure_under_torchrun_is_not_the_next_experiments(folder: Path, tmp_path: Path) -> None:
    """Of three, one fails on rank 1 alone, and one lacks memory at first; the run goes on, and can be gone on with."""
    name = config(tmp_path, "rank_1_raises", "lacks_memory_at_first", "not")
    torchrun(tmp_path, "run", name, "--run-id", "run").ends_with(1)
    found = experiments(tmp_path)
    assert [each.status for each in found.values()] == ["failed", "done", "done"]
    assert found[0].error == "rank 1: ValueError: only one of us fails"
    assert "in on_epoch_end" in str(found[0].stacktrace)
    assert [each.attempt for each in found.values()] == [0, 1, 0]
    reference = [each[1:] for each in digests(folder)]
    assert [each[1:] for each in digests(tmp_path) if each[0] == 2] == reference
    (tmp_path / "mended").touch()
    torchrun(tmp_path, "resume", "run", "--retry-failed").ends_with(0)
    assert [each.status for each in experiments(tmp_path).values()] == ["done"] * 3
    said = torchrun(tmp_path, "reproduce", "run", "-e", "2").ends_with(0)
    assert said.count("experiment 2: identical (3 digests, bit for bit)") == 1


def test_a_killed_rank_fails_its_experiment_alone(tmp_path: Path) -> None:
    """Where MLgym started the ranks, the other experiment goes on; with a retry the first goes on to its end, too."""
    name = config(tmp_path, "rank_1_is_killed", "not")
    Program(tmp_path, "mlgym", "run", name, "--run-id", "run", "--devices-per-experiment", "2").ends_with(1)
    found = experiments(tmp_path)
    assert (found[0].status, found[1].status) == ("failed", "done")
    assert (found[0].error, found[0].exit_signal) == ("rank 1 was killed by SIGKILL", "SIGKILL")
