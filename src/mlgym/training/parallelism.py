"""How one experiment uses several devices, as configs say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import torch
from pydantic import Field
from torch.optim import LBFGS, Optimizer

from mlgym.config.registry import register
from mlgym.errors import TrainingError
from mlgym.training.parallel import Parallel, Parallelism
from mlgym.training.world import World

LBFGS_TOGETHER: Final = (
    "`lbfgs` does not go with several devices: the optimizers of several devices take the same step, and `lbfgs` "
    "measures losses of its own; take another optimizer"
)
"""Why the parameter `parallelism` does not go with it."""


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
        from mlgym.training.replicated import Replicated, ReplicatedOptions

        options = ReplicatedOptions(self.find_unused_parameters, self.bucket_mb, self.sum_in_rank_order)
        return Replicated(world, options)


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
        param_dtype: Literal["bf16", "fp16"] | None = None,
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
        self.units = None if units is None else tuple(units)
        self.min_unit_parameters = min_unit_parameters
        self.reshard_after_forward = reshard_after_forward
        self.param_dtype: Literal["bf16", "fp16"] | None = param_dtype
        self.sum_in_rank_order = sum_in_rank_order
        self.checkpoints: Literal["sharded", "full"] = checkpoints

    def start(self, world: World, device: torch.device) -> Parallel:
        """See `Parallelism.start`."""
        from mlgym.training.cutting import ShardedOptions
        from mlgym.training.sharded import Sharded

        options = ShardedOptions(
            units=self.units,
            min_unit_parameters=self.min_unit_parameters,
            reshard_after_forward=self.reshard_after_forward,
            param_dtype=self.param_dtype,
            sum_in_rank_order=self.sum_in_rank_order,
            checkpoints=self.checkpoints,
        )
        return Sharded(world, options, device)


def refuse_together(optimizers: Sequence[Optimizer]) -> None:
    """Refuses optimizers that cannot be shared by several devices.

    Raises:
        TrainingError: there is one.
    """
    if any(isinstance(optimizer, LBFGS) for optimizer in optimizers):
        raise TrainingError(LBFGS_TOGETHER)


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
