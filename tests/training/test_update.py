"""One update of the parameters: what a training step has to give."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlgym import StepOutput
from mlgym.errors import TrainingError
from mlgym.training.device import Device
from mlgym.training.parallel import Forward
from mlgym.training.update import GradientRules, Update
from tests.work import num_calls


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


class _Counting(torch.optim.SGD):
    """Has a way of its own to drop gradients."""

    num_drops = 0

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Counts."""
        self.num_drops += 1
        super().zero_grad(set_to_none)


@pytest.mark.parametrize("kind", [torch.optim.SGD, _Counting])
def test_gradients_of_all_parameters_are_dropped(kind: type[torch.optim.SGD]) -> None:
    """Those of a group that was added on the way, too; an optimizer's own way is taken."""
    first, second = nn.Linear(2, 1), nn.Linear(1, 1)
    optimizer = kind(first.parameters(), 0.1)

    def run(batch: Tensor) -> StepOutput:
        return StepOutput(second(first(batch)).sum())

    update = Update(Forward(run), optimizer, Device("cpu"), GradientRules())
    optimizer.add_param_group({"params": list(second.parameters())})
    # A state that is loaded brings groups of its own.
    optimizer.load_state_dict(optimizer.state_dict())
    for _ in range(2):
        update.backward(torch.ones(3, 2), 1, first=True)
    assert second.bias.grad == 3
    update.backward(torch.ones(3, 2), 1, first=False)
    assert second.bias.grad == 6
    assert getattr(optimizer, "num_drops", 2) == 2


def test_dropping_gradients_costs_next_to_nothing() -> None:
    """PyTorch's own way to do it is 20 calls in each step, most of them for its profiler."""
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    update = Update(Forward(lambda batch: StepOutput(model(batch).sum())), optimizer, Device("cpu"), GradientRules())
    batch = torch.ones(3, 2)
    costs = [num_calls(partial(update.backward, batch, 1, first=first))[1] for first in (True, True, False)]
    assert costs[1] - costs[2] < 5 < num_calls(optimizer.zero_grad)[1]
