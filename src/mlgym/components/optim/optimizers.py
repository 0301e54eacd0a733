"""Every optimizer of `torch.optim` as a component that takes the model instead of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from inspect import Parameter
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer

from mlgym.components.optim.signature import ParameterRules, component_of
from mlgym.config.registry import register
from mlgym.errors import TrainingError

_FUSED_DEVICES: Final = ("cpu", "cuda", "mps", "xpu")

_NotNegative = Annotated[float, Field(ge=0)]
_AtLeastOne = Annotated[int, Field(ge=1)]
_Decay = Annotated[float, Field(ge=0, lt=1)]

_RULES: Final = ParameterRules(
    types={
        "lr": Annotated[float, Field(gt=0)],
        "weight_decay": _NotNegative,
        "eps": _NotNegative,
        "betas": tuple[_Decay, _Decay],
        "rho": Annotated[float, Field(ge=0, le=1)],
        "alpha": _NotNegative,
        "momentum": _NotNegative,
        "momentum_decay": _NotNegative,
        "lr_decay": _NotNegative,
        "initial_accumulator_value": _NotNegative,
        "beta2_decay": Annotated[float, Field(le=0)],
        "d": Annotated[float, Field(ge=1)],
        "etas": tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=1)]],
        "step_sizes": tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]],
        "ns_steps": Annotated[int, Field(ge=1)],
        "max_iter": _AtLeastOne,
        "max_eval": _AtLeastOne | None,
        "history_size": _AtLeastOne,
        "tolerance_grad": _NotNegative,
        "tolerance_change": _NotNegative,
        "line_search_fn": Literal["strong_wolfe"] | None,
        "adjust_lr_fn": Literal["original", "match_rms_adamw"] | None,
    },
    # Differentiating through the optimizer's step needs a loop of its own.
    left_out=frozenset({"params", "differentiable"}),
    descriptions={
        "model": "the module whose parameters are trained.",
        "lr": "learning rate, > 0.",
        "foreach": "update the parameters as lists in few kernels; None for PyTorch's choice.",
        "capturable": "allow the step to become part of a CUDA graph; slower otherwise.",
        "fused": "update all parameters in one kernel; None for yes where the optimizer and the device have one.",
    },
)

# One name, two forms: Adafactor's `eps` is a pair whose first may be None.
_OWN_TYPES: Final[dict[str, dict[str, Any]]] = {"Adafactor": {"eps": tuple[_NotNegative | None, _NotNegative]}}

_MODEL: Final = Parameter("model", Parameter.POSITIONAL_OR_KEYWORD, annotation=nn.Module)


def optimizer_name(cls: type[Optimizer]) -> str:
    """Gives the name that configs use: the class's in lower case, as people write it (`adamw`)."""
    return {"SparseAdam": "sparse_adam"}.get(cls.__name__, cls.__name__.lower())


def torch_optimizers() -> dict[str, type[Optimizer]]:
    """Gives every optimizer class of the installed PyTorch, by the name that configs use."""
    classes = [c for c in vars(torch.optim).values() if inspect.isclass(c) and issubclass(c, Optimizer)]
    return {optimizer_name(cls): cls for cls in sorted(classes, key=lambda c: c.__name__) if cls is not Optimizer}


def setting_types(name: str) -> dict[str, Any]:
    """Gives the annotation of each setting of the optimizer that configs call `name`, ranges included."""
    component = COMPONENTS[name]
    return {key: hint for key, hint in component.__annotations__.items() if key not in ("model", "return")}


def build_optimizer(cls: type[Optimizer], model: nn.Module, **settings: Any) -> Optimizer:
    """Gives an optimizer of all parameters of a model.

    Args:
        cls: the optimizer class.
        model: the module to train.
        settings: parameters of the class; `fused` None or left out for the fused kernel where there is one.

    Raises:
        TrainingError: the model has no parameters, or some that this optimizer cannot train.
    """
    check_parameters(model)
    return optimizer_over(cls, [{"params": list(model.parameters())}], **settings)


def optimizer_over(cls: type[Optimizer], groups: list[dict[str, Any]], **settings: Any) -> Optimizer:
    """Gives an optimizer of parameter groups.

    Args:
        cls: the optimizer class.
        groups: mappings with `params` and the settings that differ in this group.
        settings: of all groups.

    Raises:
        TrainingError: a parameter cannot be trained by this optimizer.
    """
    parameters = [parameter for group in groups for parameter in group["params"]]
    if cls.__name__ == "Muon" and any(parameter.ndim != 2 for parameter in parameters):
        raise TrainingError(
            "`muon` trains matrices only, but the model has parameters of other shapes (biases, for one); use "
            "`optimizer_groups` with `muon` for the matrices and another optimizer for the rest"
        )
    if "fused" in inspect.signature(cls).parameters and settings.get("fused") is None:
        settings["fused"] = None if settings.get("foreach") is not None else _can_fuse(parameters)
    optimizer = cls(groups, **settings)
    if optimizer.state:
        # Made where the parameters were; by the first step they may have moved to another device.
        def move_once(optimizer: Optimizer, *_: Any) -> None:
            handle.remove()
            move_state(optimizer)

        handle = optimizer.register_step_pre_hook(move_once)
    return optimizer


def move_state(optimizer: Optimizer) -> None:
    """Moves state to where its parameter is; counts of steps stay on the CPU unless a kernel reads them."""
    for group in optimizer.param_groups:
        keeps_step = not (group.get("fused") or group.get("capturable"))
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for key, value in state.items():
                if isinstance(value, Tensor) and not (key == "step" and keeps_step):
                    state[key] = value.to(parameter.device)


def check_parameters(model: nn.Module) -> None:
    """Refuses a model that no optimizer can train.

    Raises:
        TrainingError: it has no parameters, or their sizes are not known yet.
    """
    parameters = list(model.parameters())
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        raise TrainingError(
            f"the sizes of the model {type(model).__name__} are not known; give them, or `example: $split.train` where "
            "the model has that parameter"
        )
    if not parameters:
        raise TrainingError(
            f"the model {type(model).__name__} has no parameters to train (a `linear` model needs `num_inputs` or "
            "`example`)"
        )


def _can_fuse(parameters: Iterable[nn.Parameter]) -> bool | None:
    # None rather than False: PyTorch then still picks its own fast path.
    fits = all(p.is_floating_point() and p.device.type in _FUSED_DEVICES for p in parameters)
    return True if fits else None


def _component(name: str, cls: type[Optimizer]) -> Callable[..., Any]:
    rules = _RULES.model_copy(update={"types": _RULES.types | _OWN_TYPES.get(cls.__name__, {})})
    return component_of(cls, name=name, first=_MODEL, build=build_optimizer, rules=rules)


COMPONENTS: Final = {name: register(name)(_component(name, cls)) for name, cls in torch_optimizers().items()}
"""The function behind each optimizer, by the name that configs use."""
