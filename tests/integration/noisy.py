"""Components of a run that uses randomness wherever it can: first weights, dropout, augmentation, a callback."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mlgym import register


@register("noisy_points")
class NoisyPoints(Dataset[tuple[Tensor, Tensor]]):
    """Points whose coordinates are shaken by all three global generators each time they are read.

    Args:
        num_samples: number of points.
    """

    def __init__(self, num_samples: int = 60) -> None:
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.arange(num_samples) % 3
        self.points = torch.randn(num_samples, 4, generator=generator) + self.labels[:, None]

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        shake = 0.1 * torch.randn(4) + 0.1 * random.gauss(0, 1) + 0.1 * float(np.random.randn())
        return self.points[index] + shake, self.labels[index]


@register("dropout_net")
class DropoutNet(nn.Module):
    """First weights and dropout come from the global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))

    def forward(self, points: Tensor) -> Tensor:
        logits: Tensor = self.layers(points)
        return logits


@register("unused_noise")
class UnusedNoise:
    """A callback that draws from the global generator when it is built, as careless code does."""

    def __init__(self, draws: int = 1) -> None:
        torch.randn(draws)
        np.random.randn(draws)

    def on_experiment_start(self, state: Any) -> None: ...
