"""A copy of the model on each device: PyTorch's `DistributedDataParallel`, with gradients summed rank after rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
from torch import Tensor, distributed, nn
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from mlgym.components.step import Turn
from mlgym.components.tensors import StepOutput, Tensors
from mlgym.errors import TrainingError
from mlgym.training.exchange import give_to_all, summed_in_order, to_each_its_own
from mlgym.training.parallel import Forward, Parallel
from mlgym.training.world import World

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket
    from torch.distributed import Work

_UNUSED: Final = "Expected to have finished reduction in the prior iteration"
_Parts: TypeAlias = tuple[Tensor, Tensors, Tensors]


@dataclass(frozen=True, slots=True)
class ReplicatedOptions:
    """What the config says; see `parallelism.DataParallel`."""

    find_unused_parameters: bool
    bucket_mb: float
    sum_in_rank_order: bool


class Replicated(Parallel):
    """A whole copy of the model in each process.

    Args:
        world: the processes; their group exists.
        options: what the config says.
    """

    def __init__(self, world: World, options: ReplicatedOptions) -> None:
        super().__init__(world)
        self._options = options
        self._copies: list[_Copy] = []
        self._num_turns = 1

    def prepare(self, model: nn.Module, optimizers: Sequence[Optimizer], turns: Sequence[Turn]) -> None:
        """Gives all copies the weights of the first; see `Parallel.prepare`."""
        refuse_lazy(model)
        give_to_all([*model.parameters(), *model.buffers()])
        self._num_turns = len(turns)

    def forward(self, turn: Turn, model: nn.Module) -> Forward:
        """See `Parallel.forward`."""
        copy = _Copy(turn, model, self._wrap)
        self._copies.append(copy)
        return Forward(copy.run, copy.before)

    def begin_epoch(self) -> None:
        """Wraps the model anew where other parameters are trained than before: those only are waited for."""
        for copy in self._copies:
            copy.refresh()

    def begin_evaluation(self, model: nn.Module) -> None:
        """Gives all copies the first one's buffers; PyTorch does so before each forward pass, but not after it."""
        give_to_all(list(model.buffers()))

    def _wrap(self, module: nn.Module) -> DistributedDataParallel:
        wrapped = DistributedDataParallel(
            module,
            bucket_cap_mb=self._options.bucket_mb,
            find_unused_parameters=self._options.find_unused_parameters,
            # Views would be fought for by two optimizers that update the same parameters.
            gradient_as_bucket_view=self._num_turns == 1,
        )
        sums = _Sums(self, in_order=self._options.sum_in_rank_order)
        wrapped.register_comm_hook(sums, lambda sums, bucket: sums.hook(bucket))  # it compares annotations with classes
        return wrapped


class _Turn(nn.Module):
    """A step as a module, so that whatever it calls of the model, and how often, is one forward pass.

    Args:
        turn: step and optimizer.
        model: what the step runs.
    """

    def __init__(self, turn: Turn, model: nn.Module) -> None:
        super().__init__()
        self.step = turn.step
        self.model = model
        known = {id(parameter) for parameter in self.parameters()}
        updated = [parameter for group in turn.optimizer.param_groups for parameter in group["params"]]
        # A loss that a step keeps may have parameters of its own.
        self.others = nn.ParameterList(parameter for parameter in updated if id(parameter) not in known)
        wanted = {id(parameter) for parameter in updated}
        named = self.named_parameters(remove_duplicate=False)  # tied ones by each of their names
        ignored = [name for name, parameter in named if id(parameter) not in wanted]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, ignored)

    def forward(self, batch: Any) -> _Parts:
        """Runs the step; a tuple, in which PyTorch finds the tensors."""
        output = self.step(self.model, batch)
        return output.loss, output.predictions, output.targets


class _Copy:
    """The model of one turn in this process, wrapped as long as the same parameters are trained."""

    def __init__(self, turn: Turn, model: nn.Module, wrap: Callable[[nn.Module], DistributedDataParallel]) -> None:
        self._module = _Turn(turn, model)
        self._updated = [parameter for group in turn.optimizer.param_groups for parameter in group["params"]]
        self._wrap = wrap
        self._wrapped: DistributedDataParallel | None = None
        self._trained: list[bool] = []

    def refresh(self) -> None:
        trained = [parameter.requires_grad for parameter in self._updated]
        if trained != self._trained:
            self._trained = trained
            self._wrapped = self._wrap(self._module) if any(trained) else None

    def before(self, last: bool) -> None:
        if self._wrapped is not None:
            self._wrapped.require_backward_grad_sync = last

    def run(self, batch: Any) -> StepOutput:
        try:
            return StepOutput(*(self._module if self._wrapped is None else self._wrapped)(batch))
        except RuntimeError as error:
            if _UNUSED not in str(error):
                raise
            raise TrainingError(
                "a step did not use all parameters of the model, for which the other devices wait: freeze those that "
                "are never used, or set `parallelism: {use: ddp, find_unused_parameters: true}`"
            ) from error


@dataclass(slots=True)
class _Bucket:
    gradients: Tensor
    pieces: Tensor
    work: Work | None
    done: Future[Tensor]


class _Sums:
    """Sums gradients over the processes, bucket by bucket.

    Args:
        parallel: knows how many processes contribute.
        in_order: whether to sum rank after rank.
    """

    def __init__(self, parallel: Parallel, *, in_order: bool) -> None:
        self._parallel = parallel
        self._in_order = in_order
        self._waiting: list[_Bucket] = []

    def hook(self, bucket: GradBucket) -> Future[Tensor]:
        """Takes a bucket; its future has the sums."""
        gradients, size = bucket.buffer(), self._parallel.world.size
        # Of two numbers there is one sum.
        if not self._in_order or (size == 2 and self._parallel.contributors == size):
            summed: Future[Tensor] = distributed.all_reduce(gradients, async_op=True).get_future().then(_first)
            return summed
        return self._hook_in_order(bucket, gradients)

    def _hook_in_order(self, bucket: GradBucket, gradients: Tensor) -> Future[Tensor]:
        done: Future[Tensor] = Future(devices=[gradients.device] if gradients.is_cuda else None)
        self._waiting.append(_Bucket(gradients, *to_each_its_own(gradients), done))
        if bucket.is_last():
            # Buckets come in the same order everywhere, and their second half follows in that order too: what is sent
            # must be asked for in one order by all.
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                _finish(each, self._parallel.contributors)
        return done


def _first(future: Future[list[Tensor]]) -> Tensor:
    return future.value()[0]


def _finish(bucket: _Bucket, num_ranks: int) -> None:
    if bucket.work is not None:
        bucket.work.wait()
    total = summed_in_order(bucket.pieces, num_ranks)
    parts = [torch.empty_like(total) for _ in range(len(bucket.pieces))]
    distributed.all_gather(parts, total)
    bucket.gradients.copy_(torch.cat(parts)[: len(bucket.gradients)])
    bucket.done.set_result(bucket.gradients)


def refuse_lazy(model: nn.Module) -> None:
    """Refuses a model whose shapes nobody knows before the first batch.

    Raises:
        TrainingError: there is such a parameter.
    """
    parameters: Any = model.named_parameters()
    lazy = [name for name, parameter in parameters if is_lazy(parameter)]
    if lazy:
        raise TrainingError(
            f"the shape of `{lazy[0]}` is not known before the first batch, which several devices need: give the "
            "layer its number of inputs"
        )
