"""Training over one epoch: forward, backward, update. What happens between epochs is in `experiment`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, TypeAlias, cast

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mlgym.components.data import order_digest
from mlgym.components.data.adapted_loader import as_loader
from mlgym.components.data.loader import Loader
from mlgym.components.step import AlternatingStep, SupervisedStep, Turn
from mlgym.components.tensors import Step, StepOutput
from mlgym.config.registry import register
from mlgym.errors import TrainingError
from mlgym.training.callbacks import Hooks
from mlgym.training.device import Device, Precision
from mlgym.training.losses import EpochLosses
from mlgym.training.state import State

PositiveInt: TypeAlias = Annotated[int, Field(ge=1)]
PositiveFloat: TypeAlias = Annotated[float, Field(gt=0)]
Progress: TypeAlias = Callable[[int], None]
"""Told how many batches of the epoch are done."""


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


@register("trainer")
class Trainer:
    """Trains a model on the batches of a loader."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        *,
        loader: Loader,
        loss: nn.Module | None = None,
        step: Step | None = None,
        lr_scheduler: LRScheduler | ReduceLROnPlateau | None = None,
        lr_scheduler_interval: Literal["step", "epoch"] = "epoch",
        lr_scheduler_metric: str | None = None,
        gradient_accumulation_steps: PositiveInt = 1,
        clip_gradient_norm: PositiveFloat | None = None,
        clip_gradient_value: PositiveFloat | None = None,
        precision: Precision = "fp32",
        compile: bool = False,  # noqa: A002 - the field's word
    ) -> None:
        """Puts together what training needs.

        Args:
            model: the model to train.
            optimizer: updates its parameters; left out with an `alternating_step`, whose turns have their own.
            loader: gives the batches of an epoch.
            loss: for the usual supervised step; left out where `step` has its own.
            step: from (model, batch) to a loss and named outputs; None: `supervised_step` with `loss`.
            lr_scheduler: changes the learning rate.
            lr_scheduler_interval: whether it moves on after each update or after each epoch.
            lr_scheduler_metric: the score that `reduce_lr_on_plateau` watches, such as `val/loss`.
            gradient_accumulation_steps: batches that make one update, >= 1; their gradients are averaged.
            clip_gradient_norm: largest norm of all gradients together, > 0.
            clip_gradient_value: largest absolute value of a gradient's element, > 0.
            precision: number format of forward and backward passes; parameters stay fp32.
            compile: compile the model with `torch.compile`.

        Raises:
            TrainingError: parts that contradict each other, or none that gives a loss.
        """
        self.model = model
        self.loader = as_loader(loader)
        self.loss = loss
        self.turns = _turns(optimizer, step, loss)
        self.lr_scheduler = lr_scheduler
        self.lr_scheduler_interval = lr_scheduler_interval
        self.lr_scheduler_metric = lr_scheduler_metric
        self.gradients = GradientRules(gradient_accumulation_steps, clip_gradient_norm, clip_gradient_value)
        self.precision: Precision = precision
        self.compile = compile
        if len(self.turns) > 1 and gradient_accumulation_steps > 1:
            raise TrainingError("`gradient_accumulation_steps` does not go with several turns of an `alternating_step`")
        on_plateau = isinstance(lr_scheduler, ReduceLROnPlateau)
        if on_plateau and (lr_scheduler_metric is None or lr_scheduler_interval == "step"):
            raise TrainingError("`reduce_lr_on_plateau` needs a `lr_scheduler_metric` and moves once an epoch")

    @property
    def optimizers(self) -> tuple[Optimizer, ...]:
        """The optimizers in the order of their turns."""
        return tuple(turn.optimizer for turn in self.turns)

    def updates(self, device: Device) -> tuple[Update, ...]:
        """Gives the update of each turn, ready to run on `device`."""
        model = cast("nn.Module", torch.compile(self.model)) if self.compile else self.model
        return tuple(Update(turn, model, device, self.gradients) for turn in self.turns)

    def num_batches(self, steps_per_epoch: int | None) -> int:
        """Gives the number of batches of an epoch: one pass over the data, or those that make `steps_per_epoch`."""
        if steps_per_epoch is None:
            return len(self.loader)
        return steps_per_epoch * self.gradients.accumulation_steps

    def batches(self, epoch: int, num_batches: int, start_batch: int = 0) -> Iterator[Any]:
        """Gives the batches of an epoch; a pure function of the loader's seed and `epoch`.

        An epoch that is not one pass over the data goes on where the one before it ended.

        Args:
            epoch: its number, from 0.
            num_batches: batches of the epoch.
            start_batch: the first one to give, from 0; none are given where all are done.
        """
        if start_batch >= num_batches:
            return iter(())
        if num_batches == len(self.loader):
            return iter(self.loader.epoch(epoch, start_batch))
        return _running_batches(self.loader, epoch * num_batches + start_batch, num_batches - start_batch)

    def order_digest(self, epoch: int, num_batches: int) -> str | None:
        """Gives a hash of the samples of an epoch in the order of `batches`; None where the loader does not know it."""
        if num_batches == len(self.loader):
            return order_digest(self.loader, epoch)
        data_pass, start_batch = divmod(epoch * num_batches, len(self.loader))
        return order_digest(self.loader, data_pass, num_batches, start_batch)

    def end_epoch(self, scores: dict[str, float]) -> None:
        """Moves a scheduler on that counts epochs.

        Raises:
            TrainingError: `lr_scheduler_metric` was not evaluated.
        """
        if self.lr_scheduler is None or self.lr_scheduler_interval == "step":
            return
        if isinstance(self.lr_scheduler, ReduceLROnPlateau):
            metric = self.lr_scheduler_metric or ""
            if metric in scores:
                self.lr_scheduler.step(scores[metric])
        else:
            self.lr_scheduler.step()


