"""Small experiments that several processes run together, or one alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mlgym.components.data import Loader, TensorData, data_loaders
from mlgym.components.loss import CrossEntropy
from mlgym.components.metric import F1, Accuracy, ConfusionMatrix
from mlgym.components.tensors import StepOutput
from mlgym.errors import Interrupted
from mlgym.events.sink import MemorySink, NullSink
from mlgym.events.types import CheckpointSaved, Digest, EvaluationResult, Log, TrainingStopped
from mlgym.training import Evaluator, ExperimentContext, StopFlag, Trainer, Training, World
from mlgym.training.determinism import seed_global_generators

NUM_SAMPLES = 43
"""Five batches of eight and one of three: of the last one the first two of four processes have samples."""

Answer = dict[str, Any]


def make_data(num_samples: int = NUM_SAMPLES) -> TensorData:
    """Gives samples (samples, 7) of three classes, of which one is rare."""
    generator = torch.Generator().manual_seed(3)
    targets = (torch.rand(num_samples, generator=generator) * 2.2).long()
    return TensorData(torch.randn(num_samples, 7, generator=generator) + targets[:, None], targets)


class Plain(nn.Module):
    """Sizes that no number of processes divides."""

    def __init__(self, hidden: int = 33) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(7, hidden), nn.ReLU(), nn.Linear(hidden, 13), nn.Tanh())
        self.head = nn.Linear(13, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives logits (batch, 3)."""
        logits: Tensor = self.head(self.layers(inputs))
        return logits


class Noisy(nn.Module):
    """Draws in training, and keeps running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(7, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives logits (batch, 3)."""
        logits: Tensor = self.layers(inputs)
        return logits


class Centred(Plain):
    """Trains with a buffer that it moves while it does."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(7))

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives logits (batch, 3) of what the inputs differ by from those before."""
        if self.training:
            self.mean.lerp_(inputs.mean(0), 0.1)
        return super().forward(inputs - self.mean)


class Sampling(Plain):
    """Draws whenever it is called, in evaluation too."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives noisy logits (batch, 3)."""
        return super().forward(inputs) + torch.randn(len(inputs), 3)


def make_loaders(batch_size: int, *, drop_last: bool = False, num_samples: int = NUM_SAMPLES) -> dict[str, Loader]:
    """Gives loaders of a training split and of one for evaluation, whose batches do not depend on `batch_size`."""
    data: dict[str, Dataset[Any]] = {"train": make_data(num_samples), "seen": make_data(), "val": make_data(29)}
    return data_loaders(data, {"train": batch_size, "seen": 4, "val": 4}, seed=1, drop_last=drop_last)


Make = Callable[[], nn.Module]
MakeOptimizer = Callable[[Any], torch.optim.Optimizer]


def adamw(parameters: Any) -> torch.optim.Optimizer:
    """Gives an optimizer with state."""
    return torch.optim.AdamW(parameters, lr=0.01)


def training(
    *,
    model: Make = Plain,
    optimizer: MakeOptimizer = adamw,
    batch_size: int = 8,
    epochs: int = 2,
    loaders: Mapping[str, Any] | None = None,
    drop_last: bool = False,
    num_samples: int = NUM_SAMPLES,
    scheduler: Callable[[Any], Any] | None = None,
    rhythm: Mapping[str, Any] | None = None,
    evaluate: bool = True,
    **trainer: Any,
) -> Training:
    """Gives an experiment whose first weights are always the same."""
    torch.manual_seed(5)
    built = model()
    loaders = loaders or make_loaders(batch_size, drop_last=drop_last, num_samples=num_samples)
    updates = optimizer(built.parameters())
    evaluator = Evaluator(
        built,
        [CrossEntropy(class_weights=[1.0, 2.0, 0.5]), CrossEntropy(name="plain")],
        loaders=loaders,
        splits=[split for split in loaders if split != "train"],
        metrics=[Accuracy(), F1(average="macro"), ConfusionMatrix()],
    )
    return Training(
        Trainer(
            built,
            updates,
            loader=loaders["train"],
            loss=CrossEntropy(),
            lr_scheduler=None if scheduler is None else scheduler(updates),
            **trainer,
        ),
        evaluator if evaluate else None,
        epochs=epochs,
        **(rhythm or {}),
    )


def context(folder: Path, world: World, **settings: Any) -> ExperimentContext:
    """Gives surroundings in which the main process keeps what is told."""
    sink = MemorySink() if world.is_main else NullSink()
    return ExperimentContext("run", 0, folder, seed=7, device="cpu", sink=sink, world=world, **settings)


def run(experiment: Training, surroundings: ExperimentContext) -> Answer:
    """Runs an experiment, and gives what it told in a form that JSON can hold; nothing where it is not the main one."""
    seed_global_generators(7, "training", *([surroundings.world.rank] if surroundings.world.rank else []))
    interrupted = None
    try:
        experiment.run(surroundings)
    except Interrupted as stop:
        interrupted = str(stop)
    answer: Answer = {"interrupted": interrupted}
    if isinstance(surroundings.sink, MemorySink):
        answer |= told(surroundings.sink)
    return answer


def told(sink: MemorySink) -> Answer:
    """Gives digests, scores and warnings."""
    payloads: Sequence[Any] = sink.payloads
    digests = [one for one in payloads if isinstance(one, Digest)]
    return {
        "weights": [one.parameters for one in digests],
        "optimizers": [one.optimizer for one in digests],
        "losses": [[one.losses, one.steps_per_loss] for one in digests],
        "orders": [one.order for one in digests],
        "steps": [one.step for one in digests],
        "scores": [
            [
                *([score.split, score.metric, repr(score.score)] for score in one.metric_scores),
                *([score.split, score.loss, repr(score.score)] for score in one.loss_scores),
                *([table.split, table.metric, repr(table.values)] for table in one.tables),
            ]
            for one in payloads
            if isinstance(one, EvaluationResult)
        ],
        "warnings": [one.message for one in payloads if isinstance(one, Log) and one.level == "warning"],
        "saved": [[one.step, one.reasons] for one in payloads if isinstance(one, CheckpointSaved)],
        "stopped": [one.reason for one in payloads if isinstance(one, TrainingStopped)],
    }


def alone(folder: Path, **changes: Any) -> Answer:
    """Runs an experiment in one process."""
    return run(training(**changes), context(folder, World.single()))


class StopAt:
    """A callback that asks for a stop on one rank after a step."""

    def __init__(self, stop: StopFlag, step: int) -> None:
        self._stop = stop
        self._step = step

    def on_step_end(self, state: Any, output: StepOutput) -> None:
        """Asks once."""
        if state.step == self._step:
            self._stop.requested = True


def stopped(folder: Path, world: World, *, rank: int, step: int, **changes: Any) -> Answer:
    """Stops an experiment by a request that one rank alone has."""
    surroundings = context(folder, world)
    stops = [StopAt(surroundings.stop, step)] if world.rank == rank else []
    return run(training(**changes, rhythm={"callbacks": stops}), surroundings)


def resumed(folder: Path, world: World, **changes: Any) -> Answer:
    """Goes on with an experiment that was stopped."""
    return run(training(**changes), context(folder, world, attempt=1))
