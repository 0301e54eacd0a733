"""Different settings, or different optimizers, for parameters chosen by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.optim import Optimizer

from mlgym.components.optim.optimizers import check_parameters, optimizer_over, setting_types, torch_optimizers
from mlgym.config.registry import register
from mlgym.errors import TrainingError
from mlgym.names import did_you_mean

_FLAGS: Final = ("foreach", "fused", "capturable")
"""Settings of a whole optimizer and not of one of its groups."""


class Optimizers(Optimizer):
    """Several optimizers that look like one: their groups one after the other, their state in one table.

    Schedulers, gradient scalers and checkpoints see an ordinary optimizer; `step` steps each in turn.

    Args:
        optimizers: at least one; together they hold no parameter twice.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.optimizers = list(optimizers)
        shared = set.intersection(*(set(optimizer.defaults) for optimizer in self.optimizers))
        # What all of them have; a scheduler that asks for `betas` must find it in each.
        defaults = {key: self.optimizers[0].defaults[key] for key in self.optimizers[0].defaults if key in shared}
        states = [dict(optimizer.state) for optimizer in self.optimizers]
        super().__init__([group for optimizer in self.optimizers for group in optimizer.param_groups], defaults)
        for state in states:
            self.state.update(state)
        self._share()

    def _share(self) -> None:
        # The very same dicts, so that a learning rate set here is the one that the optimizer uses.
        start = 0
        for optimizer in self.optimizers:
            end = start + len(optimizer.param_groups)
            optimizer.param_groups = self.param_groups[start:end]
            optimizer.state = self.state
            start = end

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Steps each optimizer in turn.

        Args:
            closure: computes the loss again; called once.

        Returns:
            What the closure gave, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self._share()


@register("optimizer_groups")
def optimizer_groups(
    model: nn.Module,
    groups: list[dict[str, Any]],
    *,
    optimizer: str = "adamw",
    settings: dict[str, Any] | None = None,
) -> Optimizer:
    r"""Different settings, or different optimizers, for parameters chosen by their names.

    A group is `{match: PATTERN, SETTING: value, ...}`. Each parameter must be matched by at most one pattern; those
    that none matches form a group of their own. Groups with the same optimizer are parameter groups of one optimizer.

    Args:
        model: the module whose parameters are trained.
        groups: `match` is a regular expression for whole names of parameters, such as `encoder\..*`; `optimizer` is
            the name of a torch optimizer, by default the one below; the other keys are settings of it.
        optimizer: the optimizer of groups that name none and of the parameters that no pattern matches.
        settings: settings of that optimizer wherever a group does not say otherwise; `foreach`, `fused` and
            `capturable` can only be set here.

    Returns:
        The torch optimizer with its groups, or `Optimizers` where there are several.

    Raises:
        TrainingError: a pattern matches nothing or is malformed, two match one parameter, or an optimizer or setting
            is unknown or out of range.
    """
    check_parameters(model)
    common = _checked_settings(optimizer, settings or {}, "settings")
    flags = {key: common.pop(key) for key in _FLAGS if key in common}
    members: dict[str, list[dict[str, Any]]] = {}
    *matched, rest = _assign(model, [_pattern(group, index) for index, group in enumerate(groups)])
    for index, (group, parameters) in enumerate(zip(groups, matched, strict=True)):
        name = group.get("optimizer", optimizer)
        own = {key: value for key, value in group.items() if key not in ("match", "optimizer")}
        own = _checked_settings(name, own, f"groups[{index}]", forbidden=_FLAGS)
        members.setdefault(name, []).append((common if name == optimizer else {}) | own | {"params": parameters})
    if rest:
        members.setdefault(optimizer, []).append(common | {"params": rest})
    classes = torch_optimizers()
    built = [optimizer_over(classes[n], g, **(flags if n == optimizer else {})) for n, g in members.items()]
    return built[0] if len(built) == 1 else Optimizers(built)


def _assign(model: nn.Module, patterns: Sequence[str]) -> list[list[nn.Parameter]]:
    """Gives the parameters of each pattern, and last those that none matches."""
    names = dict(model.named_parameters())
    chosen: list[list[nn.Parameter]] = [[] for _ in range(len(patterns) + 1)]
    for name, parameter in names.items():
        matching = [index for index, pattern in enumerate(patterns) if _matches(pattern, name)]
        if len(matching) > 1:
            both = " and ".join(f"`{patterns[index]}`" for index in matching[:2])
            raise TrainingError(f"`optimizer_groups`: {both} both match the parameter `{name}`; make them exclusive")
        chosen[matching[0] if matching else -1].append(parameter)
    for index, pattern in enumerate(patterns):
        if not chosen[index]:
            raise TrainingError(
                f"`optimizer_groups`: `groups[{index}].match` = `{pattern}` matches the whole name of no parameter"
                f"{did_you_mean(pattern, names)}"
            )
    return chosen


def _pattern(group: dict[str, Any], index: int) -> str:
    pattern = group.get("match")
    if isinstance(pattern, str):
        return pattern
    raise TrainingError(
        f"`optimizer_groups`: `groups[{index}]` needs `match`, a regular expression for parameter names"
    )


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise TrainingError(f"`optimizer_groups`: `{pattern}` is no regular expression: {error}") from None


def _checked_settings(
    name: str, settings: dict[str, Any], place: str, *, forbidden: Sequence[str] = ()
) -> dict[str, Any]:
    """Gives the settings after checking each against the signature of the optimizer of that name."""
    known = torch_optimizers()
    if name not in known:
        raise TrainingError(f"`optimizer_groups`: {place}: there is no optimizer `{name}`{did_you_mean(name, known)}")
    types = {key: hint for key, hint in setting_types(name).items() if key not in forbidden}
    checked = {}
    for key, value in settings.items():
        if key not in types:
            problem = f"`{name}` has no setting `{key}`{did_you_mean(key, types, max_listed=20)}"
            raise TrainingError(f"`optimizer_groups`: {place}: {problem}")
        try:
            checked[key] = TypeAdapter(types[key]).validate_python(value)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].lower()
            raise TrainingError(f"`optimizer_groups`: {place}.{key}: {problem}, got {value!r}") from None
    return checked
