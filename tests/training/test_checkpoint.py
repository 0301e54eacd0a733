"""Checkpoints stand completely or not at all."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mlgym.errors import TrainingError
from mlgym.tracking.manifest import remove_checkpoint
from mlgym.training import checkpoint as module
from mlgym.training.checkpoint import (
    MODEL_FILE,
    CheckpointContent,
    list_checkpoints,
    load_weights,
    read_checkpoint,
    tidy,
    verify_checkpoint,
    write_checkpoint,
)
from mlgym.training.digest import digest
from mlgym.training.model_state import weights_of


class Tied(nn.Module):
    """A model whose decoder shares the weight of its encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 3, bias=False)
        self.decoder = nn.Linear(3, 3, bias=False)
        self.decoder.weight = self.encoder.weight
        self.norm = nn.BatchNorm1d(3)


def _model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2).to(torch.bfloat16))


def _write(folder: Path, epoch: int = 1, model: nn.Module | None = None) -> module.StoredCheckpoint:
    content = CheckpointContent(
        epoch, 10 * epoch, weights_of(model or _model()), {"generators.torch": torch.get_rng_state()}, {"epoch": epoch}
    )
    return write_checkpoint(folder, content)


@pytest.mark.parametrize("make", [_model, Tied])
def test_weights_come_back_bit_for_bit(tmp_path: Path, make: Any) -> None:
    """Parameters and buffers of every type, tied ones included, are what they were."""
    model = make()
    stored = _write(tmp_path, model=model)
    torch.manual_seed(99)
    other = make()
    for parameter in other.parameters():
        nn.init.ones_(parameter)
    load_weights(stored, other)
    assert digest(other.state_dict()) == digest(model.state_dict())


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    """Loading does not tear two names of one tensor apart."""
    other = Tied()
    load_weights(_write(tmp_path, model=Tied()), other)
    assert other.decoder.weight is other.encoder.weight


def test_listing_is_in_order_of_steps_and_ignores_strangers(tmp_path: Path) -> None:
    """Step 100 comes after step 20; temporary folders and files are no checkpoints."""
    for epoch in (10, 2, 1):
        _write(tmp_path, epoch)
    (tmp_path / ".epoch_3-step_30.1.tmp").mkdir()
    (tmp_path / "epoch_4-step_40").mkdir()
    (tmp_path / "notes.txt").touch()
    assert [one.epoch for one in list_checkpoints(tmp_path)] == [1, 2, 10]
    assert list_checkpoints(tmp_path / "nowhere") == []


def test_a_changed_file_is_not_loaded(tmp_path: Path) -> None:
    """One flipped bit is noticed, named, and nothing is loaded."""
    stored = _write(tmp_path)
    path = stored.path / MODEL_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    model = _model(1)
    before = digest(model.state_dict())
    with pytest.raises(TrainingError, match=r"model\.safetensors does not match its manifest"):
        load_weights(stored, model)
    assert digest(model.state_dict()) == before


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    """The first parameter that does not fit is named."""
    with pytest.raises(TrainingError, match="does not fit the model: `weight` is missing in the checkpoint"):
        load_weights(_write(tmp_path), nn.Linear(4, 2))


@pytest.mark.parametrize("failing_call", range(1, 6))
def test_a_failing_disk_leaves_nothing_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    """Whichever sync fails, no half checkpoint is listed and the older one stands; without the failure it is listed."""
    _write(tmp_path, 1)
    calls = 0
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing_call:
            raise OSError(28, "No space left on device")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path, 2)
    assert calls == failing_call
    standing = list_checkpoints(tmp_path)
    # The last sync is that of the parent folder: the checkpoint is whole by then.
    assert [one.epoch for one in standing] == ([1, 2] if failing_call == 6 else [1])
    for one in standing:
        verify_checkpoint(one)
    _write(tmp_path, 2)
    assert [one.epoch for one in list_checkpoints(tmp_path)] == [1, 2]


def test_deleting_takes_one_away(tmp_path: Path) -> None:
    """The folder is gone and the others stay; one that is gone already is no error."""
    _write(tmp_path, 1)
    _write(tmp_path, 2)
    remove_checkpoint(tmp_path / "epoch_1-step_10")
    remove_checkpoint(tmp_path / "epoch_1-step_10")
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_2-step_20"]


def test_a_name_is_gone_for_good_before_its_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut while one is deleted never brings its name back without its files."""
    stored = _write(tmp_path)
    calls: list[str] = []

    def noting(name: str) -> Any:
        real = getattr(os, name)

        def call(*arguments: Any, **named: Any) -> Any:
            calls.append(name)
            return real(*arguments, **named)

        return call

    for name in ("rename", "fsync", "unlink"):
        monkeypatch.setattr(os, name, noting(name))
    remove_checkpoint(stored.path)
    assert calls[:3] == ["rename", "fsync", "unlink"]
    assert "fsync" not in calls[2:]


def test_everything_else_comes_back_too(tmp_path: Path) -> None:
    """Tensors beside the model, and the state, are what they were, at addresses of their own."""
    torch.manual_seed(5)
    stored = _write(tmp_path)
    content = read_checkpoint(stored)
    assert (content.epoch, content.step, content.state) == (1, 10, {"epoch": 1})
    torch.manual_seed(0)
    _model()
    assert content.tensors["generators.torch"].data_ptr() % 64 == 0


def test_saving_again_replaces_it(tmp_path: Path) -> None:
    """The second one of a name stands, and no leftover of the first."""
    _write(tmp_path, model=_model(0))
    stored = _write(tmp_path, model=_model(1))
    verify_checkpoint(stored)
    other = _model(2)
    load_weights(stored, other)
    assert digest(other.state_dict()) == digest(_model(1).state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_1-step_10"]


def test_tidying_after_a_crash(tmp_path: Path) -> None:
    """Half-written and half-deleted ones go; one that was about to be replaced comes back."""
    _write(tmp_path, 1)
    _write(tmp_path, 2)
    (tmp_path / "epoch_2-step_20").rename(tmp_path / ".epoch_2-step_20.77.old")
    (tmp_path / ".epoch_2-step_20.77.tmp").mkdir()
    (tmp_path / ".epoch_0-step_0.77.deleted").mkdir()
    tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch_1-step_10", "epoch_2-step_20"]
    for stored in list_checkpoints(tmp_path):
        verify_checkpoint(stored)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"model.safetensors": 3}', b'{"state.json": {"bytes": 1, "sha256": ""}}']
)
def test_a_damaged_manifest_is_no_checkpoint_to_load(tmp_path: Path, content: bytes) -> None:
    """It is listed, so that people see it, and refused."""
    _write(tmp_path)
    (tmp_path / "epoch_1-step_10" / "manifest.json").write_bytes(content)
    (stored,) = list_checkpoints(tmp_path)
    with pytest.raises(TrainingError, match=r"damaged|does not match"):
        read_checkpoint(stored)
