"""How a model is cut into shares: which of its modules are gathered on their own, and how gradients are summed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from mlgym.errors import TrainingError
from mlgym.names import did_you_mean
from mlgym.training.exchange import summed_in_order, to_each_its_own
from mlgym.training.parallel import Parallel

_DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedOptions:
    """What the config says; see `parallelism.FullySharded`."""

    units: tuple[str, ...] | None
    min_unit_parameters: int
    reshard_after_forward: bool
    param_dtype: Literal["bf16", "fp16"] | None
    sum_in_rank_order: bool
    checkpoints: Literal["sharded", "full"]


def cut_into_shares(
    modules: Sequence[nn.Module], mesh: DeviceMesh, options: ShardedOptions, parallel: Parallel
) -> nn.Module:
    """Cuts modules into shares, and gives the root that runs whatever calls them, as `root(function, *arguments)`.

    Args:
        modules: the model, and what else has parameters of its own.
        mesh: the devices.
        options: what the config says.
        parallel: knows how many processes contribute to a sum.

    Raises:
        TrainingError: a module cannot be cut, or there is none of a name in the options.
    """
    cut = partial(fully_shard, mesh=mesh, mp_policy=_precision(options))
    root = _Root(modules)
    try:
        for unit in _units(modules[0], options):
            cut(unit, reshard_after_forward=options.reshard_after_forward)
        cut(root)
    except ValueError as error:
        raise TrainingError(f"`fsdp` cannot cut {type(modules[0]).__name__}: {error}") from error
    for module in modules_cut_in(root):
        # The losses are divided already, as those of accumulated batches are.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
        if options.sum_in_rank_order:
            module.set_custom_reduce_scatter(_SumsInOrder(parallel))  # type: ignore[arg-type]  # all that is asked of one
    return root


def modules_cut_in(root: nn.Module) -> list[FSDPModule]:
    """Gives the units and the root itself."""
    # Cutting a module gives its object a class that is made on the spot.
    return [module for module in root.modules() if isinstance(module, FSDPModule)]


def _precision(options: ShardedOptions) -> MixedPrecisionPolicy:
    return MixedPrecisionPolicy(
        param_dtype=None if options.param_dtype is None else _DTYPES[options.param_dtype],
        reduce_dtype=None if options.param_dtype is None else torch.float32,
        cast_forward_inputs=False,  # autocast does it, and leaves targets alone
    )


class _Root(nn.Module):
    """Runs whatever calls the modules that are cut: parameters that are in no unit are whole meanwhile."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Gives what `function` gives."""
        return function(*arguments)


class _SumsInOrder:
    """Sums gradients rank after rank, each process those of its own share; what `set_custom_reduce_scatter` asks for.

    Args:
        parallel: knows how many processes contribute.
    """

    def __init__(self, parallel: Parallel) -> None:
        self._parallel = parallel

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Gives memory for what is sent or received."""
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self,
        output_tensor: Tensor,
        input_tensor: Tensor,
        group: distributed.ProcessGroup,
        op: Any,
        async_op: bool = False,
    ) -> None:
        """Sums (processes * share,) into (share,)."""
        pieces, work = to_each_its_own(input_tensor)
        if work is not None:
            work.wait()
        output_tensor.copy_(summed_in_order(pieces, self._parallel.contributors))


def _units(model: nn.Module, options: ShardedOptions) -> list[nn.Module]:
    """Gives what is gathered and freed on its own, inner modules before outer ones."""
    wanted = options.units
    modules = [module for module in model.modules() if module is not model]
    if wanted is None:
        least = options.min_unit_parameters
        lists = (module for module in model.modules() if isinstance(module, nn.ModuleList | nn.Sequential))
        entries = {id(entry) for each in lists for entry in each if _num_parameters(entry) >= least}
    else:
        names = {type(module).__name__ for module in modules}
        for name in wanted:
            if name not in names:
                raise TrainingError(f"`fsdp`: no module of the model is a `{name}`{did_you_mean(name, names)}")
        entries = {id(module) for module in modules if type(module).__name__ in wanted}
    units = [module for module in modules if id(module) in entries and not isinstance(module, nn.ModuleList)]
    return [unit for unit in reversed(units) if not _shares_parameters(unit, model)]


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _shares_parameters(unit: nn.Module, model: nn.Module) -> bool:
    """Whether a parameter of a unit is also used outside of it, as tied weights are."""
    inside = {id(module) for module in unit.modules()}
    own = {id(parameter) for parameter in unit.parameters()}
    others = (module for module in model.modules() if id(module) not in inside)
    return any(id(parameter) in own for module in others for parameter in module._parameters.values())
