"""Models: sizes, initialization and what they refuse."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from mlgym.components.data import TensorData
from mlgym.components.model import MLP, Conv, ConvNet, Linear
from mlgym.errors import TrainingError


def classes_data(num_samples: int = 12, num_classes: int = 3, shape: tuple[int, ...] = (5,)) -> TensorData:
    targets = torch.arange(num_samples) % num_classes
    return TensorData(torch.randn(num_samples, *shape, generator=torch.Generator().manual_seed(0)), targets)


class Pairs(Dataset[Any]):
    """A plain dataset of (input, python number)."""

    def __init__(self, targets: list[Any]) -> None:
        self.numbers = targets

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        return torch.zeros(2, 3), self.numbers[index]


class Arrays(Dataset[Any]):
    """A plain dataset of (NumPy array, class)."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return np.zeros((2, 3)), index % 2


def test_mlp_with_sizes() -> None:
    """The layers are those given, inputs of any shape are flattened, and `scalar` drops the last axis."""
    model = MLP([8, 7], 3, num_inputs=6, dropout=0.5, batch_norm=True, activation="gelu")
    kinds = [type(layer).__name__ for layer in model.layers]
    hidden = ["Linear", "BatchNorm1d", "GELU", "Dropout"]
    assert kinds == ["Flatten", *hidden, *hidden, "Linear"]
    assert model(torch.zeros(4, 2, 3)).shape == (4, 3)
    assert MLP(8, "scalar", num_inputs=6)(torch.zeros(4, 6)).shape == (4,)
    assert MLP([], 2, num_inputs=6)(torch.zeros(4, 6)).shape == (4, 2)


@pytest.mark.parametrize(
    ("example", "inputs", "outputs"),
    [
        (classes_data(), (4, 5), (4, 3)),
        (TensorData(torch.zeros(6, 5), torch.tensor([0, 1, 0, 1, 0, 1]), classes=["a", "b", "c", "d"]), (4, 5), (4, 4)),
        (TensorData(torch.zeros(6, 5), torch.zeros(6)), (4, 5), (4,)),
        (TensorData(torch.zeros(6, 5), torch.zeros(6, 1)), (4, 5), (4, 1)),
        (TensorData(torch.zeros(6, 5), torch.zeros(6, 7)), (4, 5), (4, 7)),
        (TensorDataset(torch.zeros(6, 5), torch.arange(6)), (4, 5), (4, 6)),
        (Pairs([0, 3, 1]), (4, 2, 3), (4, 4)),
        (Pairs([0.5, 3.0]), (4, 2, 3), (4,)),
        (Arrays(), (4, 2, 3), (4, 2)),
    ],
)
@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_sizes_follow_from_an_example(
    kind: str, example: Dataset[Any], inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    """Input size, and number of classes, length of a vector, or a scalar, are read off the data."""
    model = MLP([4], example=example) if kind == "mlp" else Linear(example=example)
    assert model(torch.zeros(inputs)).shape == outputs


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (TensorData({"a": torch.zeros(3, 2), "b": torch.zeros(3, 2)}, torch.arange(3)), "an input that is one tensor"),
        (TensorData(torch.zeros(3, 2), {"a": torch.arange(3), "b": torch.arange(3)}), "the target is dict"),
        (TensorData(torch.zeros(3, 2), torch.zeros(3, 2, 2)), "a tensor of shape \\(2, 2\\)"),
        (TensorData(torch.zeros(0, 2), torch.arange(0)), "without samples"),
        (Pairs(["cat"]), "the target is str"),
    ],
)
def test_an_example_that_says_too_little_is_refused(example: Dataset[Any], expected: str) -> None:
    """Data whose sizes cannot be read off is refused with what to give instead."""
    with pytest.raises(TrainingError, match=expected):
        MLP([4], example=example)


def test_missing_sizes_are_named() -> None:
    """Without sizes and example each model says what to add, before any optimizer is built."""
    with pytest.raises(TrainingError, match=r"give `num_inputs` and `num_outputs`, or `example: \$split.train`"):
        MLP([4])
    with pytest.raises(TrainingError, match="give `num_outputs`"):
        MLP([4], num_inputs=3)
    with pytest.raises(TrainingError, match="give `in_shape"):
        ConvNet([Conv(4)])
    with pytest.raises(TrainingError, match="does not know its number of outputs"):
        Linear(num_inputs=3)
    with pytest.raises(TrainingError, match="input size of this Linear is not known"):
        Linear(3)(torch.zeros(1, 3))


def make_conv_net(seed: int = 0) -> ConvNet:
    return ConvNet([Conv(4), Conv(8), Linear(16), Linear(10)], in_shape=[1, 12, 12], seed=seed)


