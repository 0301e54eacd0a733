"""Parameters, gradients and optimizer state in shares, one on each device: PyTorch's FSDP2.

`fully_shard` replaces each parameter of a model by its share, a `DTensor`. Optimizers were built over the parameters
that were there before, and are given the shares in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Shard, distribute_tensor, empty
from torch.optim import SGD, Adafactor, Adagrad, Muon, Optimizer, Rprop

from mlgym.components.optim.groups import Optimizers
from mlgym.components.step import Turn
from mlgym.components.tensors import StepOutput, Tensors
from mlgym.errors import TrainingError
from mlgym.training.checkpoint_shards import Target
from mlgym.training.cutting import ShardedOptions, cut_into_shares, modules_cut_in
from mlgym.training.exchange import give_to_all
from mlgym.training.model_state import put_weights
from mlgym.training.parallel import Forward, Parallel
from mlgym.training.replicated import refuse_lazy
from mlgym.training.world import World

_NOT_FUSED: Final = (SGD, Adagrad)
"""Optimizers whose fused kernels fail at their first step where parameters are cut; other fused ones do not."""


class Sharded(Parallel):
    """A share of the model in each process.

    Args:
        world: the processes; their group exists.
        options: what the config says.
        device: that of this process.
    """

    def __init__(self, world: World, options: ShardedOptions, device: torch.device) -> None:
        super().__init__(world)
        self._options = options
        self._device = device
        self._root: nn.Module | None = None
        self._mesh: DeviceMesh | None = None
        self._buffers: list[Tensor] = []
        self._sums = True
        self._begins_update = True

    @property
    def places_model(self) -> bool:
        """See `Parallel.places_model`: only shares are brought there."""
        return True

    def prepare(self, model: nn.Module, optimizers: Sequence[Optimizer], turns: Sequence[Turn]) -> None:
        """Cuts the model into shares, from then on in place of its parameters; see `Parallel.prepare`.

        Raises:
            TrainingError: it cannot be cut, or something that no step holds is updated too.
        """
        refuse_lazy(model)
        _refuse_whole(optimizers)
        own = set(map(id, model.parameters()))
        modules = [model, *_modules_with(set(map(id, _updated(optimizers))) - own, turns)]
        places = [place for module in modules for place in _places(module)]
        before = {(id(owner), name): owner._parameters[name] for owner, name in places}
        _refuse_uncut(optimizers, before.values())
        give_to_all([*model.parameters(), *model.buffers()])
        self._buffers = list(model.buffers())
        self._mesh = init_device_mesh(self._device.type, (self.world.size,))
        self._root = cut_into_shares(modules, self._mesh, self._options, self)
        shares = {id(before[id(owner), name]): owner._parameters[name] for owner, name in places}
        for optimizer in optimizers:
            _exchange(optimizer, shares)
            _fuse_nothing(optimizer)

    def forward(self, turn: Turn, model: nn.Module) -> Forward:
        """See `Parallel.forward`."""
        return Forward(partial(self._run, turn, model), self._before)

    def begin_evaluation(self, model: nn.Module) -> None:
        """See `Parallel.begin_evaluation`."""
        give_to_all(self._buffers)

    def end_evaluation(self) -> None:
        """Lets whoever reads parameters between epochs see shares, as after training."""
        for module in self._cut_modules():
            module.reshard()

    def inside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """See `Parallel.inside`: parameters are whole only where the root runs."""
        assert self._root is not None
        return self._root(function, *arguments)

    def without_gradients(self) -> AbstractContextManager[Any]:
        """Gives the context of evaluation: parameters that are gathered in inference mode could not be trained with."""
        return torch.no_grad()

    @property
    def all_must_run(self) -> bool:
        """See `Parallel.all_must_run`: parameters are gathered from all."""
        return True

    def full(self, state: Any) -> Any:
        """See `Parallel.full`; whole tensors are on the host, and gathered one after the other."""
        self.end_evaluation()
        return _whole(state, keep=self.world.is_main)

    @property
    def keeps_shares(self) -> bool:
        """See `Parallel.keeps_shares`."""
        return self._options.checkpoints == "sharded" and self.world.size > 1

    def stored(self, state: Any) -> Any:
        """See `Parallel.stored`."""
        if not self.keeps_shares:
            return self.full(state)
        self.end_evaluation()
        return state

    @property
    def share_target(self) -> Target | None:
        """See `Parallel.share_target`; `fully_shard` cuts along the first axis, and optimizers follow."""

        def target(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
            share: Tensor = empty(*shape, dtype=dtype, device_mesh=self._mesh, placements=[Shard(0)])
            return share

        return None if self._mesh is None else target

    def load_full_weights(self, weights: Mapping[str, Tensor], model: nn.Module, source: str) -> None:
        """See `Parallel.load_full_weights`."""
        self.end_evaluation()
        put_weights(weights, model, source, cut=_like)

    def share_of(self, state: Any, part: Any) -> Any:
        """See `Parallel.share_of`."""
        if isinstance(part, Optimizer):
            state = super().share_of(state, part)
            parameters = list(_updated([part]))
            shares: Any = {
                place: {name: _like_if_shaped(value, parameters[place]) for name, value in values.items()}
                for place, values in state["state"].items()
            }
        elif isinstance(part, nn.Module):
            own = part.state_dict()
            shares = {
                name: _like(value, own[name]) if isinstance(own.get(name), DTensor) else value
                for name, value in state["state"].items()
            }
        else:
            return state
        return {**state, "state": shares}

    def _run(self, turn: Turn, model: nn.Module, batch: Any) -> StepOutput:
        assert self._root is not None
        if self._begins_update:  # as DDP does
            give_to_all(self._buffers)
        self._begins_update = self._sums
        return StepOutput(*self._root(_step, turn, model, batch))

    def _before(self, last: bool) -> None:
        if last != self._sums:
            self._sums = last
            for module in self._cut_modules():
                module.set_requires_gradient_sync(last, recurse=False)

    def _cut_modules(self) -> list[FSDPModule]:
        return [] if self._root is None else modules_cut_in(self._root)


def _step(turn: Turn, model: nn.Module, batch: Any) -> tuple[Tensor, Tensors, Tensors]:
    output = turn.step(model, batch)
    # A tuple, in which PyTorch finds the tensors.
    return output.loss, output.predictions, output.targets


def _modules_with(parameters: set[int], turns: Sequence[Turn]) -> list[nn.Module]:
    """Gives the modules with these parameters among steps and what steps keep, such as a loss that learns, too."""
    found: dict[int, nn.Module] = {}
    for turn in turns:
        for part in [turn.step, *getattr(turn.step, "__dict__", {}).values()]:
            if isinstance(part, nn.Module) and not parameters.isdisjoint(map(id, part.parameters())):
                found[id(part)] = part
    return list(found.values())


def _places(module: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None:
                yield owner, name


def _updated(optimizers: Sequence[Optimizer]) -> Iterator[Tensor]:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            yield from group["params"]


def _refuse_uncut(optimizers: Sequence[Optimizer], known: Iterable[Tensor | None]) -> None:
    if not set(map(id, _updated(optimizers))) <= set(map(id, known)):
        raise TrainingError(
            "`fsdp`: an optimizer updates parameters that are neither in the model nor in a step; "
            "`parallelism: {use: ddp}` can do that"
        )


def _members(optimizers: Iterable[Optimizer]) -> Iterator[Optimizer]:
    """Yields optimizers, of those that stand for several these."""
    for optimizer in optimizers:
        yield from optimizer.optimizers if isinstance(optimizer, Optimizers) else [optimizer]


def _refuse_whole(optimizers: Sequence[Optimizer]) -> None:
    """Refuses optimizers of PyTorch that look at whole parameters: where these are cut they fail, or compute others."""
    for optimizer in _members(optimizers):
        if isinstance(optimizer, (Adafactor, Muon, Rprop)):
            raise TrainingError(
                f"`fsdp`: PyTorch's {type(optimizer).__name__} needs whole parameters; take another optimizer, or "
                "`parallelism: {use: ddp}`"
            )


def _exchange(optimizer: Optimizer, shares: Mapping[int, Any]) -> None:
    """Lets an optimizer update shares in place of whole parameters."""
    state = dict(optimizer.state)
    for group in optimizer.param_groups:
        group["params"] = [shares[id(parameter)] for parameter in group["params"]]
    optimizer.state.clear()
    for parameter, values in state.items():
        share = shares[id(parameter)]
        optimizer.state[share] = {name: _like_if_shaped(value, share) for name, value in values.items()}


def _fuse_nothing(optimizer: Optimizer) -> None:
    """Has an optimizer update with kernels that know shares: PyTorch's lists of tensors, in place of one for all."""
    for member in _members([optimizer]):
        if isinstance(member, _NOT_FUSED):
            for settings in (member.defaults, *member.param_groups):
                settings["fused"] = None
            # Only fused kernels undo the scaling of losses themselves.
            member._step_supports_amp_scaling = False


def _like(whole: Tensor, share: Tensor) -> Tensor:
    """Gives this process's share of a whole tensor; a tensor that is not cut stays whole."""
    if not isinstance(share, DTensor):
        return whole
    placed = whole.to(share.device)
    # Each process has all of it: nothing is sent.
    return distribute_tensor(placed, share.device_mesh, share.placements, src_data_rank=None)


def _like_if_shaped(value: Any, share: Tensor) -> Any:
    is_whole = isinstance(value, Tensor) and not isinstance(value, DTensor)
    return _like(value, share) if is_whole and value.ndim and value.shape == share.shape else value


def _whole(state: Any, *, keep: bool) -> Any:
    if isinstance(state, DTensor):
        whole: Tensor = state.full_tensor()
        return whole.detach().cpu() if keep else torch.empty(0)
    if isinstance(state, Mapping):
        return {key: _whole(part, keep=keep) for key, part in state.items()}
    if type(state) in (list, tuple):
        return type(state)(_whole(part, keep=keep) for part in state)
    return state
