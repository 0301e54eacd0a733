"""Data that changed between an interruption and its continuation is noticed, by split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

import mlgym
from mlgym.components.data import TensorData, data_loaders, fingerprint
from mlgym.components.loss import CrossEntropy
from mlgym.components.tensors import StepOutput
from mlgym.config.registry import REGISTRY, register
from mlgym.errors import Interrupted
from mlgym.events import DataFingerprint, Log, MemorySink
from mlgym.events.types import ExperimentResumed
from mlgym.training import ExperimentContext, State, StopFlag, Training, list_checkpoints
from mlgym.training.checkpoint import read_checkpoint, write_checkpoint
from mlgym.training.evaluator import Evaluator
from mlgym.training.split_data import DataChangedError, SplitData
from mlgym.training.trainer import Trainer

from .conftest import make_data, make_model


class Unsteady(Dataset[tuple[Tensor, Tensor]]):
    """Samples with noise that nothing seeds: others each time they are read."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng()

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.generator.random(6, dtype=np.float32)), torch.tensor(index % 4)


def _changed(num_samples: int) -> TensorData:
    data = make_data(num_samples)
    assert isinstance(data.inputs, Tensor)
    data.inputs[num_samples // 2, 3] += 0.001
    return data


def _train(
    folder: Path,
    sink: MemorySink,
    *,
    attempt: int = 0,
    stop_at: int | None = None,
    data: Mapping[str, Dataset[Any]] | None = None,
    **given: Any,
) -> None:
    datasets: dict[str, Dataset[Any]] = {"train": make_data(40), "val": make_data(20), **(data or {})}
    stop = StopFlag()

    class Stopper:
        def on_step_end(self, state: State, output: StepOutput) -> None:
            stop.requested = state.step == stop_at

    model, loaders = make_model(), data_loaders(datasets, 8, seed=1)
    trainer = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), loader=loaders["train"], loss=CrossEntropy())
    evaluator = Evaluator(model, CrossEntropy(), loaders=loaders)
    context = ExperimentContext("run", 3, folder, seed=7, device="cpu", sink=sink, attempt=attempt, stop=stop)
    Training(trainer, evaluator, epochs=3, callbacks=[Stopper()]).run(replace(context, **given))


@pytest.fixture
def interrupted(tmp_path: Path, sink: MemorySink) -> Path:
    """The run folder of an experiment that was interrupted in its second epoch."""
    with pytest.raises(Interrupted):
        _train(tmp_path, sink, stop_at=7)
    return tmp_path


def _of(sink: MemorySink, kind: type[Any]) -> list[Any]:
    return [payload for payload in sink.payloads if isinstance(payload, kind)]


@pytest.mark.parametrize("split", ["train", "val"])
def test_one_changed_value_is_refused_by_name(interrupted: Path, split: str) -> None:
    """The error names the split alone, both fingerprints and the remedies; the checkpoint stands."""
    before = list_checkpoints(interrupted / "3" / "checkpoints")
    num_samples = {"train": 40, "val": 20}[split]
    old, new = fingerprint(make_data(num_samples)), fingerprint(_changed(num_samples))
    assert old is not None
    assert new is not None
    with pytest.raises(DataChangedError) as caught:
        _train(interrupted, MemorySink(), attempt=1, data={split: _changed(num_samples)})
    assert str(caught.value) == (
        f"data changed since epoch_1-step_7: `{split}` {num_samples} samples ({old.sha256[:8]}) -> {num_samples} "
        f"({new.sha256[:8]}). Restore it and go on with --retry-failed, start another run, or admit it with "
        "--retry-failed --allow-data-change"
    )
    assert list_checkpoints(interrupted / "3" / "checkpoints") == before


def test_more_samples_are_named_before_more_batches(interrupted: Path) -> None:
    """That an epoch has another number of batches is a consequence, and not what the error tells."""
    with pytest.raises(DataChangedError, match=r"`train` 40 samples \(.{8}\) -> 48 \("):
        _train(interrupted, MemorySink(), attempt=1, data={"train": make_data(48)})


