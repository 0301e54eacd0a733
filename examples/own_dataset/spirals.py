"""A plain torch `Dataset` and a plain `nn.Module`, registered unchanged."""

import math

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mlgym import register


@register("spirals")
class Spirals(Dataset[tuple[Tensor, Tensor]]):
    """Points on three interleaved spirals.

    Args:
        num_samples: number of points, the three classes taking turns.
        noise: standard deviation of a point's distance from its spiral, >= 0.
        seed: what the noise follows from.
    """

    def __init__(self, num_samples: int, noise: float = 0.1, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(num_samples) % 3
        radius = torch.linspace(0.1, 1.0, num_samples)
        angle = 4 * radius * math.pi / 2 + self.labels * 2 * math.pi / 3
        points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)  # (samples, 2)
        self.points = points + noise * radius[:, None] * torch.randn(num_samples, 2, generator=generator)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.points[index], self.labels[index]


@register("spiral_net")
class SpiralNet(nn.Module):
    """Two hidden layers from two coordinates to three classes.

    Args:
        width: units of each hidden layer.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 3)
        )

    def forward(self, points: Tensor) -> Tensor:
        """Gives logits (batch, 3) for points (batch, 2)."""
        return self.layers(points)
