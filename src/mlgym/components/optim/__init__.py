"""Optimizers and learning rate schedulers."""

from mlgym.components.optim.optimizers import LEFT_OUT, build_optimizer, torch_optimizers

__all__ = ["LEFT_OUT", "build_optimizer", "torch_optimizers"]
