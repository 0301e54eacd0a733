"""The state of a model: its weights as tensors by name, and the rest that these do not hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from mlgym.errors import TrainingError


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Gives parameters and buffers by name, those that share memory once, as they are and without history."""
    state = _tensors_in(model.state_dict())
    aliases = _aliases(state, model)
    return {name: value.detach() for name, value in state.items() if name not in aliases}


def put_weights(
    weights: Mapping[str, Tensor],
    model: nn.Module,
    source: str,
    *,
    cut: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> None:
    """Copies parameters and buffers, as `weights_of` gave them, into `model`.

    Args:
        weights: by name.
        model: of the same architecture.
        source: where they come from, for the error.
        cut: gives of weights what a tensor in the model has of them, where it does not have all.

    Raises:
        TrainingError: they belong to another architecture.
    """
    expected = model.state_dict()
    tensors = dict(weights)
    for name, first in _aliases(_tensors_in(expected), model).items():
        if name not in tensors and first in tensors:
            tensors[name] = tensors[first]
    wanted = _tensors_in(expected)
    missing = [name for name in wanted if name not in tensors]
    unknown = sorted(tensors.keys() - wanted.keys())
    reshaped = [name for name in wanted if name in tensors and tensors[name].shape != wanted[name].shape]
    if missing or unknown or reshaped:
        name = (missing or unknown or reshaped)[0]
        where = "is missing in the checkpoint" if missing else "is not in the model" if unknown else "has another shape"
        raise TrainingError(
            f"checkpoint {source} does not fit the model: `{name}` {where} ({len(missing)} missing, {len(unknown)} "
            f"unknown, {len(reshaped)} of another shape); it was written by another architecture"
        )
    if cut is not None:
        tensors = {name: cut(tensor, wanted[name]) for name, tensor in tensors.items()}
    # What is no tensor (`get_extra_state`) is kept and put back elsewhere.
    model.load_state_dict({**expected, **tensors})


def rest_of(module: nn.Module) -> dict[str, Any]:
    """Gives what a module keeps beside its weights, with tensors as they are, not copied.

    Returns:
        `extra`: what `get_extra_state` gave; `buffers`: those that are not in its `state_dict` (`persistent=False`),
        which training may change; `frozen`: names of parameters without gradients, which callbacks may change.
    """
    state = module.state_dict()
    return {
        "extra": {name: value for name, value in state.items() if not isinstance(value, Tensor)},
        "buffers": {name: buffer.detach() for name, buffer in module.named_buffers() if name not in state},
        "frozen": [name for name, parameter in module.named_parameters() if not parameter.requires_grad],
    }


def put_rest(rest: Mapping[str, Any], module: nn.Module) -> None:
    """Puts back into `module` what `rest_of` gave."""
    if rest["extra"]:
        module.load_state_dict({**module.state_dict(), **rest["extra"]})
    current = dict(module.named_buffers())
    for name, buffer in rest["buffers"].items():
        if name in current and current[name].shape == buffer.shape:
            current[name].copy_(buffer)
    frozen = frozenset(rest["frozen"])
    for name, parameter in module.named_parameters():
        if parameter.requires_grad == (name in frozen):
            parameter.requires_grad_(name not in frozen)


def _tensors_in(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _aliases(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, str]:
    """Gives the names whose tensor is one and the same as an earlier name's, as tied weights are."""
    first: dict[Any, str] = {}
    aliases: dict[str, str] = {}
    shares = {name: id(value) for name, value in model.named_parameters(remove_duplicate=False) if _is_share(value)}
    for name, value in state.items():
        if value.numel() == 0:
            continue
        key: Any = shares.get(name)
        if key is None:
            key = (value.device, value.data_ptr(), value.shape, value.stride(), value.dtype)
        if key in first:
            aliases[name] = first[key]
        else:
            first[key] = name
    return aliases


def _is_share(parameter: Tensor) -> bool:
    """Whether a tensor is the share that this process has of one; it has no address of its own."""
    return type(parameter) not in (nn.Parameter, Tensor) and hasattr(parameter, "device_mesh")
