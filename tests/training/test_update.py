"""One update of the parameters: what a training step has to give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlgym import StepOutput
from mlgym.errors import TrainingError
from mlgym.training.device import Device
from mlgym.training.parallel import Forward
from mlgym.training.update import GradientRules, Update


def test_a_step_gives_a_step_output() -> None:
    """A bare loss, which other libraries take, is told apart by name, with what to write."""
    model = nn.Linear(2, 1)

    def update(step: Callable[[Tensor], Any]) -> Update:
        return Update(Forward(step), torch.optim.SGD(model.parameters(), 0.1), Device("cpu"), GradientRules())

    def loss_of(batch: Tensor) -> Tensor:
        loss: Tensor = model(batch).sum()
        return loss

    batch = torch.ones(3, 2)
    assert update(lambda batch: StepOutput(loss_of(batch))).backward(batch, 1.0, first=True).loss.ndim == 0
    with pytest.raises(TrainingError, match="must give a `StepOutput`, but gave a Tensor: write `return StepOutput"):
        update(loss_of).backward(batch, 1.0, first=True)