class Update:
    """One turn, ready to run: forward, backward and update on a device.

    Attributes:
        every: it runs at every so many steps.
        scaler: scales its losses; None where that is not needed.
    """

    def __init__(self, turn: Turn, model: nn.Module, device: Device, gradients: GradientRules) -> None:
        """Binds a turn to a model on a device."""
        self.every = turn.every
        self._step = turn.step
        self._optimizer = turn.optimizer
        self._model = model
        self._autocast = device.autocast()
        self.scaler = device.scaler()
        self._gradients = gradients
        self._parameters = [parameter for group in turn.optimizer.param_groups for parameter in group["params"]]

    def backward(self, batch: Any, group_size: int, *, first: bool) -> StepOutput:
        """Runs the step on a batch and adds its gradients.

        Args:
            batch: one batch, on the device.
            group_size: number of batches that make the update; the gradient is their mean.
            first: whether it is the first batch of the update, so that old gradients are dropped.
        """
        if first:
            self._optimizer.zero_grad(set_to_none=True)
        with self._autocast:
            output = self._step(self._model, batch)
        loss = output.loss if group_size == 1 else output.loss / group_size
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        loss.backward()  # type: ignore[no-untyped-call]
        return output

    def apply(self) -> None:
        """Clips the gradients and updates the parameters."""
        scaler, rules = self.scaler, self._gradients
        clips = rules.clip_norm is not None or rules.clip_value is not None
        if scaler is not None and clips:
            scaler.unscale_(self._optimizer)
        if rules.clip_value is not None:
            nn.utils.clip_grad_value_(self._parameters, rules.clip_value)
        if rules.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, rules.clip_norm)
        if scaler is None:
            self._optimizer.step()
        else:
            scaler.step(self._optimizer)
            scaler.update()


@dataclass(slots=True)
class Epoch:
    """One epoch on its way.

    Args:
        num_batches: batches of the epoch.
        done: batches that are done.
        losses: their losses, while the parameters moved.
    """

    num_batches: int
    done: int = 0
    losses: EpochLosses = field(default_factory=EpochLosses)


