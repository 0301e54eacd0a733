"""States survive JSON and safetensors bit for bit, with their types."""

from __future__ import annotations

import inspect
import json
import math
from collections import Counter, OrderedDict, defaultdict, deque
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mlgym.components.optim.optimizers import torch_optimizers
from mlgym.components.optim.schedulers import torch_schedulers
from mlgym.errors import TrainingError
from mlgym.training.digest import digest
from mlgym.training.full_state import FullState
from mlgym.training.state_codec import flatten, restore
from mlgym.training.tensor_file import write_tensors


def _through_files(state: Any, folder: Path) -> Any:
    """Gives a state as it comes back from a checkpoint."""
    plain, tensors = flatten(state)
    path = folder / "training.safetensors"
    path.unlink(missing_ok=True)
    write_tensors(path, {name: tensor.contiguous().clone() for name, tensor in tensors.items()})
    text = json.dumps(plain, allow_nan=False)
    return restore(json.loads(text), {name: tensor.clone() for name, tensor in load_file(path).items()})


_VALUES: list[Any] = [
    None, True, 0, -(2**70), "text", "\ud800", "$tensor", b"\x00\xff",
    0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf,
    (), (1, (2.5, [3])), [[], {}], {"a": {"b": [1]}}, {1: "int", "1": "text", (2, 3): "tuple", None: 0},
    {"$map": 1, "other": 2}, {"$float": "1.0"}, {frozenset({1, 2}): {3}}, set(), frozenset({"a"}),
    deque([1, 2], maxlen=5), deque([1.5]), Counter({3: 2, 5: 1}), Counter("abca"),
    np.float64(0.1), np.float32(0.1), np.float16(0.1), np.int64(-3), np.uint8(255), np.bool_(True),
    np.float32(math.inf),
]  # fmt: skip


@pytest.mark.parametrize("value", _VALUES, ids=repr)
def test_values_come_back_with_their_types(tmp_path: Path, value: Any) -> None:
    """Equal, of the same type, inside and out."""
    found = _through_files({"it": [value]}, tmp_path)["it"][0]
    assert type(found) is type(value)
    assert found == value
    assert repr(found) == repr(value)


def test_not_a_number(tmp_path: Path) -> None:
    """NaN comes back as NaN, and the file is JSON all the same."""
    found = _through_files([math.nan, np.float32(math.nan)], tmp_path)
    assert math.isnan(found[0])
    assert math.isnan(found[1])
    assert type(found[1]) is np.float32


def test_mappings_of_other_kinds_become_plain_ones(tmp_path: Path) -> None:
    """`load_state_dict` methods take any mapping; a factory cannot be kept."""
    state = {"ordered": OrderedDict(a=1), "default": defaultdict(int, b=2)}
    assert _through_files(state, tmp_path) == {"ordered": {"a": 1}, "default": {"b": 2}}


_ARRAYS: list[np.ndarray[Any, Any]] = [
    np.arange(6, dtype=kind).reshape(2, 3) for kind in ("f2", "f4", "f8", "i1", "i8")
]
_ARRAYS += [np.arange(3, dtype=kind) for kind in ("i2", "i4", "u1", "u2", "u4", "u8")]
_ARRAYS += [
    np.array([True, False]),
    np.array(2.5),
    np.zeros((0, 3)),
    np.asfortranarray(np.ones((2, 3))),
    np.eye(4)[::2],
]


@pytest.mark.parametrize("array", _ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_come_back(tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    """Type, shape and bits, those of strange layouts included; they can be written to."""
    found = _through_files({"it": array}, tmp_path)["it"]
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.randn(2, 2, 3, 4, 4).to(memory_format=torch.channels_last_3d),
        torch.randn(5, 3).t(),
        torch.randn(5, 3)[:, 1],
        torch.ones(1).expand(4),
        torch.tensor(3.0),
        torch.empty(0, 2),
        torch.randn(3, requires_grad=True),
        nn.Parameter(torch.randn(3)),
        torch.randn(3, requires_grad=True) * 2,
    ],
)
def test_tensors_keep_their_layout(tmp_path: Path, tensor: Tensor) -> None:
    """Fused optimizers read a parameter and what is kept for it side by side: the order in memory is part of it."""
    found: Tensor = _through_files({"it": tensor}, tmp_path)["it"]
    assert found.dtype == tensor.dtype
    assert torch.equal(found, tensor)
    assert found.stride() == torch.empty_like(tensor).stride()
    assert not found.requires_grad


