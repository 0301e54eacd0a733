"""What is trained, on what, and by which rules. The loop over an epoch is in `loop`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

import torch
from pydantic import Field
from torch import nn
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import DataLoader

from mlgym.components.data import SliceOfEach, order_digest, sharded
from mlgym.components.data.adapted_loader import as_loader
from mlgym.components.data.loader import Loader
from mlgym.components.loss.base import AnyLoss
from mlgym.components.step import AlternatingStep, SupervisedStep, Turn
from mlgym.components.tensors import Step
from mlgym.config.contradiction import Needs, NotWith
from mlgym.config.registry import register
from mlgym.config.scores import ScoreName
from mlgym.errors import TrainingError
from mlgym.training.device import Device, Precision
from mlgym.training.parallel import Parallel, Parallelism
from mlgym.training.parallelism import LBFGS_TOGETHER, refuse_together
from mlgym.training.update import GradientRules, Update
from mlgym.training.world import World

_LBFGS_ACCUMULATED: Final = (
    "`lbfgs` measures a batch several times a step, which does not go with `gradient_accumulation_steps`: take a "
    "larger `batch_size`"
)
_LBFGS_SCALED: Final = "`lbfgs` does not go with the loss scaling of `precision: fp16`; take `bf16` or `fp32`"
_PLATEAU: Final = (
    "`reduce_lr_on_plateau` needs a `lr_scheduler_metric`, such as `val/loss`, and moves once an epoch, not each step"
)
# Where the optimizers are; an `alternating_step` has those of its turns.
_OPTIMIZERS: Final = ("optimizer", "step")
PositiveInt: TypeAlias = Annotated[int, Field(ge=1)]
PositiveFloat: TypeAlias = Annotated[float, Field(gt=0)]


@register("trainer")
class Trainer:
    """Trains a model on the batches of a loader."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        *,
        loader: Loader | DataLoader[Any],
        loss: AnyLoss | None = None,
        step: Step | None = None,
        lr_scheduler: Annotated[
            LRScheduler | ReduceLROnPlateau | None, Needs(ReduceLROnPlateau, "lr_scheduler_metric", _PLATEAU)
        ] = None,
        lr_scheduler_interval: Annotated[
            Literal["step", "epoch"],
            NotWith(ReduceLROnPlateau, ("lr_scheduler",), _PLATEAU, lambda value: value == "step"),
        ] = "epoch",
        lr_scheduler_metric: ScoreName | None = None,
        gradient_accumulation_steps: Annotated[
            PositiveInt, NotWith(LBFGS, _OPTIMIZERS, _LBFGS_ACCUMULATED, lambda value: value > 1)
        ] = 1,
        clip_gradient_norm: PositiveFloat | None = None,
        clip_gradient_value: PositiveFloat | None = None,
        precision: Annotated[
            Precision, NotWith(LBFGS, _OPTIMIZERS, _LBFGS_SCALED, lambda value: value == "fp16")
        ] = "fp32",
        compile: bool = False,  # noqa: A002 - the field's word
        parallelism: Annotated[Parallelism | None, NotWith(LBFGS, _OPTIMIZERS, LBFGS_TOGETHER)] = None,
        seed: int = 0,
    ) -> None:
        """Puts together what training needs.

        Args:
            model: the model to train.
            optimizer: updates its parameters; left out with an `alternating_step`, whose turns have their own.
            loader: gives the batches of an epoch; a plain torch `DataLoader` works too.
            loss: for the usual supervised step; left out where `step` has its own.
            step: from (model, batch) to a loss and named outputs; None: `supervised_step` with `loss`.
            lr_scheduler: changes the learning rate.
            lr_scheduler_interval: whether it moves on after each update or after each epoch.
            lr_scheduler_metric: the score that `reduce_lr_on_plateau` watches, such as `val/loss`.
            gradient_accumulation_steps: batches that make one update, >= 1; each sample in them weighs
                the same.
            clip_gradient_norm: largest norm of all gradients together, > 0.
            clip_gradient_value: largest absolute value of a gradient's element, > 0.
            precision: number format of forward and backward passes; parameters stay fp32.
            compile: compile the model with `torch.compile`.
            parallelism: how several devices train the model together, `ddp` or `fsdp`; how many there are is said at
                the launch. `batch_size` is that of all devices together. None: `ddp` where there are several.
            seed: of order and augmentation, >= 0, where `loader` is a plain torch `DataLoader`; others have their own.

        Raises:
            TrainingError: parts that contradict each other, or none that gives a loss.
        """
        self.model = model
        self.loader = as_loader(loader, seed)
        self.loss = loss
        self.turns = _turns(optimizer, step, loss)
        self.lr_scheduler = lr_scheduler
        self.lr_scheduler_interval = lr_scheduler_interval
        self.lr_scheduler_metric = lr_scheduler_metric
        self.gradients = GradientRules(gradient_accumulation_steps, clip_gradient_norm, clip_gradient_value)
        self.precision: Precision = precision
        self.compile = compile
        self.parallelism = parallelism
        self._shard: SliceOfEach | None = None
        self._reader = self.loader
        if parallelism is not None:
            refuse_together(self.optimizers)
        if len(self.turns) > 1 and gradient_accumulation_steps > 1:
            raise TrainingError("`gradient_accumulation_steps` does not go with several turns of an `alternating_step`")
        if any(isinstance(one, LBFGS) for one in self.optimizers):
            _refuse_with_lbfgs(gradient_accumulation_steps, precision)
        on_plateau = isinstance(lr_scheduler, ReduceLROnPlateau)
        if on_plateau and (lr_scheduler_metric is None or lr_scheduler_interval == "step"):
            raise TrainingError(_PLATEAU)

    @property
    def optimizers(self) -> tuple[Optimizer, ...]:
        """The optimizers in the order of their turns."""
        return tuple(turn.optimizer for turn in self.turns)

    def share(self, world: World) -> None:
        """Reads from here on the share of each batch that one of several processes has.

        Raises:
            TrainingError: the optimizer or the batches cannot be shared.
        """
        if world.size == 1:
            return
        refuse_together(self.optimizers)
        if self.loader.batch_size < world.size:
            raise TrainingError(
                f"{world.size} devices cannot share batches of {self.loader.batch_size}: `batch_size` is that of all "
                "devices together, and must be known; `data_loaders` tells it"
            )
        self._shard = SliceOfEach(world.rank, world.size)
        self._reader = sharded(self.loader, self._shard)

    def to(self, device: torch.device) -> None:
        """Prepares what is read for training on `device`; see `Loader.to`."""
        self._reader.to(device)

    def updates(self, device: Device, parallel: Parallel | None = None) -> tuple[Update, ...]:
        """Gives the update of each turn, ready to run on `device`.

        Args:
            device: where it runs.
            parallel: what several devices do together, with the model prepared; None for one device.
        """
        model = cast("nn.Module", torch.compile(self.model)) if self.compile else self.model
        parallel = parallel or Parallel(World.single())
        return tuple(
            Update(parallel.forward(turn, model), turn.optimizer, device, self.gradients, every=turn.every)
            for turn in self.turns
        )

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
            return iter(self._reader.epoch(epoch, start_batch))
        return _running_batches(self._reader, epoch * num_batches + start_batch, num_batches - start_batch)

    def parts(self, epoch: int, num_batches: int, batch: int) -> float:
        """Gives how many batches of its size make the update that a batch belongs to, by their numbers of samples.

        Where several processes share batches, its size is that of the share of this one; infinity where it has none.

        Args:
            epoch: its epoch, from 0.
            num_batches: batches of the epoch.
            batch: its number in the epoch, from 0.
        """
        sizes, place = self._sizes(epoch, num_batches, batch)
        if self._shard is None:
            return sum(sizes) / sizes[place]
        own = self._shard.counts(self.loader.batch_size, sizes[place])[self._shard.rank]
        return sum(sizes) / own if own else math.inf

    def contributors(self, epoch: int, num_batches: int, batch: int) -> int:
        """Gives how many processes have samples in the update that a batch belongs to: those of the first ranks."""
        if self._shard is None:
            return 1
        sizes, _ = self._sizes(epoch, num_batches, batch)
        return sum(count > 0 for count in self._shard.counts(self.loader.batch_size, max(sizes)))

    def counts(self, epoch: int, num_batches: int, size: int) -> list[list[int]]:
        """Gives for each of the first batches of an epoch how many samples each process has.

        Args:
            epoch: its number, from 0.
            num_batches: how many batches of it, with those before it as many each.
            size: how many processes there are.
        """
        shard = SliceOfEach(0, size)
        first = epoch * num_batches
        sizes = (self._num_samples(first + batch) for batch in range(num_batches))
        return [shard.counts(self.loader.batch_size, count) for count in sizes]

    def _sizes(self, epoch: int, num_batches: int, batch: int) -> tuple[list[int], int]:
        """Gives the samples in each batch of the update that a batch belongs to, and its place among them."""
        group = self.gradients.accumulation_steps
        start = batch - batch % group
        first = epoch * num_batches
        sizes = [self._num_samples(first + one) for one in range(start, min(start + group, num_batches))]
        return sizes, batch - start

    def _num_samples(self, batch: int) -> int:
        """Gives the samples in a batch, counted from the start of training."""
        last = len(self.loader) - 1
        place = batch % (last + 1)
        return self.loader.batch_size if place < last else self.loader.num_samples - last * self.loader.batch_size

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


def _running_batches(loader: Loader, first: int, count: int) -> Iterator[Any]:
    batches_per_pass = len(loader)
    while count > 0:
        data_pass, start = divmod(first, batches_per_pass)
        for batch in loader.epoch(data_pass, start):
            yield batch
            first, count = first + 1, count - 1
            if count == 0:
                return


def _turns(optimizer: Optimizer | None, step: Step | None, loss: AnyLoss | None) -> tuple[Turn, ...]:
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


def _refuse_with_lbfgs(accumulation_steps: int, precision: Precision) -> None:
    if accumulation_steps > 1:
        raise TrainingError(_LBFGS_ACCUMULATED)
    if precision == "fp16":
        raise TrainingError(_LBFGS_SCALED)
