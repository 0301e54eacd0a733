"""Disks that fill up, fail or lie: training says so at its next step, and goes on from what is whole."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mlgym.errors import TrainingError
from mlgym.events import Log
from mlgym.events.sink import MemorySink
from mlgym.events.types import CheckpointSaved, ExperimentResumed
from mlgym.training import ExperimentContext, State, Training, checkpoint, list_checkpoints
from mlgym.training.checkpoint import verify_checkpoint
from mlgym.training.determinism import seed_global_generators
from mlgym.training.digest import digest
from mlgym.training.strategies import KeepAll
from mlgym.training.trainer import Trainer

from .conftest import make_loaders, make_model

FILES = ["model.safetensors", "training.safetensors", "state.json", "manifest.json"]


class Watch:
    """A callback that knows the last step, and may let the disk fail after one."""

    def __init__(self, fail_after: int | None = None, fail: Any = None) -> None:
        self.step = 0
        self.fail_after = fail_after
        self.fail = fail

    def on_step_end(self, state: State, output: Any) -> None:
        self.step = state.step
        if self.step == self.fail_after:
            self.fail()


def _training(watch: Watch, **changes: Any) -> Training:
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    trainer = Trainer(model, optimizer, loader=make_loaders()["train"], loss=nn.CrossEntropyLoss())
    given: dict[str, Any] = {"epochs": 4, "checkpoints": KeepAll(), "callbacks": [watch]}
    return Training(trainer, **(given | changes))


def _run(training: Training, folder: Path, attempt: int = 0) -> MemorySink:
    sink = MemorySink()
    seed_global_generators(7, "training")
    training.run(ExperimentContext("run", 0, folder, seed=7, device="cpu", sink=sink, attempt=attempt))
    return sink


def _standing(folder: Path) -> list[str]:
    """Gives the names of the checkpoints that stand, each verified; anything else in the folder is a fault."""
    found = list_checkpoints(folder / "0" / "checkpoints")
    for one in found:
        verify_checkpoint(one)
    assert {path.name for path in (folder / "0" / "checkpoints").iterdir()} == {one.path.name for one in found}
    return [one.path.name for one in found]


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_failing_disk_ends_training_at_the_next_step_boundary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The thread that writes fails; training says so within a step, and the checkpoints before stand."""
    real = getattr(os, call)

    def fail() -> None:
        while any(thread.name == "checkpoint" for thread in threading.enumerate()):
            time.sleep(0.001)  # the checkpoint before is to stand

        def failing(*arguments: Any, **named: Any) -> Any:
            # `write` of others, such as pytest's, goes on.
            if threading.current_thread().name == "checkpoint":
                raise OSError(errno.EIO, "Input/output error")
            return real(*arguments, **named)

        monkeypatch.setattr(os, call, failing)

    watch = Watch(7, fail)
    training = _training(watch, checkpoint_every_n_steps=8)
    with pytest.raises(TrainingError, match=r"no checkpoint can be written to .*: Input/output error; the ones before"):
        _run(training, tmp_path)
    # Asked for at step 8; the error came up at a boundary before the epoch's own checkpoint was begun.
    assert 8 <= watch.step <= 10
    monkeypatch.undo()
    assert _standing(tmp_path) == ["epoch_1-step_5"]