MODELS: dict[str, Any] = {
    "mlp": lambda seed: MLP([8], 3, num_inputs=5, seed=seed),
    "linear": lambda seed: Linear(3, 5, seed=seed),
    "conv_net": make_conv_net,
}


@pytest.mark.parametrize("kind", MODELS)
def test_initialization_is_a_function_of_the_seed(kind: str) -> None:
    """The same seed gives the same weights whatever was drawn before, another seed others, and nothing is drawn."""
    torch.manual_seed(1)
    first = MODELS[kind](7)
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3)), "building the model drew from the global generator"
    torch.manual_seed(2)
    again, other = MODELS[kind](7), MODELS[kind](8)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_the_mnist_network() -> None:
    """The layers of the design's example come out as two convolutions with pooling, 128 units and 10 logits."""
    example = classes_data(10, 10, (1, 28, 28))
    model = ConvNet([Conv(32), Conv(64), Linear(128), Linear(10)], example)
    assert sum(p.numel() for p in model.parameters()) == 421_642
    shapes = [tuple(p.shape) for p in model.parameters() if p.ndim > 1]
    assert shapes == [(32, 1, 3, 3), (64, 32, 3, 3), (128, 64 * 7 * 7), (10, 128)]
    kinds = [type(module).__name__ for module in model.modules() if not list(module.children())]
    block = ["Conv2d", "ReLU", "MaxPool2d"]
    assert kinds == [*block, *block, "Flatten", "Linear", "ReLU", "Flatten", "Linear"]
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_conv_net_equals_the_network_by_hand() -> None:
    """The composed network computes what its parts, written out, compute."""
    model = make_conv_net()
    names = ("layers.0.layers.0", "layers.1.layers.0", "layers.2.layers.1", "layers.3.layers.1")
    one, two, three, four = (model.get_submodule(name) for name in names)
    inputs = torch.randn(3, 1, 12, 12)
    hidden = torch.max_pool2d(one(inputs).relu(), 2)
    hidden = torch.max_pool2d(two(hidden).relu(), 2)
    assert torch.equal(model(inputs), four(three(hidden.flatten(1)).relu()))


def test_the_last_linear_layer_takes_its_outputs_from_the_example() -> None:
    """`linear` without `out` at the end of the list has one output per class."""
    model = ConvNet([Conv(4), Linear()], classes_data(12, 3, (2, 8, 8)))
    assert model(torch.zeros(5, 2, 8, 8)).shape == (5, 3)


def test_layers_of_any_kind() -> None:
    """Options of a layer, its own activation and plain modules have their place, and training mode is kept."""
    layers = [
        Conv(4, 5, stride=2, padding=0, pool=1, activation="tanh", batch_norm=True, dropout=0.1),
        nn.AdaptiveAvgPool2d(2),
        Linear(6, activation="none", dropout=0.5),
        Linear("scalar"),
    ]
    model = ConvNet(layers, in_shape=[3, 13, 13], activation="elu")
    assert model(torch.zeros(7, 3, 13, 13)).shape == (7,)
    assert all(module.training for module in model.modules())
    kinds = [type(module).__name__ for module in model.modules() if not list(module.children())]
    first = ["Conv2d", "BatchNorm2d", "Tanh", "Dropout", "AdaptiveAvgPool2d"]
    assert kinds == [*first, "Flatten", "Linear", "Dropout", "Flatten", "Linear", "Flatten"]
    statistics = model.get_buffer("layers.0.layers.1.num_batches_tracked")
    assert statistics == 1, "finding the shapes must not count as a batch"


def test_a_layer_that_does_not_fit_is_named() -> None:
    """Pooling below one pixel, images without channels and a layer used twice say which layer it is."""
    with pytest.raises(TrainingError, match=r"`layers\[2\]` \(Conv\) does not fit inputs of shape \(4, 1, 1\)"):
        ConvNet([Conv(4), Conv(4), Conv(4)], in_shape=[1, 4, 4])
    with pytest.raises(TrainingError, match=r"needs inputs \(channels, height, width\), but they are \(28, 28\)"):
        ConvNet([Conv(4)], in_shape=[28, 28])
    shared = Conv(4)
    with pytest.raises(TrainingError, match="has its sizes already"):
        ConvNet([shared, shared], in_shape=[1, 8, 8])


@pytest.mark.parametrize("kind", MODELS)
def test_weights_load_into_a_new_model(kind: str) -> None:
    """A state dict from one model fits another of the same config."""
    model, other = MODELS[kind](1), MODELS[kind](2)
    other.load_state_dict(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert math.prod(next(iter(model.parameters())).shape) > 0
