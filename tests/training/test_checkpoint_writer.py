"""Saving beside training: what the writing thread has to tell is told, whenever it is asked."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from mlgym.errors import TrainingError
from mlgym.training import checkpoint_writer
from mlgym.training.checkpoint import CheckpointContent
from mlgym.training.checkpoint_courier import Delivered
from mlgym.training.checkpoint_writer import CheckpointWriter, Saved


def _content(epoch: int) -> CheckpointContent:
    return CheckpointContent(epoch, epoch, {"weight": torch.ones(3)})


def _saved(writer: CheckpointWriter) -> list[Saved]:
    return [news for news in writer.take_news() if not isinstance(news, Delivered)]


def test_news_that_come_while_somebody_asks_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training may ask at the very moment at which a checkpoint comes to stand."""
    writer = CheckpointWriter(tmp_path)
    taken: list[Saved] = []

    def asked_meanwhile(*arguments: Any) -> Saved:
        taken.extend(_saved(writer))
        return Saved(*arguments)

    monkeypatch.setattr(checkpoint_writer, "Saved", asked_meanwhile)
    for epoch in (1, 2):
        writer.save(_content(epoch), ("all",), ())
    writer.wait()
    taken.extend(_saved(writer))
    assert [saved.checkpoint.epoch for saved in taken] == [1, 2]


def test_what_cannot_be_deleted_ends_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new checkpoint stands and is told of; what was to go is named, and only what is gone counts as deleted."""
    writer = CheckpointWriter(tmp_path)
    for epoch in (1, 2):
        writer.save(_content(epoch), ("all",), ())
    writer.wait()
    goes, stays = (saved.checkpoint.path for saved in _saved(writer))
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path == stays:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    writer.save(_content(3), ("last",), (goes, stays))
    writer.wait()
    (saved,) = _saved(writer)
    assert (saved.checkpoint.epoch, saved.deleted) == (3, (goes,))
    (complaint,) = saved.complaints
    assert str(stays) in complaint
    assert "cannot be deleted: Device or resource busy; the new one stands" in complaint


def test_a_failure_stays_one(tmp_path: Path) -> None:
    """Once a checkpoint could not be written, every later question says so; the end of the work does not."""
    (tmp_path / "file").write_text("")
    writer = CheckpointWriter(tmp_path / "file")
    writer.save(_content(1), ("all",), ())
    writer.close()
    assert writer.has_news
    for ask in (writer.wait, writer.take_news):
        with pytest.raises(TrainingError, match="no checkpoint can be written"):
            ask()
