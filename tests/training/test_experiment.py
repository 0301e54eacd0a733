"""One experiment from its first epoch to its last."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mlgym.components.data import order_digest
from mlgym.components.loss import CrossEntropy
from mlgym.components.metric import F1
from mlgym.components.step import SupervisedStep
from mlgym.components.tensors import StepOutput
from mlgym.errors import Interrupted, TrainingError
from mlgym.events.sink import MemorySink
from mlgym.events.types import (
    CheckpointDeleted,
    CheckpointSaved,
    DataFingerprint,
    Digest,
    EvaluationResult,
    ModelSummary,
    SystemMetrics,
    TrainingStopped,
)
from mlgym.training.checkpoint import list_checkpoints, load_weights
from mlgym.training.context import ExperimentContext
from mlgym.training.determinism import seed_global_generators
from mlgym.training.device import Device
from mlgym.training.digest import digest
from mlgym.training.evaluator import Evaluator
from mlgym.training.experiment import Training
from mlgym.training.run import run_experiment
from mlgym.training.session import Session
from mlgym.training.state import State
from mlgym.training.stopping import Patience, StopOnNan, TargetReached
from mlgym.training.strategies import KeepAll, KeepBest
from mlgym.training.trainer import Trainer

from .conftest import make_loaders, make_model


def _training(**changes: Any) -> Training:
    model = make_model()
    loaders = make_loaders()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    trainer = Trainer(model, optimizer, loader=loaders["train"], loss=CrossEntropy())
    given: dict[str, Any] = {"evaluator": Evaluator(model, CrossEntropy(), loaders=loaders), "epochs": 3}
    return Training(trainer, **(given | changes))


def _run(context: ExperimentContext, **changes: Any) -> Training:
    training = _training(**changes)
    seed_global_generators(context.seed, "training")
    training.run(context)
    return training


def _of(sink: MemorySink, kind: type[Any]) -> list[Any]:
    return [payload for payload in sink.payloads if isinstance(payload, kind)]


def test_each_epoch_is_evaluated_digested_and_kept(context: ExperimentContext, sink: MemorySink) -> None:
    """Three epochs give three results, three digests and, by default, one checkpoint that stands: the last."""
    _run(context)
    results = _of(sink, EvaluationResult)
    assert [(result.epoch, result.step) for result in results] == [(1, 5), (2, 10), (3, 15)]
    named = [(score.split, score.loss) for score in results[0].loss_scores]
    assert named == [("train", "loss"), ("train", "running_loss"), ("val", "loss")]
    assert len(_of(sink, Digest)) == 3
    assert [saved.path for saved in _of(sink, CheckpointSaved)] == [
        f"3/checkpoints/epoch_{epoch}-step_{5 * epoch}" for epoch in (1, 2, 3)
    ]
    assert len(_of(sink, CheckpointDeleted)) == 2
    assert [one.epoch for one in list_checkpoints(context.run_dir / "3" / "checkpoints")] == [3]


def test_the_same_seed_gives_the_same_digests(context: ExperimentContext, sink: MemorySink, tmp_path: Path) -> None:
    """Repeated, every digest is the same; with another seed none is."""
    digests: list[list[tuple[str, str]]] = []
    for seed in (7, 7, 8):
        other = MemorySink()
        _run(ExperimentContext("run", 0, tmp_path / str(len(digests)), seed=seed, device="cpu", sink=other))
        digests.append([(one.parameters, one.optimizer) for one in _of(other, Digest)])
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])


def test_evaluating_more_often_does_not_change_training(context: ExperimentContext, sink: MemorySink) -> None:
    """Evaluation before training and each epoch, or only at the end: the weights are the same, bit for bit."""
    often = _run(context, evaluate_before_training=True)
    seldom = _run(context, evaluate_every_n_epochs=2)
    never = _run(context, evaluator=None)
    assert len({digest(one.model.state_dict()) for one in (often, seldom, never)}) == 1
    results = _of(sink, EvaluationResult)
    epochs = [result.epoch for result in results if any(score.split == "val" for score in result.loss_scores)]
    assert epochs == [0, 1, 2, 3, 2, 3]


def test_early_stopping_ends_training_with_its_reason(context: ExperimentContext, sink: MemorySink) -> None:
    """The first rule that fires is told; the epoch that fired is evaluated and kept."""
    rules = [Patience("val/loss", "min", epochs=99), TargetReached("val/loss", "min", target=1e9)]
    _run(context, early_stopping=rules, epochs=50)
    (stopped,) = _of(sink, TrainingStopped)
    assert stopped.epoch == 1
    assert "`val/loss` reached" in stopped.reason
    standing = list_checkpoints(context.run_dir / "3" / "checkpoints")
    assert [(one.epoch, one.step) for one in standing] == [(1, 5)]


def test_nan_stops_training_where_asked(context: ExperimentContext, sink: MemorySink) -> None:
    """A loss that is NaN is written as null with its name, and ends training."""

    def broken(model: nn.Module, batch: Any) -> StepOutput:
        return StepOutput(model(batch[0]).sum() * float("nan"))

    model = make_model()
    trainer = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), loader=make_loaders()["train"], step=broken)
    Training(trainer, epochs=9, early_stopping=StopOnNan()).run(context)
    (stopped,) = _of(sink, TrainingStopped)
    assert stopped.reason == "`train/running_loss` became nan"
    (score,) = _of(sink, EvaluationResult)[0].loss_scores
    assert (score.score, score.non_finite) == (None, "nan")


def test_a_watched_metric_that_nobody_evaluates_is_an_error_before_training() -> None:
    """The nearest measured one is named."""
    with pytest.raises(TrainingError, match=r"`KeepBest` watches `val/los`.*did you mean `val/loss`"):
        _training(checkpoints=KeepBest("val/los", "min"))
    with pytest.raises(TrainingError, match="`Patience` watches `val/loss`, which is not evaluated"):
        _training(early_stopping=Patience("val/loss", "min", epochs=3), evaluator=None)


class Recorder:
    """Notes which hook was called when, and keeps a count."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.steps = 0

    def on_experiment_start(self, state: State) -> None:
        self.calls.append("start")

    def on_epoch_start(self, state: State) -> None:
        self.calls.append(f"epoch {state.epoch}")

    def on_step_end(self, state: State, output: StepOutput) -> None:
        self.steps += 1

    def on_evaluation(self, state: State, scores: dict[str, float]) -> None:
        self.calls.append(f"evaluation {sorted(scores)[0]}")

    def on_epoch_end(self, state: State) -> None:
        self.calls.append(f"epoch end {state.epoch}")

    def on_checkpoint(self, state: State, path: Path) -> None:
        self.calls.append(f"checkpoint {path.name}")

    def on_experiment_end(self, state: State) -> None:
        self.calls.append("end")

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


