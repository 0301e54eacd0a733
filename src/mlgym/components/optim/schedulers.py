"""Every learning rate scheduler of `torch.optim.lr_scheduler` as a component.

Whether a scheduler steps once per optimizer step or once per epoch is said where it is used, not here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Annotated, Any, Final

from pydantic import Field
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from mlgym.components.optim.signature import ParameterRules, component_of
from mlgym.config.registry import register
from mlgym.names import plain_name

_Steps = Annotated[int, Field(ge=1)]
_NotNegative = Annotated[float, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]

_RULES: Final = ParameterRules(
    types={
        "step_size": _Steps,
        "step_size_up": _Steps,
        "step_size_down": _Steps | None,
        "T_max": _Steps,
        "T_0": _Steps,
        "T_mult": _Steps,
        "total_iters": Annotated[int, Field(ge=0)],
        "total_steps": _Steps | None,
        "epochs": _Steps | None,
        "steps_per_epoch": _Steps | None,
        "milestones": list[_Steps],
        "schedulers": Annotated[list[LRScheduler], Field(min_length=1)],
        "eta_min": _NotNegative,
        "gamma": _Positive,
        "factor": _NotNegative,
        "start_factor": Annotated[float, Field(gt=0, le=1)],
        "end_factor": _Share,
        "pct_start": _Share,
        "patience": Annotated[int, Field(ge=0)],
        "cooldown": Annotated[int, Field(ge=0)],
        "threshold": _NotNegative,
        "eps": _NotNegative,
        "min_lr": _NotNegative | list[_NotNegative],
        "lr_lambda": Callable[[int], float],
    },
    # Where to go on is a matter of the checkpoint.
    left_out=frozenset({"last_epoch"}),
    descriptions={
        "optimizer": "the optimizer whose learning rates are set.",
        "lr_lambda": "from the number of steps (or epochs) done to the factor; a registered function.",
    },
)

_OWN_TYPES: Final[dict[str, dict[str, Any]]] = {
    "ConstantLR": {"factor": _Share},
    "ReduceLROnPlateau": {"factor": Annotated[float, Field(gt=0, lt=1)]},
}

_OWN_DESCRIPTIONS: Final = {
    "CyclicLR": {
        "mode": "the height of the cycles: `triangular` constant, `triangular2` halved every time, `exp_range` falling "
        "by gamma^iterations."
    },
    "ReduceLROnPlateau": {
        "mode": "`min` if the metric should fall, `max` if it should rise.",
        "threshold_mode": "`rel` for a threshold relative to the best value, `abs` for an absolute one.",
    },
}

_OPTIMIZER: Final = Parameter("optimizer", Parameter.POSITIONAL_OR_KEYWORD, annotation=Optimizer)


def torch_schedulers() -> dict[str, type[LRScheduler]]:
    """Gives every scheduler class of the installed PyTorch by the name that configs use, such as `one_cycle_lr`."""
    classes = [c for c in vars(lr_scheduler).values() if inspect.isclass(c) and issubclass(c, LRScheduler)]
    return {
        plain_name(cls): cls
        for cls in sorted(classes, key=lambda c: c.__name__)
        if cls is not LRScheduler and not cls.__name__.startswith("_")
    }


def build_scheduler(cls: type[LRScheduler], optimizer: Optimizer, **settings: Any) -> LRScheduler:
    """Gives a scheduler of the learning rates of `optimizer`."""
    return cls(**{"optimizer": optimizer, **settings})


def _component(name: str, cls: type[LRScheduler]) -> Callable[..., Any]:
    rules = ParameterRules(
        types=_RULES.types | _OWN_TYPES.get(cls.__name__, {}),
        left_out=_RULES.left_out,
        descriptions=_RULES.descriptions | _OWN_DESCRIPTIONS.get(cls.__name__, {}),
    )
    return component_of(cls, name=name, first=_OPTIMIZER, build=build_scheduler, rules=rules)


COMPONENTS: Final = {name: register(name)(_component(name, cls)) for name, cls in torch_schedulers().items()}
"""The function behind each scheduler, by the name that configs use."""
