"""How one experiment uses several devices: what a config may say, and what the loop needs of it.

A process that trains alone is the plain case; `replicated` and `sharded` hold the other two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from mlgym.components.step import Turn
from mlgym.components.tensors import StepOutput
from mlgym.config.registry import register
from mlgym.errors import TrainingError
from mlgym.training.checkpoint_shards import Target
from mlgym.training.model_state import put_weights, weights_of
from mlgym.training.world import World

ShardType: TypeAlias = Literal["bf16", "fp16"]

_SHARED_STEP: Final = "the optimizers of several devices take the same step, and `lbfgs` measures losses of its own"


@dataclass(frozen=True, slots=True)
class Forward:
    """The step of one turn, ready to run.

    Args:
        run: from a batch to the step's output.
        before: told before each batch whether its gradients complete an update; None where that changes nothing.
    """

    run: Callable[[Any], StepOutput]
    before: Callable[[bool], None] | None = None


class Parallel:
    """What the devices of one experiment do together; this one has one device and does nothing.

    Args:
        world: the processes, one for each device.

    Attributes:
        contributors: how many processes have samples in the update that is under way, those of the first ranks.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.contributors = world.size

    @property
    def places_model(self) -> bool:
        """Whether `prepare` brings the model to its device, which need not have room for all of it."""
        return False

    def prepare(self, model: nn.Module, optimizers: Sequence[Optimizer], turns: Sequence[Turn]) -> None:
        """Lets the model be shared; called once, when it is on its device and before anything runs.

        Args:
            model: the same in all processes, in this one its copy.
            optimizers: update it; they go on to do so.
            turns: run it.
        """

    def forward(self, turn: Turn, model: nn.Module) -> Forward:
        """Gives the step of a turn.

        Args:
            turn: step and optimizer.
            model: the model that was prepared, or what it was compiled to.
        """
        return Forward(partial(turn.step, model))

    def begin_epoch(self) -> None:
        """Notices what changed between epochs, such as parameters that are frozen now."""

    def begin_evaluation(self, model: nn.Module) -> None:
        """Makes all devices see the same model, buffers too."""

    def end_evaluation(self) -> None:
        """Undoes what evaluation needed."""

    def inside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Gives what a function gives that calls the model; the way for whatever is no training step."""
        return function(*arguments)

    def without_gradients(self) -> AbstractContextManager[Any]:
        """Gives the context of evaluation."""
        return torch.inference_mode()

    @property
    def all_must_run(self) -> bool:
        """Whether a process waits for the others within the model, so that all must run it equally often."""
        return False

    def full(self, state: Any) -> Any:
        """Gives rank 0 a nested state with whole tensors; all processes call it, with states of the same form.

        Args:
            state: mappings and sequences of tensors and plain values, such as an optimizer's `state_dict()`.
        """
        return state

    def full_model_state(self, model: nn.Module) -> dict[str, Any]:
        """Gives rank 0 the model's `state_dict()` with whole tensors."""
        state: dict[str, Any] = self.full(model.state_dict())
        return state

    def full_weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Gives rank 0 what `weights_of` gives, with whole tensors."""
        weights: dict[str, Tensor] = self.full(weights_of(model))
        return weights

    def full_optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Gives rank 0 an optimizer's `state_dict()` with whole tensors."""
        state: dict[str, Any] = self.full(optimizer.state_dict())
        return state

    @property
    def keeps_shares(self) -> bool:
        """Whether each process writes what it has into a file of its own of each checkpoint."""
        return False

    def stored(self, state: Any) -> Any:
        """Gives what this process adds to a checkpoint of a nested state; all processes call it."""
        return self.full(state)

    def stored_weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Gives what this process adds to a checkpoint of what `weights_of` gives."""
        weights: dict[str, Tensor] = self.stored(weights_of(model))
        return weights

    @property
    def share_target(self) -> Target | None:
        """Makes what a tensor of a checkpoint in shares is read into; None for whole tensors."""
        return None

    def load_full_weights(self, weights: Mapping[str, Tensor], model: nn.Module, source: str) -> None:
        """Puts whole weights, as `weights_of` gives them, into the model; each process has all of them.

        Raises:
            TrainingError: they belong to another architecture.
        """
        put_weights(weights, model, source)

    def share_of(self, state: Any, part: Any) -> Any:
        """Gives what this process loads of the whole state of a part.

        Args:
            state: an optimizer's `state_dict()`, or what `FullState` keeps of another part.
            part: whose it is.
        """
        return state


class Parallelism(ABC):
    """How an experiment uses several devices: what the config says of it."""

    @abstractmethod
    def start(self, world: World, device: torch.device) -> Parallel:
        """Gives what the processes of a group do together; called when the group exists."""


@register("ddp")
class DataParallel(Parallelism):
    """A copy of the model on each device, whose gradients are summed: PyTorch's `DistributedDataParallel`.

    Source: Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training.
    """

    def __init__(
        self,
        *,
        find_unused_parameters: bool = False,
        bucket_mb: Annotated[float, Field(gt=0)] = 25.0,
        sum_in_rank_order: bool = True,
    ) -> None:
        """Sets how gradients travel.

        Args:
            find_unused_parameters: for models of which a step does not use all parameters; costs time.
            bucket_mb: MB (2**20 bytes), > 0, of gradients that travel together.
            sum_in_rank_order: sum gradients rank after rank, so that they have the same bits as those of one device
                with as many accumulated batches, whatever the network. `false` leaves the order to the library: faster
                on more than two devices, and the same in each repeat on the same machines only.
        """
        self.find_unused_parameters = find_unused_parameters
        self.bucket_mb = bucket_mb
        self.sum_in_rank_order = sum_in_rank_order

    def start(self, world: World, device: torch.device) -> Parallel:
        """See `Parallelism.start`."""
        from mlgym.training.replicated import Replicated

        return Replicated(world, self)


@register("fsdp")
class FullySharded(Parallelism):
    """Parameters, gradients and optimizer state cut into shares, one on each device: PyTorch's FSDP2.

    Source: Zhao et al. 2023, PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel.
    """

    def __init__(
        self,
        *,
        units: Sequence[str] | None = None,
        min_unit_parameters: Annotated[int, Field(ge=1)] = 100_000,
        reshard_after_forward: bool = True,
        param_dtype: ShardType | None = None,
        sum_in_rank_order: bool = True,
        checkpoints: Literal["sharded", "full"] = "sharded",
    ) -> None:
        """Sets what is cut, and how it travels.

        Args:
            units: classes of the modules that are gathered, used and freed one after the other, such as
                `TransformerBlock`; an empty list for the model as a whole. None: each large entry of a `ModuleList` or
                `Sequential`.
            min_unit_parameters: how many parameters an entry needs for that, >= 1.
            reshard_after_forward: free the parameters of a unit between its forward and backward pass; `false` takes
                more memory and less traffic.
            param_dtype: number format in which parameters travel and are used, where the trainer's `precision` is the
                same; halves the traffic. None: as they are.
            sum_in_rank_order: sum gradients rank after rank, so that they have the same bits as those of one device
                with as many accumulated batches; `false` leaves the order to the library.
            checkpoints: `sharded`: each process writes what it has into the run folder, which all must see; `full`: one
                gathers everything, and needs the memory for that. Both are read by any number of processes.
        """
        self.checkpoints = checkpoints
        self.units = None if units is None else tuple(units)
        self.min_unit_parameters = min_unit_parameters
        self.reshard_after_forward = reshard_after_forward
        self.param_dtype = param_dtype
        self.sum_in_rank_order = sum_in_rank_order

    def start(self, world: World, device: torch.device) -> Parallel:
        """See `Parallelism.start`."""
        from mlgym.training.sharded import Sharded

        return Sharded(world, self, device)


def refuse_together(optimizers: Sequence[Optimizer]) -> None:
    """Refuses optimizers that cannot be shared by several devices.

    Raises:
        TrainingError: there is one.
    """
    if any(isinstance(optimizer, LBFGS) for optimizer in optimizers):
        raise TrainingError(f"`lbfgs` does not go with several devices: {_SHARED_STEP}; take another optimizer")


def start(parallelism: Parallelism | None, world: World, device: torch.device) -> Parallel:
    """Gives what the processes of an experiment do together.

    Args:
        parallelism: what the config says; None: nothing on one device, `ddp` on several.
        world: the processes; their group exists where there are several, or where `parallelism` is given.
        device: that of this process.
    """
    if parallelism is None and world.size == 1:
        return Parallel(world)
    return (parallelism or DataParallel()).start(world, device)
