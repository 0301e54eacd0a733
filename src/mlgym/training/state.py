"""The mutable progress of one experiment; everything else in training stays as it was built."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn
from torch.optim import Optimizer

from mlgym.training.context import ExperimentContext


@dataclass(slots=True)
class State:
    """Where an experiment stands.

    Args:
        context: the surroundings of the experiment.
        model: the model that is trained.
        optimizers: those that update it, in the order of their turns.
        num_epochs: how many epochs there will be at most.
        epoch: finished epochs.
        step: optimizer updates so far, over all epochs.
        scores: the latest evaluation, numbers by `split/metric`.
        stop_reason: why training ends before `num_epochs`; None while it goes on.
    """

    context: ExperimentContext
    model: nn.Module
    optimizers: tuple[Optimizer, ...]
    num_epochs: int
    epoch: int = 0
    step: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    stop_reason: str | None = None
