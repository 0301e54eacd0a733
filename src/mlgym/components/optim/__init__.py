"""Optimizers and learning rate schedulers."""

from mlgym.components.optim.groups import Optimizers, optimizer_groups
from mlgym.components.optim.optimizers import build_optimizer, torch_optimizers
from mlgym.components.optim.schedulers import build_scheduler, torch_schedulers
from mlgym.components.optim.warm_up import warmup_cosine, warmup_linear

__all__ = [
    "Optimizers",
    "build_optimizer",
    "build_scheduler",
    "optimizer_groups",
    "torch_optimizers",
    "torch_schedulers",
    "warmup_cosine",
    "warmup_linear",
]
