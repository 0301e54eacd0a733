"""Checkpoints that several processes write together: whole or not there, and read by any number of processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import pytest
import torch
from safetensors.torch import load_file

from mlgym.errors import TrainingError
from mlgym.training import checkpoint_shards, checkpoint_writer
from mlgym.training.checkpoint import (
    MODEL_SHARES,
    TRAINING_SHARES,
    CheckpointContent,
    StoredCheckpoint,
    list_checkpoints,
    read_checkpoint,
    tidy,
    write_checkpoint,
    write_share,
)
from mlgym.training.checkpoint_shards import Member, Share

WHOLE: Final = torch.arange(15.0).reshape(5, 3)
CONTENT: Final = CheckpointContent(2, 20, {"buffer": torch.ones(2)}, {"step": torch.tensor(3)}, {"a": 1})


def shares(rank: int, size: int = 2) -> dict[str, Share]:
    """Gives what a process has of a weight of five rows and of its momentum."""
    rows = torch.arange(5).chunk(size)[rank]
    part = WHOLE[rows].clone()
    name, momentum = f"{MODEL_SHARES}weight", f"{TRAINING_SHARES}momentum"
    where = ((int(rows[0]), 0), (5, 3))
    return {name: Share(part, *where), momentum: Share(-part, *where)}


def written(folder: Path, size: int = 2, token: int = 7) -> StoredCheckpoint:
    for rank in range(1, size):
        write_share(folder, CONTENT, shares(rank, size), Member(rank, size, token))
    return write_checkpoint(folder, CONTENT, shares(0, size), Member(0, size, token))


def ranks(task: str, folder: Path) -> None:
    """Lets several real ranks do something to its end."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.training.shard_ranks", task, str(folder)]
    # Else gloo listens on the address that the machine's name has, where it has one.
    subprocess.run(command, env={"GLOO_SOCKET_IFNAME": "lo", **os.environ}, check=True, timeout=240)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_what_each_wrote_is_one_checkpoint(tmp_path: Path, size: int) -> None:
    """Whole tensors come back whatever number of processes wrote them, beside what the first one has alone."""
    stored = written(tmp_path, size)
    assert [one.path for one in list_checkpoints(tmp_path)] == [stored.path]
    assert len(stored.sha256) == 3 + size
    content = read_checkpoint(stored)
    assert content.model.keys() == {"weight", "buffer"}
    assert torch.equal(content.model["weight"], WHOLE)
    assert torch.equal(content.tensors["momentum"], -WHOLE)
    assert content.tensors["step"] == 3
    assert not list(tmp_path.glob(".*"))


def test_the_first_waits_for_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is visible before the last share is handed over, nor if one never is; leftovers do no harm."""
    monkeypatch.setattr("mlgym.training.checkpoint.take_over", _impatient)
    with pytest.raises(TrainingError, match=r"rank 1 has not written its share .* must see the same run folder"):
        write_checkpoint(tmp_path, CONTENT, shares(0), Member(0, 2, 7))
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    # Another attempt, which was killed before its first process published.
    write_share(tmp_path, CONTENT, shares(1), Member(1, 2, 6))
    first = threading.Thread(target=write_checkpoint, args=(tmp_path, CONTENT, shares(0), Member(0, 2, 7)))
    first.start()
    while not list(tmp_path.glob(".*.7.tmp/state.json")):
        time.sleep(0.005)
    assert list_checkpoints(tmp_path) == []
    write_share(tmp_path, CONTENT, shares(1), Member(1, 2, 7))
    first.join()
    (stored,) = list_checkpoints(tmp_path)
    assert torch.equal(read_checkpoint(stored).model["weight"], WHOLE)
    tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [stored.path.name]


def test_the_first_does_not_wait_for_whom_nobody_expects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that cannot write its share says why; the end of training waits for one that is silent, but not long.

    As controls, it waits all the time where neither is so.
    """
    monkeypatch.setattr(checkpoint_writer, "_OTHERS_S", 0.1)
    writer = checkpoint_writer.CheckpointWriter(tmp_path, member=Member(0, 2, 7))
    writer.save(CONTENT, ("all",), ())
    folder = tmp_path / ".epoch_2-step_20.8.tmp"
    while not (folder / "state.json").exists():
        time.sleep(0.005)
    (folder / Member(1, 2, 8).file).touch()  # a file that is there already is as good as a disk that is full
    assert not writer.has_news
    with pytest.raises(FileExistsError):
        write_share(tmp_path, CONTENT, shares(1), Member(1, 2, 8))
    with pytest.raises(TrainingError, match=r"rank 1 cannot write its share .* File exists"):
        writer.wait()
    silent = checkpoint_writer.CheckpointWriter(tmp_path, member=Member(0, 2, 17))
    silent.save(CONTENT, ("all",), ())
    time.sleep(0.15)
    assert not silent.has_news
    silent.close()
    with pytest.raises(TrainingError, match="rank 1 had no share of it when training ended"):
        silent.wait()
    assert not list(tmp_path.iterdir())