def test_hooks_are_called_in_order_and_states_are_in_the_checkpoint(context: ExperimentContext) -> None:
    """Every hook at its moment, and what a callback keeps is on disk beside the weights."""
    recorder = Recorder()
    training = _run(context, epochs=1, callbacks=[recorder])
    assert recorder.calls == [
        "start", "epoch 0", "evaluation train/loss", "epoch end 1", "checkpoint epoch_1-step_5", "end",
    ]  # fmt: skip
    (stored,) = list_checkpoints(context.run_dir / "3" / "checkpoints")
    assert json.loads((stored.path / "state.json").read_text())["parts"]["callbacks.0"] == {"steps": 5}
    fresh = make_model(seed=1)
    load_weights(stored, fresh)
    assert digest(fresh.state_dict()) == digest(training.model.state_dict())


def test_zero_epochs_evaluate_and_end(context: ExperimentContext, sink: MemorySink) -> None:
    """Nothing is trained, nothing is saved."""
    _run(context, epochs=0, evaluate_before_training=True)
    assert len(_of(sink, EvaluationResult)) == 1
    assert not _of(sink, CheckpointSaved)
    assert not (context.run_dir / "3").exists()


def test_an_interruption_ends_between_steps(context: ExperimentContext, sink: MemorySink) -> None:
    """A stop asked for in the second epoch leaves the checkpoint of the first, and one of this very step."""

    class StopAtSeven:
        def on_step_end(self, state: State, output: StepOutput) -> None:
            state.context.stop.requested = state.step == 7

    with pytest.raises(Interrupted, match="in epoch 1 after step 7"):
        _run(context, callbacks=[StopAtSeven()], checkpoints=KeepAll())
    standing = list_checkpoints(context.run_dir / "3" / "checkpoints")
    assert [(one.epoch, one.step) for one in standing] == [(1, 5), (1, 7)]