def test_two_tensors_never_share_a_name(tmp_path: Path) -> None:
    """Key paths that look the same stay apart."""
    state = {"a": {"b": torch.tensor(1)}, "a.b": torch.tensor(2), "c": {1: torch.tensor(3), "1": torch.tensor(4)}}
    found = _through_files(state, tmp_path)
    assert [int(found["a"]["b"]), int(found["a.b"])] == [1, 2]
    assert {key: int(value) for key, value in found["c"].items()} == {1: 3, "1": 4}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (object(), "object"),
        (torch.float32, "dtype"),
        (np.longdouble(1), "longdouble"),
        (np.zeros(2, np.longdouble), "ndarray of float128"),
        (np.zeros(2, ">f4"), "ndarray of >f4"),
        (np.array(["a"]), "ndarray of <U1"),
        (lambda: None, "function"),
        (1j, "complex"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_held_is_named(value: Any, kind: str) -> None:
    """The message has the key path and the type."""
    with pytest.raises(
        TrainingError, match=rf"a checkpoint cannot hold `parts\.mine\.deep\.1`, a {kind}: `state_dict`"
    ):
        flatten({"mine": {"deep": [1, value]}}, "parts")


def test_the_order_of_a_set_does_not_reach_the_file() -> None:
    """Files of two processes with other hash seeds are equal."""
    assert flatten({"a", "b", "c"})[0] == {"$set": ["a", "b", "c"]}


def test_a_mark_of_a_newer_version_is_refused() -> None:
    """Nothing is guessed."""
    with pytest.raises(TrainingError, match="unknown mark `\\$matrix`"):
        restore({"$matrix": []}, {})


def _small_model(dtype: torch.dtype, layout: torch.memory_format, *, matrices: bool) -> nn.Module:
    torch.manual_seed(0)
    if matrices:
        return nn.Sequential(nn.Linear(48, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)).to(dtype)
    layers = nn.Sequential(nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Conv2d(4, 2, 2), nn.Flatten())
    return layers.to(dtype).to(memory_format=layout)  # type: ignore[call-overload,no-any-return]  # any


def _optimizer(cls: type[Optimizer], model: nn.Module) -> Optimizer:
    known = inspect.signature(cls).parameters
    given: dict[str, Any] = {"lr": 0.05} | ({"fused": True} if "fused" in known else {})
    return cls(model.parameters(), **given)


def _steps(model: nn.Module, optimizer: Optimizer, numbers: range) -> None:
    for number in numbers:
        first = next(model.parameters())
        inputs = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(number)).to(first.dtype)
        optimizer.step(partial(_measure, model, optimizer, inputs if first.ndim == 4 else inputs.flatten(1)))


def _measure(model: nn.Module, optimizer: Optimizer, inputs: Tensor) -> float:
    optimizer.zero_grad()
    loss = model(inputs).square().mean()
    loss.backward()
    if isinstance(optimizer, torch.optim.SparseAdam):
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad = parameter.grad.to_sparse()
    return float(loss.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("name", list(torch_optimizers()))
def test_every_optimizer_goes_on_bit_for_bit(
    tmp_path: Path, name: str, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    """Three steps, files, three steps are six steps: whatever an optimizer keeps, in whatever precision and layout."""
    cls = torch_optimizers()[name]

    def make() -> tuple[nn.Module, Optimizer]:
        # Neither takes the channels-last gradients of convolutions.
        model = _small_model(dtype, layout, matrices=name in ("muon", "lbfgs"))
        return model, _optimizer(cls, model)

    model, optimizer = make()
    _steps(model, optimizer, range(3))
    state = _through_files(FullState(model, {"optimizer": optimizer}, {}).capture(), tmp_path)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    _steps(model, optimizer, range(3, 6))
    other, resumed = make()
    other.load_state_dict(weights)
    FullState(other, {"optimizer": resumed}, {}).restore(state)
    _steps(other, resumed, range(3, 6))
    assert digest([other.state_dict(), resumed.state_dict()]) == digest([model.state_dict(), optimizer.state_dict()])


def _scheduler(name: str, optimizer: Optimizer) -> LRScheduler | ReduceLROnPlateau:
    given: dict[str, dict[str, Any]] = {
        "StepLR": {"step_size": 2}, "MultiStepLR": {"milestones": [2, 4, 4]},
        "LambdaLR": {"lr_lambda": _factor}, "MultiplicativeLR": {"lr_lambda": _factor},
        "ExponentialLR": {"gamma": 0.9}, "CosineAnnealingLR": {"T_max": 4},
        "CosineAnnealingWarmRestarts": {"T_0": 3}, "OneCycleLR": {"max_lr": 1.0, "total_steps": 20},
        "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3},
        "SequentialLR": {
            "schedulers": [
                torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=3),
                torch.optim.lr_scheduler.StepLR(optimizer, 2),
            ],
            "milestones": [3],
        },
        "ChainedScheduler": {
            "schedulers": [
                torch.optim.lr_scheduler.ConstantLR(optimizer, total_iters=3),
                torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
            ]
        },
    }  # fmt: skip
    cls: Any = getattr(torch.optim.lr_scheduler, name)
    positional = () if name == "ChainedScheduler" else (optimizer,)
    made: LRScheduler | ReduceLROnPlateau = cls(*positional, **given.get(name, {}))
    return made


def _factor(step: int) -> float:
    return 1.0 / (step + 1)


def _rates(scheduler: Any, optimizer: Optimizer, numbers: range) -> list[float]:
    found = []
    for number in numbers:
        optimizer.step()
        scheduler.step(*([float(number)] if isinstance(scheduler, ReduceLROnPlateau) else []))
        found += [group["lr"] for group in optimizer.param_groups]
        found += [group["momentum"] for group in optimizer.param_groups]
    return found


@pytest.mark.parametrize(
    "name", [*(cls.__name__ for cls in torch_schedulers().values()), "SequentialLR", "ChainedScheduler"]
)
def test_every_scheduler_goes_on(tmp_path: Path, name: str) -> None:
    """The learning rates after a restart in the middle are those without one."""

    def make() -> tuple[Optimizer, Any]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.5, momentum=0.9)
        return optimizer, _scheduler(name, optimizer)

    optimizer, scheduler = make()
    _rates(scheduler, optimizer, range(5))
    state = _through_files({"scheduler": scheduler.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path)
    expected = _rates(scheduler, optimizer, range(5, 12))
    other, resumed = make()
    resumed.load_state_dict(state["scheduler"])
    other.load_state_dict(state["optimizer"])
    assert _rates(resumed, other, range(5, 12)) == expected