def _impatient(folder: Path, member: Member) -> object:
    return checkpoint_shards.take_over(folder, member, wait_s=0.05)


def test_a_missing_or_changed_share_is_not_loaded(tmp_path: Path) -> None:
    """Whoever reads it is told what is wrong, and gets no memory that nothing was read into."""
    stored = written(tmp_path)
    second = stored.path / Member(1, 2, 7).file
    whole = second.read_bytes()
    second.write_bytes(whole[:-1] + b"!")
    with pytest.raises(TrainingError, match="does not match its manifest"):
        read_checkpoint(stored)
    second.write_bytes(whole)
    others = {file: sha256 for file, sha256 in stored.sha256.items() if file != second.name}
    lacking = StoredCheckpoint(stored.path, stored.epoch, stored.step, stored.bytes, others)
    with pytest.raises(TrainingError, match="has 1 of 2 shares"):
        read_checkpoint(lacking)
    shutil.copyfile(stored.path / Member(0, 2, 7).file, second)
    with pytest.raises(TrainingError, match="has only a part of `training:momentum`"):
        read_checkpoint(stored, verify=False)


def test_no_pickle_is_written_or_read(tmp_path: Path) -> None:
    """Every file is safetensors or JSON, and importing what would unpickle is never asked for anything."""
    stored = written(tmp_path)
    for path in stored.path.iterdir():
        assert path.suffix in (".json", ".safetensors")
        assert b"\x80\x02" not in path.read_bytes()[:2]
        if path.suffix == ".safetensors":
            load_file(path)


@pytest.mark.slow
def test_other_numbers_of_processes_read_the_same_bits(tmp_path: Path) -> None:
    """Written by one or two ranks, read by one, two and four: parameters and optimizer are equal to the bit."""
    ranks("reshard", tmp_path / "checkpoints")


@pytest.mark.slow
def test_a_rank_killed_between_shares_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    """Killed before its share or before it was handed over, nothing new is visible; the one before is whole.

    In the control the first rank does not wait: then a checkpoint stands that is none, and is not loaded.
    """
    ranks("die", tmp_path / "checkpoints")
    for point in ("before", "after"):
        folder = tmp_path / "checkpoints" / point
        assert list(folder.glob(".epoch_2*"))
        (stored,) = list_checkpoints(folder)
        assert stored.path.name == "epoch_1-step_1"
        assert read_checkpoint(stored).model["3.weight"].shape == (3, 16)
        tidy(folder)
        assert [path.name for path in folder.iterdir()] == [stored.path.name]
    _, unprotected = list_checkpoints(tmp_path / "checkpoints/unprotected")
    with pytest.raises(TrainingError, match="has 1 of 2 shares"):
        read_checkpoint(unprotected)
