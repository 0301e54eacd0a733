"""Learning rates that rise first and fall then."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mlgym.config.registry import register
from mlgym.errors import TrainingError

Steps = Annotated[int, Field(ge=1)]
WarmUpSteps = Annotated[int, Field(ge=0)]
Factor = Annotated[float, Field(ge=0, le=1)]


@register("warmup_cosine")
def warmup_cosine(
    optimizer: Optimizer, num_steps: Steps, *, num_warmup_steps: WarmUpSteps = 0, min_factor: Factor = 0.0
) -> LambdaLR:
    """Learning rates that rise linearly to the optimizer's, then fall along half a cosine.

    With w warm-up steps and n steps in all, step s = 0, 1 ... has the factor (s + 1) / w while s < w, then
    min_factor + (1 - min_factor) (1 + cos(pi (s - w) / (n - w))) / 2, and min_factor from s = n on.

    Args:
        optimizer: the optimizer whose learning rates are set.
        num_steps: number of steps (or epochs, if it steps once per epoch) until the end, warm-up included.
        num_warmup_steps: number of steps until the full learning rate, < num_steps.
        min_factor: factor on the learning rates at the end, in [0, 1].

    Raises:
        TrainingError: the warm-up is not shorter than the whole.

    Source: Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983; warm-up: Goyal et al. 2017,
        https://arxiv.org/abs/1706.02677.
    """
    return _warm_up(
        optimizer, num_steps, num_warmup_steps, min_factor, lambda share: (1 + math.cos(math.pi * share)) / 2
    )


@register("warmup_linear")
def warmup_linear(
    optimizer: Optimizer, num_steps: Steps, *, num_warmup_steps: WarmUpSteps = 0, min_factor: Factor = 0.0
) -> LambdaLR:
    """Learning rates that rise linearly to the optimizer's, then fall linearly.

    With w warm-up steps and n steps in all, step s = 0, 1 ... has the factor (s + 1) / w while s < w, then
    min_factor + (1 - min_factor) (n - s) / (n - w), and min_factor from s = n on.

    Args:
        optimizer: the optimizer whose learning rates are set.
        num_steps: number of steps (or epochs, if it steps once per epoch) until the end, warm-up included.
        num_warmup_steps: number of steps until the full learning rate, < num_steps.
        min_factor: factor on the learning rates at the end, in [0, 1].

    Raises:
        TrainingError: the warm-up is not shorter than the whole.

    Source: Goyal et al. 2017, https://arxiv.org/abs/1706.02677; linear decay: Devlin et al. 2019,
        https://arxiv.org/abs/1810.04805.
    """
    return _warm_up(optimizer, num_steps, num_warmup_steps, min_factor, lambda share: 1 - share)


def _warm_up(
    optimizer: Optimizer, num_steps: int, num_warmup_steps: int, min_factor: float, decay: Callable[[float], float]
) -> LambdaLR:
    """Gives the scheduler of a warm-up followed by `decay`, which falls from 1 to 0 over shares from 0 to 1."""
    if num_warmup_steps >= num_steps:
        raise TrainingError(
            f"`num_warmup_steps` ({num_warmup_steps}) must be less than `num_steps` ({num_steps}), which includes them"
        )

    def factor(step: int) -> float:
        if step < num_warmup_steps:
            return (step + 1) / num_warmup_steps
        share = min(1.0, (step - num_warmup_steps) / (num_steps - num_warmup_steps))
        return min_factor + (1 - min_factor) * decay(share)

    return LambdaLR(optimizer, factor)