def test_control_without_the_comparison_nobody_notices(interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the experiment goes on to its end with other data, and says nothing."""
    monkeypatch.setattr(SplitData, "compare", lambda *_, **__: None)
    sink = MemorySink()
    _train(interrupted, sink, attempt=1, data={"train": _changed(40), "val": _changed(20)})
    assert not _of(sink, Log)


def test_the_same_data_goes_on_again_and_again(interrupted: Path, sink: MemorySink) -> None:
    """Also from a checkpoint that a continuation wrote, which still knows the data of the beginning."""
    resumed = MemorySink()
    with pytest.raises(Interrupted):
        _train(interrupted, resumed, attempt=1, stop_at=12)
    assert not _of(resumed, Log)
    with pytest.raises(DataChangedError, match="epoch_2-step_12: `val` 20"):
        _train(interrupted, MemorySink(), attempt=2, data={"val": _changed(20)})
    _train(interrupted, sink, attempt=2)
    assert not _of(sink, Log)


def test_a_change_that_is_allowed_is_told(interrupted: Path, sink: MemorySink) -> None:
    """It goes on with a warning, and the log and later checkpoints have the new fingerprint."""
    sink = MemorySink()
    with pytest.raises(Interrupted):
        _train(interrupted, sink, attempt=1, lineage=1, stop_at=12, data={"val": _changed(20)}, allow_data_change=True)
    (warning,) = _of(sink, Log)
    assert warning.message.startswith("data changed since epoch_1-step_7, as was allowed: `val` 20")
    told = {one.split: one.sha256 for one in _of(sink, DataFingerprint)}
    assert told["val"] == getattr(fingerprint(_changed(20)), "sha256", None)
    _train(interrupted, MemorySink(), attempt=2, lineage=1, data={"val": _changed(20)})


class Boom:
    """Fails in the first step, as long as the file is there."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_step_end(self, state: State, output: StepOutput) -> None:
        if self.file.exists():
            raise RuntimeError("boom")


def test_an_experiment_that_left_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that begins anew is compared with what the log says it was begun with; what is allowed stands in the log."""
    REGISTRY.names()  # MLgym's own are registered once in a process: not into the copy
    monkeypatch.setattr(REGISTRY, "_components", dict(REGISTRY._components))
    register("boom")(Boom)
    add, boom = _write_table(tmp_path / "data.csv"), tmp_path / "boom"
    boom.touch()
    config = _config({"use": "table", "path": str(tmp_path / "data.csv"), "target": "kind", "task": "classification"})
    config["experiment"]["callbacks"] = [{"use": "boom", "file": str(boom)}]
    given: dict[str, Any] = {"storage": tmp_path / "runs", "executor": "inline", "progress": False}
    assert mlgym.run(config, run_id="run", **given).experiments[0].error == "RuntimeError: boom"
    boom.unlink()
    add()
    refused = mlgym.resume("run", retry_failed=True, **given).experiments[0]
    assert "data changed since the experiment began: `train` 14 samples (" in str(refused.error)
    assert refused.state.sizes["train"] == 14
    allowed = mlgym.resume("run", retry_failed=True, allow_data_change=True, **given).experiments[0]
    assert (allowed.error, allowed.state.sizes["train"], allowed.state.lineage) == (None, 15, 1)


def test_checkpoints_of_older_versions_go_on(interrupted: Path, sink: MemorySink) -> None:
    """Those know no data; they go on as they did."""
    folder = interrupted / "3" / "checkpoints"
    content = read_checkpoint(list_checkpoints(folder)[-1])
    older = {name: value for name, value in content.state.items() if name != "data"}
    assert set(content.state["data"]) == {"train", "val"}
    write_checkpoint(folder, replace(content, step=8, state=older))
    sink = MemorySink()
    _train(interrupted, sink, attempt=1, data={"val": _changed(20)})
    assert _of(sink, ExperimentResumed)[0].path == "3/checkpoints/epoch_1-step_8"
    assert not _of(sink, Log)


def test_data_that_is_other_each_time_is_not_refused(tmp_path: Path, sink: MemorySink) -> None:
    """What differs from itself proves no change: the log says so, and the experiment goes on."""
    with pytest.raises(Interrupted):
        _train(tmp_path, sink, stop_at=7, data={"val": Unsteady()})
    sink = MemorySink()
    _train(tmp_path, sink, attempt=1, data={"val": Unsteady()})
    (warning,) = _of(sink, Log)
    assert warning.message.startswith("`val` has other samples each time it is read")


def _write_images(folder: Path) -> Callable[[], Callable[[], None]]:
    """Writes images of two classes; gives what adds another one, which gives what removes it."""

    def add(name: str, grey: int) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), grey, np.uint8)).save(path)
        return path

    for number in range(20):
        add(f"{'cat' if number % 2 else 'dog'}/{number:03}.png", number * 5)
    return lambda: add("cat/new.png", 200).unlink


def _write_table(path: Path) -> Callable[[], Callable[[], None]]:
    """Writes a table; gives what adds a row, which gives what removes it."""
    text = "a,b,kind\n" + "".join(f"{n % 7},{n * n % 11},{'xy'[n % 2]}\n" for n in range(20))
    path.write_text(text)

    def add() -> Callable[[], None]:
        path.write_text(text + "3,4,x\n")

        def undo() -> None:
            path.write_text(text)

        return undo

    return add


def _config(data: Mapping[str, Any]) -> dict[str, Any]:
    components = {
        "data": data,
        "model": {"use": "mlp", "hidden": [4]},
        "optimizer": {"use": "sgd", "model": "$model", "lr": 0.1},
    }
    experiment = {"epochs": 1, "early_stopping": []}
    return {"version": 1, "extends": "preset/classification", "components": components, "experiment": experiment}


@pytest.mark.parametrize("kind", ["images", "table"])
def test_a_run_whose_files_grew(tmp_path: Path, kind: str) -> None:
    """A run from files is refused after one was added to, goes on when it is restored, or where it is allowed."""
    if kind == "images":
        grow = _write_images(tmp_path / "data")
        data = {"use": "image_folder", "root": str(tmp_path / "data"), "image_size": 4}
    else:
        grow = _write_table(tmp_path / "data.csv")
        data = {"use": "table", "path": str(tmp_path / "data.csv"), "target": "kind", "task": "classification"}
    config = _config(data)
    given: dict[str, Any] = {"storage": tmp_path / "runs", "executor": "inline", "progress": False}
    assert mlgym.run(config, run_id="run", **given).exit_code == 0
    undo = grow()
    refused = mlgym.resume("run", epochs=2, **given)
    assert refused.exit_code == 1
    error = str(refused.experiments[0].state.error)
    assert "data changed since epoch_1-step_" in error
    assert "`train` 14 samples" in error
    assert "`val` 3 samples" in error
    undo()
    resumed = mlgym.resume("run", retry_failed=True, **given)
    assert resumed.exit_code == 0
    assert list(resumed.experiments[0].history("val/loss").epochs) == [1, 2]
    grow()
    # One batch holds all, so that epochs stay as long as they were.
    allowed = mlgym.resume("run", epochs=3, allow_data_change=True, **given)
    assert allowed.exit_code == 0
    assert allowed.experiments[0].state.lineage > resumed.experiments[0].state.lineage
    assert any(
        "as was allowed: `train` 14 samples" in line.message for line in allowed.experiments[0].state.recent_logs
    )
