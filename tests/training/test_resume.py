"""Going on from a checkpoint: the same bits and the same results as without an interruption."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mlgym.components.data import data_loaders
from mlgym.components.loss import CrossEntropy, WeightedSum
from mlgym.components.tensors import StepOutput
from mlgym.errors import Interrupted, TrainingError
from mlgym.events import CheckpointDeleted, CheckpointSaved, Event, EventLog, Log, LogSink, Payload, fold, read_log
from mlgym.events.types import ExperimentResumed
from mlgym.training import ExperimentContext, State, StopFlag, Training, full_state, list_checkpoints
from mlgym.training.checkpoint import read_checkpoint, write_checkpoint
from mlgym.training.determinism import seed_global_generators
from mlgym.training.digest import digest
from mlgym.training.evaluator import Evaluator
from mlgym.training.stopping import Patience
from mlgym.training.strategies import EveryNEpochs, KeepAll, KeepBest, KeepBestAndLast, KeepLast
from mlgym.training.trainer import Trainer

from .conftest import make_data, make_model


class SmallLog:
    """Stores each (producer, seq) once, as the event log does, and knows the results in their order."""

    def __init__(self) -> None:
        self.results: dict[tuple[str | None, int | None], Any] = {}
        self.others: list[Payload] = []

    def emit(self, payload: Payload) -> None:
        self.others.append(payload)

    def emit_event(self, event: Event) -> None:
        import msgspec

        self.results.setdefault((event.producer, event.seq), msgspec.to_builtins(event.payload))

    def of(self, kind: type[Any]) -> list[Any]:
        return [payload for payload in self.others if isinstance(payload, kind)]


class Shaken(Dataset[tuple[Tensor, Tensor]]):
    """The samples, each with noise from all three global generators."""

    def __init__(self) -> None:
        self.data = make_data(40)

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, target = self.data[index]
        return inputs + torch.randn(6) * 0.1 + random.random() * 0.1 + float(np.random.rand()) * 0.1, target


class Counting:
    """A callback with state and a generator of its own, whose draws reach the weights."""

    def __init__(self) -> None:
        self.steps = 0
        self.starts = 0
        self.generator = torch.Generator().manual_seed(3)

    def on_epoch_start(self, state: State) -> None:
        self.starts += 1

    def on_step_end(self, state: State, output: StepOutput) -> None:
        self.steps += 1
        with torch.no_grad():
            state.model.get_parameter("layers.0.bias").add_(0.001 * self.starts * self.steps)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "starts": self.starts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.starts = state["steps"], state["starts"]


class Momentum:
    """A training step that is no module and keeps a slow copy of the model, and a generator."""

    def __init__(self) -> None:
        self.slow = make_model(seed=1)
        self.generator = torch.Generator().manual_seed(5)
        self.loss = CrossEntropy()

    def __call__(self, model: nn.Module, batch: Any) -> StepOutput:
        inputs, targets = batch
        with torch.no_grad():
            for mine, theirs in zip(self.slow.parameters(), model.parameters(), strict=True):
                mine.lerp_(theirs, 0.1)
            pull = self.slow(inputs)
        logits = model(inputs)
        noise = torch.rand((), generator=self.generator)
        loss = self.loss(logits, targets) + noise * (logits - pull).square().mean()
        return StepOutput(loss, {"prediction": logits}, {"target": targets})


def _plain(**changes: Any) -> Training:
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100)
    loaders = data_loaders({"train": Shaken(), "val": make_data(20)}, 8, seed=1, num_workers=changes.pop("workers", 0))
    loss = WeightedSum([CrossEntropy(), CrossEntropy(label_smoothing=0.1)], scale_by_warm_up_mean=7)
    trainer: dict[str, Any] = {
        "loader": loaders["train"], "loss": loss, "lr_scheduler": scheduler, "lr_scheduler_interval": "step",
    }  # fmt: skip
    trainer |= changes.pop("trainer", {})
    given: dict[str, Any] = {
        "epochs": 4,
        "callbacks": [Counting()],
        "early_stopping": Patience("val/loss", "min", epochs=3),
        "checkpoints": KeepBestAndLast("val/loss", "min"),
    }
    return Training(
        Trainer(model, optimizer, **trainer), Evaluator(model, CrossEntropy(), loaders=loaders), **(given | changes)
    )


def _accumulating(**changes: Any) -> Training:
    return _plain(trainer={"gradient_accumulation_steps": 2, "clip_gradient_norm": 1.0}, **changes)


def _own_step(**changes: Any) -> Training:
    return _plain(trainer={"step": Momentum(), "loss": None, "precision": "bf16"}, **changes)


def _half(**changes: Any) -> Training:
    return _plain(trainer={"precision": "fp16"}, steps_per_epoch=7, **changes)


def _attempt(
    make: Callable[..., Training],
    folder: Path,
    log: SmallLog,
    attempt: int,
    stop_at: int | None,
    until_epoch: int | None = None,
) -> Training:
    """Runs as a fresh process would: everything built anew and seeded, until a stop is requested after a step."""
    seed_global_generators(7, "build")
    stop = StopFlag()

    class Stopper:
        def on_step_end(self, state: State, output: StepOutput) -> None:
            stop.requested = state.step == stop_at

    training = make()
    training.hooks = type(training.hooks)([*training.hooks.callbacks, Stopper()])
    known = {payload.path for payload in log.of(CheckpointSaved)} - {one.path for one in log.of(CheckpointDeleted)}
    context = ExperimentContext(
        "run", 3, folder, seed=7, device="cpu", sink=log, attempt=attempt, known_checkpoints=tuple(known), stop=stop,
        components={"components.step": training.trainer.turns[0].step}, until_epoch=until_epoch,
    )  # fmt: skip
    seed_global_generators(7, "training")
    training.run(context)
    return training


def _fingerprint(training: Training) -> tuple[str, ...]:
    states = [training.model.state_dict(), *(one.state_dict() for one in training.trainer.optimizers)]
    return tuple(digest(state) for state in states)


@pytest.mark.parametrize("make", [_plain, _accumulating, _own_step, _half])
def test_interrupted_at_every_step_and_gone_on(tmp_path: Path, make: Callable[..., Training]) -> None:
    """Weights, optimizer and every result are those of an uninterrupted run, wherever it was interrupted."""
    whole = SmallLog()
    expected = _fingerprint(_attempt(make, tmp_path / "whole", whole, 0, None))
    last_step = list(whole.results.values())[-1]["step"]
    for step in range(1, last_step + 1):
        log, folder = SmallLog(), tmp_path / str(step)
        with pytest.raises(Interrupted):
            _attempt(make, folder, log, 0, step)
        resumed = _attempt(make, folder, log, 1, None)
        assert _fingerprint(resumed) == expected, step
        assert log.results == whole.results, step


class Drawing:
    """A callback that draws from the global generators at every hook, and puts what it drew into the weights."""

    def on_epoch_start(self, state: State) -> None:
        self._shake(state)

    def on_evaluation(self, state: State, scores: dict[str, float]) -> None:
        self._shake(state)

    def on_epoch_end(self, state: State) -> None:
        self._shake(state)

    def on_checkpoint(self, state: State, path: Path) -> None:
        self._shake(state)

    def _shake(self, state: State) -> None:
        with torch.no_grad():
            state.model.get_parameter("layers.0.bias").add_(0.01 * torch.randn(16) + 0.01 * random.random())


def _drawing(**changes: Any) -> Training:
    return _plain(callbacks=[Drawing()], checkpoint_every_n_steps=4, **changes)


def test_callbacks_that_draw_go_on_too(tmp_path: Path) -> None:
    """What hooks draw at the start of an epoch, or when a checkpoint stands, is drawn again after an interruption."""
    whole = SmallLog()
    expected = _fingerprint(_attempt(_drawing, tmp_path / "whole", whole, 0, None))
    last_step = list(whole.results.values())[-1]["step"]
    for step in range(1, last_step + 1):
        log, folder = SmallLog(), tmp_path / str(step)
        with pytest.raises(Interrupted):
            _attempt(_drawing, folder, log, 0, step)
        assert _fingerprint(_attempt(_drawing, folder, log, 1, None)) == expected, step
        assert log.results == whole.results, step


@pytest.mark.parametrize("changes", [{}, {"checkpoints": EveryNEpochs(3)}, {"callbacks": [Drawing()]}])
def test_paused_after_every_epoch_and_gone_on(tmp_path: Path, changes: dict[str, Any]) -> None:
    """A limit on epochs is a pause, not a shorter training: schedules and results are those of the whole."""
    whole, log = SmallLog(), SmallLog()
    make = partial(_plain, **changes)
    expected = _fingerprint(_attempt(make, tmp_path / "whole", whole, 0, None))
    for epoch in (1, 2, 3):
        paused = _attempt(make, tmp_path / "parts", log, epoch - 1, None, until_epoch=epoch)
        assert list(log.results.values())[-1]["epoch"] == epoch
        assert _fingerprint(paused) != expected
    assert _fingerprint(_attempt(make, tmp_path / "parts", log, 3, None, until_epoch=9)) == expected
    assert log.results == whole.results


def test_interrupted_after_every_single_step(tmp_path: Path) -> None:
    """A chain of interruptions, one a step, changes nothing either."""
    whole, log = SmallLog(), SmallLog()
    expected = _fingerprint(_attempt(_plain, tmp_path / "whole", whole, 0, None))
    attempt = 0
    for step in range(1, 20):
        with pytest.raises(Interrupted):
            _attempt(_plain, tmp_path / "chain", log, attempt, step)
        attempt += 1
    assert _fingerprint(_attempt(_plain, tmp_path / "chain", log, attempt, None)) == expected
    assert log.results == whole.results
    standing = {payload.path for payload in log.of(CheckpointSaved)} - {one.path for one in log.of(CheckpointDeleted)}
    on_disk = {f"3/checkpoints/{one.path.name}" for one in list_checkpoints(tmp_path / "chain" / "3" / "checkpoints")}
    assert standing == on_disk


@pytest.mark.parametrize("part", ["generators", "parts"])
def test_control_without_part_of_the_state_the_bits_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Without generator states, or without optimizer, scheduler and callbacks, other weights come out."""
    expected = _fingerprint(_attempt(_plain, tmp_path / "whole", SmallLog(), 0, None))
    with pytest.raises(Interrupted):
        _attempt(_plain, tmp_path / "cut", SmallLog(), 0, 7)
    if part == "generators":
        monkeypatch.setattr("mlgym.training.rank_state.restore_generators_of", lambda state: None)
    else:
        monkeypatch.setattr(full_state.FullState, "restore", lambda self, state, cut: None)
    assert _fingerprint(_attempt(_plain, tmp_path / "cut", SmallLog(), 1, None)) != expected


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    """The one before is taken, which is said, and the end is the same."""
    whole, log = SmallLog(), SmallLog()

    def make() -> Training:
        return _plain(checkpoints=KeepAll())

    expected = _fingerprint(_attempt(make, tmp_path / "whole", whole, 0, None))
    with pytest.raises(Interrupted):
        _attempt(make, tmp_path / "cut", log, 0, 12)
    newest = list_checkpoints(tmp_path / "cut" / "3" / "checkpoints")[-1]
    assert newest.path.name == "epoch_2-step_12"
    with (newest.path / "training.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    assert _fingerprint(_attempt(make, tmp_path / "cut", log, 1, None)) == expected
    (warning,) = log.of(Log)
    assert "epoch_2-step_12/training.safetensors does not match its manifest" in warning.message
    (resumed,) = log.of(ExperimentResumed)
    assert (resumed.path, resumed.epoch, resumed.step) == ("3/checkpoints/epoch_2-step_10", 2, 10)
    assert log.results == whole.results
    assert "3/checkpoints/epoch_2-step_12" in {payload.path for payload in log.of(CheckpointDeleted)}


def test_a_checkpoint_of_another_version_is_named(tmp_path: Path) -> None:
    """What another version keeps in another way is refused with the remedy, not with a `KeyError`."""
    log = SmallLog()
    with pytest.raises(Interrupted):
        _attempt(_plain, tmp_path, log, 0, 12)
    folder = tmp_path / "3" / "checkpoints"
    content = read_checkpoint(list_checkpoints(folder)[-1])
    write_checkpoint(folder, replace(content, epoch=9, state={"format": 99}))
    with pytest.raises(
        TrainingError, match=r"epoch_9-step_12 was written by another version of MLgym \(format 99, .*run_config"
    ):
        _attempt(_plain, tmp_path, log, 1, None)


def test_without_a_checkpoint_it_starts_anew(tmp_path: Path) -> None:
    """Nothing to go on from is no error: the results are those that the log knows."""
    whole = SmallLog()
    expected = _fingerprint(_attempt(_plain, tmp_path / "whole", whole, 0, None))
    again = _fingerprint(_attempt(_plain, tmp_path / "again", whole, 1, None))
    assert again == expected
    assert len(whole.results) == len({str(result) for result in whole.results.values()})


def test_another_lineage_sends_its_results_anew(tmp_path: Path) -> None:
    """Where the continuation may differ, results after the checkpoint are void and come from another producer."""
    log = SmallLog()
    with pytest.raises(Interrupted):
        _attempt(_plain, tmp_path, log, 0, 12)
    before = set(log.results)
    training = _plain()
    context = ExperimentContext("run", 3, tmp_path, seed=7, device="cpu", sink=log, attempt=1, lineage=1)
    training.run(context)
    assert log.of(ExperimentResumed)[0].replaces_later
    later = [result for origin, result in log.results.items() if origin not in before]
    assert {producer for producer, _ in set(log.results) - before}.isdisjoint({producer for producer, _ in before})
    assert min(result["step"] for result in later if "step" in result) == 15


def test_a_lineage_killed_before_its_first_checkpoint_loses_no_result(tmp_path: Path) -> None:
    """It begins again at the same point, and the log says all that it measured, before the kill and after."""

    class Ending:
        def __init__(self, step: int, how: type[BaseException]) -> None:
            self.step, self.how = step, how

        def on_step_end(self, state: State, output: StepOutput) -> None:
            if state.step == self.step:
                state.context.stop.requested = self.how is Interrupted
                if self.how is not Interrupted:
                    raise self.how

    def measured_at(attempt: int, step: int, how: type[BaseException] | None) -> list[int]:
        training = _plain(callbacks=[Ending(step, how or Interrupted)], checkpoints=EveryNEpochs(100))
        with EventLog.open(tmp_path / "event.log") as log:
            sink = LogSink(log)
            context = ExperimentContext(
                "run", 3, tmp_path, seed=7, device="cpu", sink=sink, attempt=attempt, lineage=min(1, attempt)
            )
            with nullcontext() if how is None else pytest.raises(how):
                training.run(context)
            sink.flush()
        return list(fold(read_log(tmp_path / "event.log")).experiments[3].metrics["val/loss"].steps)

    assert measured_at(0, 12, Interrupted) == [5, 10]
    assert measured_at(1, 18, KeyboardInterrupt) == [5, 10, 15]
    assert measured_at(2, -1, None) == [5, 10, 15, 20]


def test_checkpoints_within_an_epoch_replace_each_other(tmp_path: Path) -> None:
    """They serve to go on from: only the newest stays, and goes when the epoch's own stands."""
    log = SmallLog()

    def make() -> Training:
        return _plain(checkpoint_every_n_steps=2, checkpoints=KeepLast(), epochs=2)

    _attempt(make, tmp_path, log, 0, None)
    saved = [(one.path.rpartition("/")[2], one.reasons) for one in log.of(CheckpointSaved)]
    assert saved == [
        ("epoch_0-step_2", ["within epoch"]),
        ("epoch_0-step_4", ["within epoch"]),
        ("epoch_1-step_5", ["last"]),
        ("epoch_1-step_6", ["within epoch"]),
        ("epoch_1-step_8", ["within epoch"]),
        ("epoch_1-step_10", ["within epoch"]),
        ("epoch_2-step_10", ["last"]),
    ]
    assert [one.path.name for one in list_checkpoints(tmp_path / "3" / "checkpoints")] == ["epoch_2-step_10"]


def test_time_based_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that moves a second each time it is read, one comes after some steps within the epoch."""
    log, clock = SmallLog(), iter(range(10**6))
    monkeypatch.setattr("mlgym.training.checkpointer.time.monotonic", lambda: float(next(clock)))

    def make() -> Training:
        return _plain(checkpoint_every_s=8.0, checkpoints=KeepLast(), epochs=1, callbacks=[], early_stopping=())

    _attempt(make, tmp_path, log, 0, None)
    assert any("within epoch" in one.reasons for one in log.of(CheckpointSaved))


def test_more_epochs_go_on_from_the_end(tmp_path: Path) -> None:
    """Two epochs and then four are four epochs."""
    whole, log = SmallLog(), SmallLog()

    def make(epochs: int) -> Callable[[], Training]:
        return lambda: _plain(epochs=epochs, early_stopping=(), checkpoints=KeepBest("val/loss", "max"))

    expected = _fingerprint(_attempt(make(4), tmp_path / "whole", whole, 0, None))
    _attempt(make(2), tmp_path / "more", log, 0, None)
    assert _fingerprint(_attempt(make(4), tmp_path / "more", log, 1, None)) == expected
    assert log.results == whole.results


def test_a_checkpoint_of_other_parts_is_refused(tmp_path: Path) -> None:
    """What keeps a state and what has one must be the same."""
    with pytest.raises(Interrupted):
        _attempt(_plain, tmp_path, SmallLog(), 0, 7)
    with pytest.raises(TrainingError, match=r"`callbacks.0` keeps a state, but the experiment has none"):
        _attempt(lambda: _plain(callbacks=[]), tmp_path, SmallLog(), 1, None)


def test_stopping_in_the_evaluation_keeps_the_epoch(tmp_path: Path) -> None:
    """A request while the model is evaluated loses no step: the evaluation is done again."""
    whole, log = SmallLog(), SmallLog()
    expected = _fingerprint(_attempt(_plain, tmp_path / "whole", whole, 0, None))
    seed_global_generators(7, "build")
    training, stop = _plain(), StopFlag()
    forward = training.model.forward

    def stop_in_evaluation(inputs: Tensor) -> Any:
        stop.requested |= not training.model.training
        return forward(inputs)

    training.model.forward = stop_in_evaluation
    context = ExperimentContext("run", 3, tmp_path / "cut", seed=7, device="cpu", sink=log, stop=stop)
    seed_global_generators(7, "training")
    with pytest.raises(Interrupted, match="in the evaluation after step 5"):
        training.run(replace(context, components={"components.step": training.trainer.turns[0].step}))
    assert [one.path.name for one in list_checkpoints(tmp_path / "cut" / "3" / "checkpoints")] == ["epoch_0-step_5"]
    assert _fingerprint(_attempt(_plain, tmp_path / "cut", log, 1, None)) == expected
    assert log.results == whole.results
