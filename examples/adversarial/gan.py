"""A small generative adversarial network: two networks, two losses, two optimizers, one training loop."""

import math

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mlgym import StepOutput, register

NOISE_SIZE = 4


@register("ring")
class Ring(Dataset[tuple[Tensor, Tensor]]):
    """Points on the unit circle; the target, always 0, is not used.

    Args:
        num_samples: number of points.
    """

    def __init__(self, num_samples: int) -> None:
        angles = torch.arange(num_samples) * (2 * math.pi / num_samples)
        self.points = torch.stack([angles.cos(), angles.sin()], dim=1)  # (samples, 2)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.points[index], torch.tensor(0)


def _network(num_inputs: int, width: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(num_inputs, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2),
        nn.Linear(width, num_outputs),
    )  # fmt: skip


@register("gan")
class GAN(nn.Module):
    """Generator and discriminator of points in the plane.

    Args:
        width: units of each hidden layer.
    """

    generator: nn.Module
    discriminator: nn.Module

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.generator = _network(NOISE_SIZE, width, 2)
        self.discriminator = _network(2, width, 1)

    def fake(self, count: int) -> Tensor:
        """Gives generated points (count, 2)."""
        return self.generator(torch.randn(count, NOISE_SIZE))


@register("discriminator_step", call_args=("model", "batch"))
def discriminator_step(model: GAN, batch: tuple[Tensor, Tensor]) -> StepOutput:
    """Tells real points from generated ones."""
    real, _ = batch
    judged = model.discriminator(torch.cat([real, model.fake(len(real)).detach()]))  # (2 * batch, 1)
    truth = torch.cat([torch.ones(len(real), 1), torch.zeros(len(real), 1)])
    return StepOutput(nn.functional.binary_cross_entropy_with_logits(judged, truth))


@register("generator_step", call_args=("model", "batch"))
def generator_step(model: GAN, batch: tuple[Tensor, Tensor]) -> StepOutput:
    """Makes points that the discriminator takes for real ones."""
    judged = model.discriminator(model.fake(len(batch[0])))  # (batch, 1)
    return StepOutput(nn.functional.binary_cross_entropy_with_logits(judged, torch.ones_like(judged)))


@register("ring_distance", call_args=("model", "batch"))
def ring_distance(model: GAN, batch: tuple[Tensor, Tensor]) -> StepOutput:
    """Measures how far generated points are from the ring, as mean absolute difference of the radius."""
    radius = model.fake(len(batch[0])).norm(dim=1)  # (batch,)
    return StepOutput((radius - 1).abs().mean())
