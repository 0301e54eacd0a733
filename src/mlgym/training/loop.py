"""Training over one epoch: the loop. What happens between epochs is in `session`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from mlgym.training.callbacks import Hooks
from mlgym.training.losses import EpochLosses
from mlgym.training.parallel import Parallel
from mlgym.training.state import State
from mlgym.training.trainer import Trainer
from mlgym.training.update import Update
from mlgym.training.world import World

BatchProgress: TypeAlias = Callable[[int], None]
"""Told how many batches of the epoch are done."""


@dataclass(slots=True)
class Epoch:
    """One epoch on its way.

    Args:
        num_batches: batches of the epoch.
        done: batches that are done.
        losses: their losses, while the parameters moved; those of this process.
        number: which epoch it is, from 0.
    """

    num_batches: int
    done: int = 0
    losses: EpochLosses = field(default_factory=EpochLosses)
    number: int = 0


@dataclass(frozen=True, slots=True)
class Gear:
    """What an epoch is run with.

    Args:
        updates: one for each optimizer's turn.
        move: brings a batch to the device; None where it is there.
        hooks: those of `on_step_end` are called after each update.
        attention: asks to be looked after at a step boundary.
        progress: told now and then how many batches are done.
        parallel: what several devices do together.
    """

    updates: tuple[Update, ...]
    move: Callable[[Any], Any] | None
    hooks: Hooks
    attention: Attention
    progress: BatchProgress
    parallel: Parallel = field(default_factory=lambda: Parallel(World.single()))


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
    parallel, alone = gear.parallel, gear.parallel.world.size == 1
    report_every = max(1, -(-num_batches // 10))  # rounded up: ten times at most
    next_report = epoch.done + report_every
    trainer.model.train()
    parallel.begin_epoch()
    batches = trainer.batches(state.epoch, num_batches, epoch.done)
    if on_begin is not None:
        on_begin()
    attend_at = attention.next_step()
    for done, batch in enumerate(batches, start=epoch.done + 1):
        if move is not None:
            batch = move(batch)
        first = group == 1 or done % group == 1
        last = done % group == 0 or done == num_batches
        parts = 1.0 if alone and group == 1 else trainer.parts(state.epoch, num_batches, done - 1)
        if last and not alone:
            parallel.contributors = trainer.contributors(state.epoch, num_batches, done - 1)
        for update in updates:
            if update.every > 1 and state.step % update.every:
                continue
            output = update.backward(batch, parts, first=first, last=last)
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
