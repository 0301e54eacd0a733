"""Learning rate schedulers as components."""

import inspect
import math
import typing
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.optim import SGD, Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from mlgym.components.optim import torch_schedulers, warmup_cosine, warmup_linear
from mlgym.components.optim.schedulers import COMPONENTS
from mlgym.errors import TrainingError

NEEDED: dict[str, dict[str, Any]] = {
    "cosine_annealing_lr": {"T_max": 5},
    "cosine_annealing_warm_restarts": {"T_0": 2},
    "cyclic_lr": {"base_lr": 0.1, "max_lr": 1.0},
    "exponential_lr": {"gamma": 0.5},
    "lambda_lr": {"lr_lambda": lambda step: 0.5**step},
    "multi_step_lr": {"milestones": [1, 2]},
    "multiplicative_lr": {"lr_lambda": lambda step: 0.5},
    "one_cycle_lr": {"max_lr": 1.0, "total_steps": 10},
    "step_lr": {"step_size": 1},
}


def make_optimizer() -> Optimizer:
    return SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)


def settings_for(name: str, optimizer: Optimizer) -> dict[str, Any]:
    if name == "chained_scheduler":
        return {"schedulers": [lr_scheduler.ConstantLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)]}
    if name == "sequential_lr":
        first, second = lr_scheduler.ConstantLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)
        return {"schedulers": [first, second], "milestones": [2]}
    return NEEDED.get(name, {})


def rates(scheduler: LRScheduler, optimizer: Optimizer, num_steps: int) -> list[float]:
    """The learning rate of each step."""
    seen = []
    for _ in range(num_steps):
        seen.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step(1.0) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else scheduler.step()
    return seen


def test_every_torch_scheduler_is_a_component() -> None:
    """A new scheduler of PyTorch cannot be missed."""
    classes = {
        name
        for name, cls in vars(lr_scheduler).items()
        if inspect.isclass(cls) and issubclass(cls, LRScheduler) and cls is not LRScheduler and name[0] != "_"
    }
    assert classes == {cls.__name__ for cls in torch_schedulers().values()}
    assert set(COMPONENTS) == set(torch_schedulers())
    assert {"step_lr", "cosine_annealing_lr", "one_cycle_lr", "reduce_lr_on_plateau"} <= set(torch_schedulers())


@pytest.mark.parametrize("name", sorted(torch_schedulers()))
def test_a_component_schedules_as_torch_does(name: str) -> None:
    """Each gives the learning rates of the class it stands for, and its signature can be read by a config."""
    optimizer, plain = make_optimizer(), make_optimizer()
    target = COMPONENTS[name]
    cls = torch_schedulers()[name]
    own = rates(target(optimizer, **settings_for(name, optimizer)), optimizer, 8)
    torchs = rates(cls(**{"optimizer": plain, **settings_for(name, plain)}), plain, 8)
    assert own == torchs
    parameters = inspect.signature(target).parameters
    hints = typing.get_type_hints(target, include_extras=True)
    assert next(iter(parameters)) == "optimizer"
    assert hints["return"] is cls
    assert "last_epoch" not in parameters
    for key, parameter in parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            TypeAdapter(hints[key]).validate_python(parameter.default)


def test_warm_up_then_cosine() -> None:
    """The rates are those of the formula: 1/w, 2/w ... 1, half a cosine, and the minimum from then on."""
    optimizer = make_optimizer()
    seen = rates(warmup_cosine(optimizer, 10, num_warmup_steps=4, min_factor=0.1), optimizer, 12)
    falling = [0.1 + 0.9 * (1 + math.cos(math.pi * share / 6)) / 2 for share in range(6)]
    assert seen == pytest.approx([0.25, 0.5, 0.75, 1.0, *falling, 0.1, 0.1])


def test_warm_up_then_linear() -> None:
    """The rates are those of the formula, also without a warm-up."""
    optimizer = make_optimizer()
    seen = rates(warmup_linear(optimizer, 6, num_warmup_steps=2), optimizer, 8)
    assert seen == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0])
    optimizer = make_optimizer()
    assert rates(warmup_linear(optimizer, 2), optimizer, 3) == [1.0, 0.5, 0.0]


def test_warm_up_resumes() -> None:
    """A scheduler that took over a state goes on with the same rates."""
    optimizer = make_optimizer()
    scheduler = warmup_cosine(optimizer, 10, num_warmup_steps=4)
    straight = rates(scheduler, optimizer, 10)
    optimizer = make_optimizer()
    scheduler = warmup_cosine(optimizer, 10, num_warmup_steps=4)
    rates(scheduler, optimizer, 5)
    again = make_optimizer()
    resumed = warmup_cosine(again, 10, num_warmup_steps=4)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert rates(resumed, again, 5) == straight[5:]


def test_a_warm_up_as_long_as_the_whole_is_refused() -> None:
    """The numbers of steps must leave room for the fall."""
    with pytest.raises(TrainingError, match="must be less than `num_steps`"):
        warmup_linear(make_optimizer(), 5, num_warmup_steps=5)
