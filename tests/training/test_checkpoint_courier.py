"""Checkpoints on their way to another place: what stands there is good to go on from, whatever fails in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mlgym.components.loss import CrossEntropy
from mlgym.errors import TrainingError
from mlgym.events.sink import MemorySink
from mlgym.events.types import Log
from mlgym.tracking.manifest import remove_checkpoint
from mlgym.tracking.places.url_place import UrlPlace
from mlgym.training import checkpoint_courier, checkpoint_writer
from mlgym.training.checkpoint import (
    CheckpointContent,
    checkpoint_name,
    list_checkpoints,
    write_checkpoint,
)
from mlgym.training.checkpoint_courier import Courier, Delivered
from mlgym.training.checkpoint_writer import CheckpointWriter
from mlgym.training.context import ExperimentContext
from mlgym.training.experiment import Training
from mlgym.training.trainer import Trainer
from tests.tracking.faulty_filesystem import FaultyFileSystem
from tests.waiting import wait_for

from .conftest import make_loaders, make_model


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UrlPlace]:
    """A place whose filesystem does what it is told to, and couriers that try again at once."""
    FaultyFileSystem.heal()
    monkeypatch.setattr(checkpoint_courier, "FIRST_PAUSE_S", 0.01)
    yield UrlPlace(f"faulty://{tmp_path}/place", "run")
    FaultyFileSystem.heal()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run/0/checkpoints"


def _content(epoch: int) -> CheckpointContent:
    return CheckpointContent(epoch, epoch, {"weight": torch.full((3,), float(epoch))}, {}, {"epoch": epoch})


def _finish(courier: Courier, patience_s: float = 60.0) -> None:
    courier.finish(patience_s=patience_s, is_urgent=lambda: False, urgent_s=1.0)


def _saved(writer: CheckpointWriter, epoch: int, replaced: tuple[Path, ...] = ()) -> Path:
    writer.save(_content(epoch), ("last",), replaced)
    writer.wait()
    return writer._folder / checkpoint_name(epoch, epoch)


def _stands(place: UrlPlace, name: str) -> bool:
    """Whether a checkpoint stands there; asks the filesystem, since the place is the courier's."""
    return bool(place._fs.exists(f"{place._root}/0/checkpoints/{name}/manifest.json"))


def test_what_the_folder_has_stands_there_and_deletions_are_told_once_they_are_true(
    place: UrlPlace, folder: Path
) -> None:
    """The log hears of a removal only when the checkpoint is gone from both."""
    writer = CheckpointWriter(folder, Courier(place, 0, folder))
    first = _saved(writer, 1)
    second = _saved(writer, 2, (first,))
    writer.close()
    news = writer.take_news()
    assert [one.deleted for one in news if not isinstance(one, Delivered)] == [(), ()]
    assert [one.deleted for one in news if isinstance(one, Delivered)] == [(first,)]
    assert list(place.checkpoints(0)) == [second.name]
    assert [stored.path for stored in list_checkpoints(folder)] == [second]


def test_the_copy_here_goes_when_asked_and_only_once_it_stands_there(place: UrlPlace, folder: Path) -> None:
    """While the place is away, everything that is to stand is kept here."""
    FaultyFileSystem.is_down = True
    courier = Courier(place, 0, folder, keep_local=False)
    writer = CheckpointWriter(folder, courier)
    path = _saved(writer, 1)
    assert path.is_dir()
    FaultyFileSystem.is_down = False
    writer.close()
    assert not path.exists()
    assert list(place.checkpoints(0)) == [path.name]


def test_the_last_good_one_stays_until_its_successor_stands(place: UrlPlace, folder: Path) -> None:
    """A place that takes nothing more loses nothing either, and the complaint comes once, with a remedy at the end."""
    courier = Courier(place, 0, folder)
    writer = CheckpointWriter(folder, courier)
    first = _saved(writer, 1)
    wait_for(lambda: _stands(place, first.name))
    FaultyFileSystem.dies_in = "epoch_2"
    second = _saved(writer, 2, (first,))
    told: list[str] = []

    def is_told() -> bool:
        told.extend(text for one in writer.take_news() for text in one.complaints)
        return bool(told)

    wait_for(is_told)
    _finish(courier, patience_s=0.5)
    assert list(place.checkpoints(0)) == [first.name]
    assert [stored.path for stored in list_checkpoints(folder)] == [second]
    told += [text for one in writer.take_news() for text in one.complaints]
    assert len(told) == 2
    assert "the connection was reset; training goes on, and it is tried again" in told[0]
    assert "does not have epoch_2-step_2" in told[1]
    assert "`mlgym checkpoints run --send`" in told[1]


