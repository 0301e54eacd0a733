"""Small data, models and contexts for tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mlgym.components.data import Loader, TensorData, data_loaders
from mlgym.events.sink import MemorySink
from mlgym.training import ExperimentContext
from mlgym.training.determinism import seed_global_generators

# As experiments run; threads that wait for cores that others use make these tests many times slower.
torch.set_num_threads(1)


def make_data(num_samples: int = 40) -> TensorData:
    """Gives separable points in four classes: inputs (samples, 6), targets (samples,)."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(num_samples) % 4
    inputs = torch.randn(num_samples, 6, generator=generator) + nn.functional.one_hot(targets, 6) * 3.0
    return TensorData(inputs, targets)


def make_loaders(num_samples: int = 40, batch_size: int = 8, seed: int = 1) -> dict[str, Loader]:
    """Gives loaders of a training and a validation split."""
    return data_loaders({"train": make_data(num_samples), "val": make_data(20)}, batch_size, seed=seed)


class SmallNet(nn.Module):
    """A model with dropout and batch norm, so that generator states and modes matter."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives logits (batch, 4)."""
        logits: Tensor = self.layers(inputs)
        return logits


def make_model(seed: int = 0) -> SmallNet:
    """Gives a model whose first weights follow from the seed alone."""
    torch.manual_seed(seed)
    return SmallNet()


@pytest.fixture
def sink() -> MemorySink:
    """Collects what an experiment emits."""
    return MemorySink()


@pytest.fixture
def context(tmp_path: Path, sink: MemorySink) -> ExperimentContext:
    """Surroundings of an experiment in a temporary run folder, with global generators seeded."""
    seed_global_generators(7, "test")
    return ExperimentContext("run", 3, tmp_path, seed=7, device="cpu", sink=sink)
