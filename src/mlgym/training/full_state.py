"""Everything that training needs to go on bit for bit: what keeps state, and the global generators."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from mlgym.components.data.global_generators import GeneratorStates
from mlgym.components.data.loader import Loader
from mlgym.errors import TrainingError
from mlgym.names import did_you_mean
from mlgym.training.determinism import AllStates, generator_states, restore_generator_states
from mlgym.training.model_state import put_rest, rest_of


@runtime_checkable
class Stateful(Protocol):
    """Whatever changes while training goes on and can be put back."""

    def state_dict(self) -> dict[str, Any]:
        """Gives its state."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Goes on from a state."""


class FullState:
    """The stateful parts of an experiment beside the weights of its model.

    Args:
        model: the model; of it only what `weights_of` does not give.
        parts: by name; those without state are passed over.
        components: every object that was built, by key path. Those with state that are not among `parts`, nor in the
            model, are taken too: a step's momentum encoder, a sampler, whatever users think of.
    """

    def __init__(self, model: nn.Module, parts: Mapping[str, Any], components: Mapping[str, Any]) -> None:
        self._model = model
        self._parts: dict[str, Stateful] = {}
        known = {id(module) for module in model.modules()}
        self._parts |= _generators_in("model", model)
        for path, holder in [*parts.items(), *components.items()]:
            for name, part in _stateful_in(path, holder):
                # The position in the data follows from epoch and batch alone.
                if id(part) not in known and not isinstance(part, Loader | DataLoader):
                    known |= {id(module) for module in part.modules()} if isinstance(part, nn.Module) else {id(part)}
                    self._parts[name] = part

    def capture(self) -> dict[str, Any]:
        """Gives the state, with tensors as they are, not copied."""
        return {
            "model": rest_of(self._model),
            "parts": {name: _state_of(part) for name, part in self._parts.items()},
            "generators": _plain_generators(generator_states()),
        }

    def capture_own(self) -> dict[str, Any]:
        """Gives what each of several processes has for itself: the states of generators."""
        own = {name: part.state_dict() for name, part in self._parts.items() if isinstance(part, _OwnGenerator)}
        return {"parts": own, "generators": _plain_generators(generator_states())}

    def restore_own(self, state: Mapping[str, Any]) -> None:
        """Puts back what `capture_own` gave, but for the global generators."""
        for name, own in state["parts"].items():
            if name in self._parts:
                self._parts[name].load_state_dict(own)

    def restore(self, state: Mapping[str, Any], cut: Callable[[Any, Any], Any] | None = None) -> None:
        """Puts everything but the generators back.

        Args:
            state: as `capture` gave it.
            cut: from the state of a part and the part to what this process has of it, where it does not have all.

        Raises:
            TrainingError: it belongs to an experiment of other parts.
        """
        saved: Mapping[str, Any] = state["parts"]
        for name in [*(name for name in saved if name not in self._parts), *(n for n in self._parts if n not in saved)]:
            whose = "the experiment" if name in saved else "the checkpoint"
            raise TrainingError(
                f"the checkpoint does not fit: `{name}` keeps a state, but {whose} has none"
                f"{did_you_mean(name, self._parts if name in saved else saved)}; the config or its code changed"
            )
        put_rest(state["model"], self._model)
        for name, part in self._parts.items():
            _put_state(part, saved[name] if cut is None else cut(saved[name], part))


def restore_generators_of(state: Mapping[str, Any]) -> None:
    """Puts the global generators back; last, since making things draws from them."""
    generators = state["generators"]
    host = GeneratorStates(generators["python"], generators["numpy"], generators["torch"])
    restore_generator_states(AllStates(host, tuple(generators["cuda"]), generators["cuda_device"], generators["mps"]))


_AnyGenerator: TypeAlias = torch.Generator | np.random.Generator | np.random.RandomState | random.Random


class _OwnGenerator:
    """A random generator that a component keeps for itself."""

    def __init__(self, generator: _AnyGenerator) -> None:
        self._generator = generator

    def state_dict(self) -> dict[str, Any]:
        """See `Stateful`."""
        match self._generator:
            case torch.Generator() as generator:
                return {"torch": generator.get_state()}
            case np.random.Generator() as generator:
                return {"numpy": generator.bit_generator.state}
            case np.random.RandomState() as generator:
                return {"numpy": generator.get_state(legacy=False)}
            case generator:
                return {"python": generator.getstate()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Stateful`."""
        match self._generator:
            case torch.Generator() as generator:
                generator.set_state(state["torch"])
            case np.random.Generator() as generator:
                generator.bit_generator.state = state["numpy"]
            case np.random.RandomState() as generator:
                generator.set_state(state["numpy"])
            case generator:
                generator.setstate(state["python"])


def _stateful_in(path: str, holder: Any) -> Iterable[tuple[str, Stateful]]:
    """Yields what keeps state by name: the holder itself, or what it has as attributes; and its generators."""
    if isinstance(holder, type):
        return  # it has the methods, for objects that it makes
    if isinstance(holder, Stateful):
        yield path, holder
    else:
        for name, value in getattr(holder, "__dict__", {}).items():
            if isinstance(value, Stateful):
                yield from _stateful_in(f"{path}.{name}", value)
    # Hardly any `state_dict` has them; where one does, they are put back twice.
    yield from _generators_in(path, holder).items()


def _generators_in(path: str, holder: Any) -> dict[str, Stateful]:
    """Gives the generators that a holder, or a module within it, has as attributes, by name."""
    places = holder.named_modules() if isinstance(holder, nn.Module) else [("", holder)]
    return {
        ".".join(filter(None, (path, place, name))): _OwnGenerator(value)
        for place, part in places
        for name, value in getattr(part, "__dict__", {}).items()
        if isinstance(value, _AnyGenerator)
    }


def _state_of(part: Stateful) -> dict[str, Any]:
    if isinstance(part, nn.Module):
        return {"state": part.state_dict(), "rest": rest_of(part)}
    return part.state_dict()


def _put_state(part: Stateful, state: dict[str, Any]) -> None:
    if isinstance(part, nn.Module):
        part.load_state_dict(state["state"])
        put_rest(state["rest"], part)
    else:
        part.load_state_dict(state)
    if isinstance(part, Optimizer):
        _put_dtypes(part, state["state"])


def _put_dtypes(optimizer: Optimizer, saved: Mapping[int, Mapping[str, Any]]) -> None:
    """Undoes the casts of `Optimizer.load_state_dict`, which gives what is kept for a parameter the parameter's dtype.

    Some optimizers keep numbers of another precision than their parameters', and go on with other bits else.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, values in saved.items():
        current = optimizer.state[parameters[place]]
        for name, value in values.items():
            if isinstance(value, Tensor) and current[name].dtype != value.dtype:
                current[name] = value.to(current[name].device)


def _plain_generators(states: AllStates) -> dict[str, Any]:
    return {
        "python": states.host.python,
        "numpy": states.host.numpy,
        "torch": states.host.torch,
        "cuda": list(states.cuda),
        "cuda_device": states.cuda_device,
        "mps": states.mps,
    }