def test_one_that_goes_before_it_is_read_is_not_sent(
    place: UrlPlace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what is lacking and the sending, a newer checkpoint may replace it: nothing is made of it."""
    courier = Courier(place, 0, folder)
    stored = write_checkpoint(folder, _content(1))
    lacking = courier._lacking

    def then_it_goes() -> list[str]:
        names = lacking()
        remove_checkpoint(stored.path)
        return names

    monkeypatch.setattr(courier, "_lacking", then_it_goes)
    courier.replace(stored.path.name, ())
    _finish(courier)
    assert not place._fs.exists(f"{place._root}/0/checkpoints/{stored.path.name}")


def test_control_deleting_first_leaves_nothing(place: UrlPlace, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were older ones removed before the new one stands, such an end would leave nothing to go on from."""
    courier = Courier(place, 0, folder)
    writer = CheckpointWriter(folder, courier)
    first = _saved(writer, 1)
    wait_for(lambda: _stands(place, first.name))
    send = Courier._send

    def deletes_first(self: Courier, name: str) -> None:
        for other in [one for one in self._there if one != name]:
            self._delete(other)
        send(self, name)

    monkeypatch.setattr(Courier, "_send", deletes_first)
    FaultyFileSystem.dies_in = "epoch_2"
    _saved(writer, 2, (first,))
    wait_for(lambda: not _stands(place, first.name))
    _finish(courier, patience_s=0.5)
    assert place.checkpoints(0) == {}


def test_what_is_replaced_while_it_is_sent_arrives_nevertheless(
    place: UrlPlace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A way slower than checkpoints come still brings whole ones: what is being sent is read to its end."""
    begins, may_go_on = threading.Event(), threading.Event()
    send = UrlPlace._send
    seen = []

    def slow(self: UrlPlace, path: str, content: object) -> None:
        if "epoch_1" in path and not may_go_on.is_set():
            begins.set()
            assert may_go_on.wait(30)
        send(self, path, content)  # type: ignore[arg-type]  # whatever it was

    delete = UrlPlace.delete

    def noted(self: UrlPlace, experiment_id: int, name: str) -> None:
        seen.append((name, sorted(self.checkpoints(experiment_id))))
        delete(self, experiment_id, name)

    monkeypatch.setattr(UrlPlace, "_send", slow)
    monkeypatch.setattr(UrlPlace, "delete", noted)
    writer = CheckpointWriter(folder, Courier(place, 0, folder))
    first = _saved(writer, 1)
    assert begins.wait(30)
    second = _saved(writer, 2, (first,))
    third = _saved(writer, 3, (second,))
    assert not first.exists()
    may_go_on.set()
    writer.close()
    # The first arrived whole, the second was passed over, and none went before the third stood.
    assert seen[0] == (first.name, [first.name, third.name])
    assert list(place.checkpoints(0)) == [third.name]
    gone = [path for one in writer.take_news() for path in one.deleted]
    assert gone == [first, second]


def test_what_was_damaged_here_is_not_sent(place: UrlPlace, folder: Path) -> None:
    """A file that no longer matches its manifest makes no checkpoint there, and is not tried again for ever."""
    stored = write_checkpoint(folder, _content(1))
    (stored.path / "model.safetensors").write_bytes(b"damaged")
    told: list[Delivered] = []
    courier = Courier(place, 0, folder)
    courier.tell = told.append
    courier.replace(stored.path.name, [])
    _finish(courier)
    assert place.checkpoints(0) == {}
    (news,) = told
    assert "it was damaged here, and is not sent" in news.complaints[0]


def test_what_was_found_damaged_there_is_sent_anew(place: UrlPlace, folder: Path, tmp_path: Path) -> None:
    """Repeated training writes the same files; that they are listed there already must not be believed."""
    stored = write_checkpoint(folder, _content(1))
    _finish(_sending(place, folder, stored.path.name))
    model = tmp_path / "place/run/0/checkpoints" / stored.path.name / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + b"!")
    _finish(_sending(place, folder, stored.path.name))
    assert model.read_bytes() != whole
    courier = Courier(place, 0, folder)
    courier.distrust(stored.path.name)
    courier.settle([stored.path.name])
    _finish(courier)
    assert model.read_bytes() == whole


def _sending(place: UrlPlace, folder: Path, name: str) -> Courier:
    courier = Courier(place, 0, folder)
    courier.settle([name])
    return courier


def test_the_end_is_waited_for_as_long_as_it_may_be(
    place: UrlPlace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is asked to stop, and whose place is away, ends soon; what did not arrive stands here."""
    monkeypatch.setattr(checkpoint_writer, "_URGENT_S", 0.1)
    FaultyFileSystem.is_down = True
    writer = CheckpointWriter(folder, Courier(place, 0, folder, keep_local=False))
    path = _saved(writer, 1)
    writer.close(is_urgent=lambda: True)
    assert path.is_dir()
    complaints = [text for one in writer.take_news() for text in one.complaints]
    assert "does not have epoch_1-step_1: " in complaints[-1]


def _finish_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the end of training begin once a courier, whose thread may be slow to start, has failed and said so."""
    has_failed = threading.Event()
    failed, finish = Courier._failed, Courier.finish

    def noted(self: Courier, error: Exception) -> None:
        failed(self, error)
        has_failed.set()

    def later(self: Courier, **limits: Any) -> list[str]:
        assert has_failed.wait(120)
        return finish(self, **limits)

    monkeypatch.setattr(Courier, "_failed", noted)
    monkeypatch.setattr(Courier, "finish", later)


@pytest.mark.parametrize("is_scratch", [False, True])
def test_an_experiment_fails_only_where_its_checkpoints_would_be_lost(
    is_scratch: bool, context: ExperimentContext, sink: MemorySink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a run folder that stays, a place that is away is a warning; with one that goes, the experiment failed."""
    FaultyFileSystem.heal()
    FaultyFileSystem.is_down = True
    monkeypatch.setattr(checkpoint_writer, "_PATIENCE_S", 0.2)
    _finish_after_a_failure(monkeypatch)
    surroundings = replace(context, checkpoint_place=f"faulty://{tmp_path}/place", is_scratch=is_scratch)
    model, loaders = make_model(), make_loaders()
    trainer = Trainer(model, torch.optim.SGD(model.parameters(), 0.1), loader=loaders["train"], loss=CrossEntropy())
    lost = pytest.raises(TrainingError, match="epoch_1-step_5 could not be brought to faulty://")
    try:
        with lost if is_scratch else nullcontext():
            Training(trainer, epochs=1).run(surroundings)
    finally:
        FaultyFileSystem.heal()
    warned = [payload.message for payload in sink.payloads if isinstance(payload, Log)]
    assert any("the network is away; training goes on" in text for text in warned)
    assert any("`mlgym checkpoints run --send`" in text for text in warned) != is_scratch