def test_control_a_disk_that_works_ends_no_training(tmp_path: Path) -> None:
    """The same run without the fault comes to its end, with every checkpoint."""
    watch = Watch()
    _run(_training(watch, checkpoint_every_n_steps=8), tmp_path)
    assert watch.step == 20
    assert _standing(tmp_path) == [f"epoch_{epoch}-step_{5 * epoch}" for epoch in (1, 2, 3, 4)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_ends_training_and_room_lets_it_go_on(small_disk: Path, tmp_path: Path) -> None:
    """What stands is whole; once there is room again, the end is that of an experiment that never stood still."""
    whole = _training(Watch(), epochs=6)
    _run(whole, tmp_path / "whole")
    (small_disk / "ballast").write_bytes(b"\0" * (180 * 1024))
    with pytest.raises(TrainingError, match=r"no checkpoint can be written to .*No space left on device"):
        _run(_training(Watch(), epochs=6), small_disk)
    standing = _standing(small_disk)
    assert standing
    assert standing[-1] != "epoch_6-step_30"
    (small_disk / "ballast").unlink()
    resumed = _training(Watch(), epochs=6)
    sink = _run(resumed, small_disk, attempt=1)
    (start,) = [one for one in sink.payloads if isinstance(one, ExperimentResumed)]
    assert start.path == f"0/checkpoints/{standing[-1]}"
    assert digest(resumed.model.state_dict()) == digest(whole.model.state_dict())


def test_a_file_size_limit_is_told_as_an_error(tmp_path: Path) -> None:
    """A quota that the system enforces ends an experiment with words; the process is not killed by a signal."""
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from mlgym.errors import TrainingError\n"
        "from tests.training.test_checkpoint_faults import Watch, _run, _standing, _training\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))\n"
        "try:\n"
        "    _run(_training(Watch()), Path(sys.argv[1]))\n"
        "except TrainingError as error:\n"
        "    assert 'File too large' in str(error), error\n"
        "    assert _standing(Path(sys.argv[1])) == []\n"
        "    sys.exit(7)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", program, str(tmp_path)]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 7, ended.stderr


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["first bit", "middle bit", "last bit", "cut", "empty", "gone"])
def test_whatever_is_damaged_the_one_before_is_taken(tmp_path: Path, file: str, damage: str) -> None:
    """Every file, however it is damaged: the checkpoint is passed over with words and the same weights come out."""
    whole = _training(Watch(), epochs=3)
    _run(whole, tmp_path)
    _damage(tmp_path / "0" / "checkpoints" / "epoch_3-step_15" / file, damage)
    resumed = _training(Watch(), epochs=3)
    sink = _run(resumed, tmp_path, attempt=1)
    (start,) = [one for one in sink.payloads if isinstance(one, ExperimentResumed)]
    assert start.path == "0/checkpoints/epoch_2-step_10"
    warnings = [one.message for one in sink.payloads if isinstance(one, Log)]
    # Without its manifest it is no checkpoint at all.
    assert len(warnings) == (0 if (file, damage) == ("manifest.json", "gone") else 1)
    assert all("the checkpoint before it is taken" in one for one in warnings)
    assert digest(resumed.model.state_dict()) == digest(whole.model.state_dict())
    assert _standing(tmp_path) == [f"epoch_{epoch}-step_{5 * epoch}" for epoch in (1, 2, 3)]


def test_control_without_hashes_damaged_weights_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit in the weights is not seen by anything else: the end is another one."""
    whole = _training(Watch(), epochs=3)
    _run(whole, tmp_path)
    _damage(tmp_path / "0" / "checkpoints" / "epoch_3-step_15" / "model.safetensors", "last bit")
    monkeypatch.setattr(checkpoint, "verify_checkpoint", lambda stored: None)
    resumed = _training(Watch(), epochs=3)
    sink = _run(resumed, tmp_path, attempt=1)
    assert not [one for one in sink.payloads if isinstance(one, Log)]
    assert digest(resumed.model.state_dict()) != digest(whole.model.state_dict())


def test_all_of_them_damaged(tmp_path: Path) -> None:
    """Then it starts anew, and says of each why."""
    whole = _training(Watch(), epochs=2)
    _run(whole, tmp_path)
    for epoch in (1, 2):
        _damage(tmp_path / "0" / "checkpoints" / f"epoch_{epoch}-step_{5 * epoch}" / "state.json", "middle bit")
    resumed = _training(Watch(), epochs=2)
    sink = _run(resumed, tmp_path, attempt=1)
    (start,) = [one for one in sink.payloads if isinstance(one, ExperimentResumed)]
    assert start.path is None
    assert len([one for one in sink.payloads if isinstance(one, Log)]) == 2
    assert [one.epoch for one in sink.payloads if isinstance(one, CheckpointSaved)] == [1, 2]
    assert digest(resumed.model.state_dict()) == digest(whole.model.state_dict())


def _damage(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
        return
    if damage == "empty":
        content.clear()
    elif damage == "cut":
        del content[-1]
    else:
        place = {"first bit": 0, "middle bit": len(content) // 2, "last bit": -1}[damage]
        content[place] ^= 1
    path.write_bytes(content)
