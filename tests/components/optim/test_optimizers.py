"""The optimizers of torch as components."""

import inspect
import typing
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.optim import Optimizer

from mlgym.components.model import MLP, Linear
from mlgym.components.optim import torch_optimizers
from mlgym.components.optim.optimizers import COMPONENTS, move_state
from mlgym.components.optim.signature import argument_texts, summary
from mlgym.errors import TrainingError


def component(name: str) -> Any:
    return COMPONENTS[name]


def hints(name: str) -> dict[str, Any]:
    return typing.get_type_hints(component(name), include_extras=True)


class Embedding(nn.Module):
    """A model with sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 4, sparse=True)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = self.table(inputs.long()[:, 0].clamp(0, 7))
        return rows


def model_for(name: str) -> nn.Module:
    if name == "sparse_adam":
        return Embedding()
    return nn.Linear(5, 3, bias=False) if name == "muon" else MLP([8], 3, num_inputs=5)


def test_every_torch_optimizer_is_a_component() -> None:
    """A new optimizer of PyTorch cannot be missed."""
    classes = {
        name
        for name, cls in vars(torch.optim).items()
        if inspect.isclass(cls) and issubclass(cls, Optimizer) and cls is not Optimizer
    }
    assert classes == {cls.__name__ for cls in torch_optimizers().values()}
    assert set(COMPONENTS) == set(torch_optimizers())
    assert {"adam", "adamw", "sgd", "rmsprop", "nadam", "sparse_adam", "muon", "adafactor", "lbfgs"} <= set(
        torch_optimizers()
    )


@pytest.mark.parametrize("name", sorted(torch_optimizers()))
def test_a_component_lowers_a_loss(name: str) -> None:
    """Built with its defaults from a model alone, each optimizer of that class makes progress."""
    model = model_for(name)
    optimizer = component(name)(model)
    assert type(optimizer) is torch_optimizers()[name]
    inputs = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
    losses: list[float] = []

    def measure() -> float:
        optimizer.zero_grad()
        loss = (model(inputs) - 1).square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        return losses[-1]

    for _ in range(20):
        optimizer.step(measure)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", sorted(torch_optimizers()))
def test_signature_and_hints_agree_with_torch(name: str) -> None:
    """The component has the class's parameters with its defaults, a model first, and can be read by a config."""
    cls = torch_optimizers()[name]
    own = inspect.signature(component(name))
    torchs = inspect.signature(cls)
    assert next(iter(own.parameters)) == "model"
    assert set(own.parameters) - {"model"} == set(torchs.parameters) - {"params", "differentiable"}
    assert all(
        own.parameters[key].default == torchs.parameters[key].default for key in own.parameters if key != "model"
    )
    assert hints(name)["model"] is nn.Module
    assert hints(name)["return"] is cls
    for key in set(own.parameters) - {"model"}:
        TypeAdapter(hints(name)[key]).validate_python(own.parameters[key].default)


@pytest.mark.parametrize(
    ("name", "setting", "bad"),
    [
        ("adam", "lr", "-0.1"),
        ("adam", "lr", "0"),
        ("adam", "betas", "[0.9, 1.0]"),
        ("adam", "betas", "[0.9]"),
        ("sgd", "momentum", "-1"),
        ("adadelta", "rho", "1.5"),
        ("muon", "adjust_lr_fn", '"best"'),
        ("rprop", "etas", "[1.1, 1.2]"),
        ("adafactor", "eps", "0.1"),
        ("sgd", "nesterov", "1"),
    ],
)
def test_ranges_are_in_the_annotations(name: str, setting: str, bad: str) -> None:
    """What torch would refuse (or silently take) is refused by the annotation already, in strict JSON mode."""
    with pytest.raises(ValidationError):
        TypeAdapter(hints(name)[setting]).validate_json(bad, strict=True)


def test_good_values_pass_in_strict_json() -> None:
    """Lists serve as tuples, whole numbers as floats, and Adafactor's first epsilon may be missing."""
    assert TypeAdapter(hints("adam")["betas"]).validate_json("[0.8, 0.99]", strict=True) == (0.8, 0.99)
    assert TypeAdapter(hints("adam")["lr"]).validate_json("1", strict=True) == 1
    assert TypeAdapter(hints("adafactor")["eps"]).validate_json("[null, 0.01]", strict=True) == (None, 0.01)


@pytest.mark.parametrize(("name", "fused"), [("adam", True), ("adamw", True), ("sgd", True), ("adagrad", True)])
def test_fused_where_there_is_a_kernel(name: str, fused: bool) -> None:
    """Left out, `fused` is on; it can be switched off, and gives way to `foreach` and to complex parameters."""
    model = MLP([8], 3, num_inputs=5)
    assert component(name)(model).param_groups[0]["fused"] is fused
    assert component(name)(model, fused=False).param_groups[0]["fused"] is False
    assert component(name)(model, foreach=True).param_groups[0]["fused"] is None
    complex_model = nn.ParameterList([nn.Parameter(torch.zeros(2, dtype=torch.complex64))])
    assert component(name)(complex_model).param_groups[0]["fused"] is None


def test_a_model_without_parameters_is_refused() -> None:
    """Nothing to train, or sizes not known yet, is said before the first step."""
    with pytest.raises(TrainingError, match="no parameters to train"):
        component("adam")(Linear(3))
    with pytest.raises(TrainingError, match="sizes of the model LazyLinear are not known"):
        component("adam")(nn.LazyLinear(3))


def test_docstrings_describe_every_parameter() -> None:
    """What `mlgym components` shows has a summary and a text for each parameter, without markup."""
    for name in torch_optimizers():
        doc = inspect.getdoc(component(name)) or ""
        assert "see the PyTorch documentation" not in doc, name
        assert ":class:" not in doc
        assert "(default" not in doc
        assert summary(doc)
        assert set(inspect.signature(component(name)).parameters) <= {*argument_texts(doc)}


@pytest.mark.parametrize("fused", [True, False])
def test_state_made_at_once_follows_the_parameters(fused: bool) -> None:
    """Adagrad's sums, made with the optimizer, move to the device that the model moved to; nothing else is lost."""
    elsewhere = nn.Parameter(torch.zeros(3, device="meta"))
    optimizer = component("adagrad")(nn.ParameterList([nn.Parameter(torch.zeros(3))]), fused=fused)
    (here,) = optimizer.param_groups[0]["params"]
    optimizer.param_groups[0]["params"] = [elsewhere]
    optimizer.state[elsewhere] = optimizer.state.pop(here)
    move_state(optimizer)
    assert optimizer.state[elsewhere]["sum"].device.type == "meta"
    assert optimizer.state[elsewhere]["step"].device.type == ("meta" if fused else "cpu")


def test_the_hook_of_the_first_step_goes_away() -> None:
    """Looking after the state costs nothing after the first step."""
    model = MLP([8], 3, num_inputs=5)
    optimizer = component("adagrad")(model)
    assert len(optimizer._optimizer_step_pre_hooks) == 1
    model(torch.ones(2, 5)).sum().backward()
    optimizer.step()
    assert not optimizer._optimizer_step_pre_hooks
