"""What the devices of one experiment do together, as the loop sees it.

A process that trains alone is the plain case, and here; `replicated` and `sharded` are the other two. What a config
says of them is in `parallelism`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mlgym.components.step import Turn
from mlgym.components.tensors import StepOutput
from mlgym.training.checkpoint_shards import Target
from mlgym.training.model_state import put_weights, weights_of
from mlgym.training.world import World


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
        return _with_own_kernels(state, part) if isinstance(part, Optimizer) else state


def _with_own_kernels(state: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """Gives an optimizer's state but for which kernels update: those that it had elsewhere may not do here."""
    own = optimizer.param_groups
    groups = [
        {**group, "fused": own[number]["fused"]} if number < len(own) and "fused" in own[number] else group
        for number, group in enumerate(state["param_groups"])
    ]
    return {**state, "param_groups": groups}


class Parallelism(ABC):
    """How an experiment uses several devices: what the config says of it."""

    @abstractmethod
    def start(self, world: World, device: torch.device) -> Parallel:
        """Gives what the processes of a group do together; called when the group exists."""
