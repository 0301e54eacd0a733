"""A loss that waits for as long as a file is there: what happens in the middle of training lasts until it was seen.

Configs import this module by its name, with the root of the repository on the path of whoever runs them (see
`tests.programs`): a process takes a component's name from one module only, and tests share processes.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from mlgym.components.loss import CrossEntropy
from mlgym.components.tensors import Tensors
from mlgym.config import register


@register("held_cross_entropy")
class HeldCrossEntropy(CrossEntropy):
    """Cross entropy that changes no number: before a batch of training it waits while a file is there.

    Args:
        hold: the file.
        after_batches: number of batches of training, counted in this process, that do not wait.
        at_most_s: how long a batch waits at most, in s, so that an experiment hears that it is to stop; None for as
            long as the file is there.
    """

    def __init__(self, hold: str, after_batches: int = 0, at_most_s: float | None = None) -> None:
        super().__init__(name="cross_entropy")
        self._hold = Path(hold)
        self._left = after_batches
        self._at_most_s = at_most_s

    def forward(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> Tensor:
        """See `Loss`."""
        if torch.is_grad_enabled():
            self._left -= 1
            until = None if self._at_most_s is None else time.monotonic() + self._at_most_s
            while self._left < 0 and self._hold.exists() and (until is None or time.monotonic() < until):
                time.sleep(0.01)
        return super().forward(predictions, targets)