@dataclass(frozen=True, slots=True)
class Gear:
    """What an epoch is run with.

    Args:
        updates: one for each optimizer's turn.
        move: brings a batch to the device; None where it is there.
        hooks: those of `on_step_end` are called after each update.
        attention: asks to be looked after at a step boundary.
        progress: told now and then how many batches are done.
    """

    updates: tuple[Update, ...]
    move: Callable[[Any], Any] | None
    hooks: Hooks
    attention: Attention
    progress: Progress


class Attention(Protocol):
    """What training must look after between two steps: stop requests, checkpoints."""

    @property
    def wanted(self) -> bool:
        """Whether something happened that cannot wait; read after each step."""

    def next_step(self) -> int:
        """Gives the step at whose end attention is wanted in any case."""

    def give(self, epoch: Epoch) -> None:
        """Looks after it.

        Raises:
            Interrupted: a stop was requested; what must be kept is on disk.
        """


def train_epoch(
    trainer: Trainer, state: State, epoch: Epoch, gear: Gear, *, on_begin: Callable[[], None] | None = None
) -> None:
    """Trains for one epoch, or for the rest of one.

    Args:
        trainer: what is trained, on what.
        state: counts the steps.
        epoch: where it stands; moved on with each batch.
        gear: what it is run with.
        on_begin: called once the batches are there and nothing was drawn from them.

    Raises:
        Interrupted: a stop was requested; the last update is complete.
    """
    group, num_batches = trainer.gradients.accumulation_steps, epoch.num_batches
    step_hooks = gear.hooks.of("on_step_end")
    scheduler = trainer.lr_scheduler if trainer.lr_scheduler_interval == "step" else None
    updates, move, attention, losses = gear.updates, gear.move, gear.attention, epoch.losses
    report_every = max(1, num_batches // 10)
    next_report = epoch.done + report_every
    trainer.model.train()
    batches = trainer.batches(state.epoch, num_batches, epoch.done)
    if on_begin is not None:
        on_begin()
    attend_at = attention.next_step()
    for done, batch in enumerate(batches, start=epoch.done + 1):
        if move is not None:
            batch = move(batch)
        first = group == 1 or done % group == 1
        last = done % group == 0 or done == num_batches
        group_size = group if done <= num_batches - num_batches % group else num_batches % group
        for update in updates:
            if update.every > 1 and state.step % update.every:
                continue
            output = update.backward(batch, group_size, first=first)
            if last:
                update.apply()
        losses.add(output.loss)
        if not last:
            continue
        state.step += 1
        for hook in step_hooks:
            hook(state, output)
        if scheduler is not None:
            scheduler.step()
        if attention.wanted or state.step >= attend_at:
            epoch.done = done
            attention.give(epoch)
            attend_at = attention.next_step()
        if done >= next_report:
            next_report += report_every
            gear.progress(done)
    epoch.done = num_batches


def _running_batches(loader: Loader, first: int, count: int) -> Iterator[Any]:
    batches_per_pass = len(loader)
    while count > 0:
        data_pass, start = divmod(first, batches_per_pass)
        for batch in loader.epoch(data_pass, start):
            yield batch
            first, count = first + 1, count - 1
            if count == 0:
                return


def _turns(optimizer: Optimizer | None, step: Step | None, loss: nn.Module | None) -> tuple[Turn, ...]:
    if isinstance(step, AlternatingStep):
        if optimizer is not None:
            raise TrainingError(
                "the turns of an `alternating_step` have optimizers: leave the trainer's `optimizer` out"
            )
        return step.turns
    if optimizer is None:
        raise TrainingError("the trainer needs an `optimizer`")
    if step is None:
        if loss is None:
            raise TrainingError("the trainer needs a `loss`, or a `step` that gives one")
        step = SupervisedStep(loss)
    return (Turn(step, optimizer),)
