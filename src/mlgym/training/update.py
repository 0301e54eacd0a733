"""One update of parameters: forward, backward, clipping and the optimizer's step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from mlgym.components.tensors import StepOutput
from mlgym.errors import TrainingError
from mlgym.training.device import Device
from mlgym.training.parallel import Forward


@dataclass(frozen=True, slots=True)
class GradientRules:
    """What happens to gradients before an update.

    Args:
        accumulation_steps: batches that make one update, >= 1.
        clip_norm: largest norm of all gradients together, None for no limit.
        clip_value: largest absolute value of each element, None for no limit.
    """

    accumulation_steps: int = 1
    clip_norm: float | None = None
    clip_value: float | None = None

    @property
    def clips(self) -> bool:
        """Whether there is any limit."""
        return self.clip_norm is not None or self.clip_value is not None


class Update:
    """One turn, ready to run on a device.

    Args:
        forward: runs its step.
        optimizer: updates its parameters.
        device: where it runs.
        gradients: what happens to gradients before an update.
        every: it runs at every so many steps.

    Attributes:
        every: see above.
        scaler: scales its losses; None where that is not needed.
    """

    def __init__(
        self, forward: Forward, optimizer: Optimizer, device: Device, gradients: GradientRules, *, every: int = 1
    ) -> None:
        self.every = every
        self.scaler = device.scaler()
        self._run = forward.run
        self._before = forward.before
        self._optimizer = optimizer
        self._drop_gradients = _dropper(optimizer)
        self._autocast = device.autocast()
        self._gradients = gradients
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._batch: Any = None
        self._loss: Tensor | None = None

    def backward(self, batch: Any, parts: float, *, first: bool, last: bool = True) -> StepOutput:
        """Runs the step on a batch and adds its gradients.

        Args:
            batch: one batch, on the device.
            parts: how many of its size make the update, >= 1; its gradients are divided by that. Infinity for a batch
                that counts for nothing.
            first: whether it is the first batch of the update, so that old gradients are dropped.
            last: whether it is the last one, so that devices sum their gradients.
        """
        if first:
            self._drop_gradients()
        if self._before is not None:
            self._before(last)
        with self._autocast:
            output = self._run(batch)
        try:
            loss = output.loss if parts == 1 else output.loss / parts
        except AttributeError as error:
            if isinstance(output, StepOutput):
                raise
            raise TrainingError(
                f"a training step must give a `StepOutput`, but gave a {type(output).__name__}: write "
                "`return StepOutput(loss)`"
            ) from error
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        loss.backward()
        if isinstance(self._optimizer, LBFGS):
            self._batch, self._loss = batch, output.loss
        return output

    def apply(self) -> None:
        """Clips the gradients and updates the parameters."""
        scaler, optimizer = self.scaler, self._optimizer
        if isinstance(optimizer, LBFGS):
            optimizer.step(self._measure_again)
            self._batch = None
            return
        if scaler is not None and self._gradients.clips:
            scaler.unscale_(optimizer)
        self._clip()
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

    def _measure_again(self) -> Tensor:
        """Gives the loss () of the batch at the parameters that the optimizer tries, with its gradients."""
        loss, self._loss = self._loss, None
        if loss is None:
            loss = self.backward(self._batch, 1, first=True).loss
            self._loss = None
        self._clip()
        return loss

    def _clip(self) -> None:
        rules = self._gradients
        if rules.clip_value is not None:
            nn.utils.clip_grad_value_(self._parameters, rules.clip_value)
        if rules.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, rules.clip_norm)


def _dropper(optimizer: Optimizer) -> Callable[[], None]:
    """Gives a function that drops all gradients, as `zero_grad(set_to_none=True)` does."""
    if type(optimizer).zero_grad is not Optimizer.zero_grad or "zero_grad" in vars(optimizer):
        return partial(optimizer.zero_grad, set_to_none=True)

    def drop() -> None:
        # PyTorch's own notes the call for its profiler, which takes 30 times as long as the rest.
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    return drop
