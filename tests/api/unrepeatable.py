"""A component that no seed governs."""

from __future__ import annotations

import secrets
from typing import Any

import torch

from mlgym import register


@register("unseeded_noise")
class UnseededNoise:
    """A callback that shakes the weights by the operating system's randomness before one epoch.

    Args:
        epoch: number of the epoch, from 1.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_start(self, state: Any) -> None:
        if state.epoch + 1 == self.epoch:
            with torch.no_grad():
                bias = list(state.model.parameters())[1]
                bias += 1e-3 * (1 + secrets.randbelow(10**6))