def test_an_unknown_device_is_one_clear_line(tmp_path: Path, sink: MemorySink) -> None:
    """Neither a traceback of CUDA nor a silent run on the CPU."""
    context = ExperimentContext("run", 0, tmp_path, seed=0, device="cuda:99", sink=sink)
    with pytest.raises(TrainingError, match="device `cuda:99` cannot be used"):
        _run(context)
    # Components are built with their device at hand: this config has no loader to build one for.
    with pytest.raises(TrainingError, match="device `cuda:99` cannot be used"):
        run_experiment({"seed": 0, "experiment": {"use": "training"}}, context)


def test_data_and_its_order_are_told(context: ExperimentContext, sink: MemorySink) -> None:
    """Each split's samples before the first step, and the order of each epoch with its digest."""
    training = _run(context, epochs=2)
    told = _of(sink, DataFingerprint)
    assert {(one.split, one.num_samples, one.covers) for one in told} == {("train", 40, "all"), ("val", 20, "all")}
    assert sink.payloads.index(told[0]) < sink.payloads.index(_of(sink, EvaluationResult)[0])
    assert all(one.classes and sum(one.classes.values()) == one.num_samples for one in told)
    (size,) = _of(sink, ModelSummary)
    parameters = list(training.model.parameters())
    assert size.num_parameters == size.num_trainable_parameters == sum(one.numel() for one in parameters)
    assert size.num_bytes == 4 * size.num_parameters + sum(one.nbytes for one in training.model.buffers())
    digests = _of(sink, Digest)
    assert [one.order for one in digests] == [order_digest(training.trainer.loader, epoch) for epoch in (0, 1)]
    assert digests[0].order != digests[1].order
    assert [len(one.losses) // 8 for one in digests] == [5, 5]


def test_digests_within_an_epoch(context: ExperimentContext, sink: MemorySink) -> None:
    """They tell the losses since the one before; the names of tensors are told once."""
    _run(context, epochs=1, digest_every_n_steps=2)
    digests = _of(sink, Digest)
    assert [(one.epoch, one.step, len(one.losses) // 8) for one in digests] == [(0, 2, 2), (0, 4, 2), (1, 5, 1)]
    assert len(digests[0].tensors) // 8 == len(digests[0].names)
    assert digests[0].names[0] == "layers.0.weight"
    assert all(not one.names for one in digests[1:])
    assert len({one.parameters for one in digests}) == 3


def test_a_watched_class_that_does_not_occur_is_an_error(context: ExperimentContext) -> None:
    """`keep_best` would save nothing, and nobody would know."""
    model, loaders = make_model(), make_loaders()
    evaluator = Evaluator(model, CrossEntropy(), loaders=loaders, metrics=[F1(average="none")])
    trainer = Trainer(model, torch.optim.Adam(model.parameters()), loader=loaders["train"], loss=CrossEntropy())
    training = Training(trainer, evaluator, epochs=1, checkpoints=KeepBest("val/f1/9", "max"))
    with pytest.raises(TrainingError, match=r"`KeepBest` watches `val/f1/9`, which is not evaluated; did you mean"):
        training.run(context)


def test_a_step_that_is_no_module_has_its_loss_placed(context: ExperimentContext) -> None:
    """Class weights follow the model to its device, here the one without memory."""
    model, loaders = make_model(), make_loaders()
    step = SupervisedStep(CrossEntropy(class_weights=[1.0, 2.0, 1.0, 1.0]))
    trainer = Trainer(model, torch.optim.Adam(model.parameters()), loader=loaders["train"], step=step)
    session = Session(Training(trainer, epochs=1), context)
    session.device = Device("meta")
    with suppress(NotImplementedError):
        session._place()
    assert {buffer.device.type for buffer in step.loss.buffers()} == {"meta"}


def test_no_early_stopping_is_none(context: ExperimentContext) -> None:
    """So a preset's rule can be switched off."""
    assert _run(context, early_stopping=None).early_stopping == ()


def test_the_load_is_told_now_and_then(
    context: ExperimentContext, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps per second since the last time, and the memory of the process."""
    monkeypatch.setattr("mlgym.training.reporting._LOAD_WHILE_YOUNG_S", 1e-9)
    monkeypatch.setattr("mlgym.training.reporting._MIN_INTERVAL_S", 0.0)
    _run(context, epochs=2)
    loads = _of(sink, SystemMetrics)
    assert all(one.rss_bytes > 2**20 for one in loads)
    assert any(one.steps_per_s > 0 for one in loads)
    monkeypatch.setattr("mlgym.training.reporting._LOAD_WHILE_YOUNG_S", 1e9)
    sink.payloads.clear()
    _run(context, epochs=2)
    assert not _of(sink, SystemMetrics)
