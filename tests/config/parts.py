"""Small components for the tests of the config language: no PyTorch, each of its own kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypedDict, runtime_checkable

from pydantic import Field

from mlgym.config.registry import Registry

parts = Registry()


class Dataset:
    """Data."""

    name = "data"


class Sets(NamedTuple):
    """What `mnist` gives."""

    train: Dataset
    test: Dataset


@parts.register("mnist")
def mnist(root: Path = Path("data")) -> Sets:
    """Handwritten digits.

    Args:
        root: where the files are.
    """
    return Sets(Dataset(), Dataset())


class DigitData(Dataset):
    """One data set without parts."""


@parts.register("digits")
class Digits(DigitData):
    """Small digits."""

    num_classes: int = 10

    @property
    def features(self) -> int:
        """Number of features."""
        return 64


@parts.register("stratified_split", outputs="fractions")
def stratified_split(
    dataset: Dataset, fractions: dict[str, Annotated[float, Field(gt=0)]], seed: int
) -> dict[str, Dataset]:
    """Splits so that each part has the same share of each class."""
    return {name: Dataset() for name in fractions}


class Loader:
    """Gives batches."""

    def __init__(self, dataset: Dataset, batch_size: int) -> None:
        self.dataset = dataset
        self.batch_size = batch_size


@parts.register("data_loaders", outputs="datasets")
def data_loaders(
    datasets: Mapping[str, Dataset], batch_size: Annotated[int, Field(ge=1)], shuffle: bool = True, seed: int = 0
) -> dict[str, Loader]:
    """A loader per split."""
    return {name: Loader(dataset, batch_size) for name, dataset in datasets.items()}


class Module:
    """Base of models and losses."""


class Layer:
    """A layer."""


@parts.register("conv")
@dataclass
class Conv(Layer):
    """A convolution."""

    out: int


@parts.register("linear")
class Linear(Layer):
    """A dense layer."""

    def __init__(self, out: int, seed: int) -> None:
        self.out = out
        self.seed = seed


@parts.register("conv_net")
class ConvNet(Module):
    """Layers in a row."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = layers


@parts.register("mlp")
class Mlp(Module):
    """Dense layers.

    Args:
        hidden: units of each layer.
        activation: what follows a layer;
            none after the last.
    """

    def __init__(
        self, hidden: list[int], *, activation: Literal["relu", "gelu"] = "relu", dropout: float | None = None
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout


class Optimizer:
    """Base of optimizers."""

    def __init__(self, model: Module) -> None:
        self.model = model


@parts.register("adam")
class Adam(Optimizer):
    """Adam."""

    def __init__(
        self,
        model: Module,
        lr: Annotated[float, Field(gt=0)] = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(model)
        self.lr = lr
        self.betas = betas
        if lr > 1e6:
            raise ValueError("this diverges")


@parts.register("sgd")
class Sgd(Optimizer):
    """Gradient descent."""

    def __init__(self, model: Module, lr: Annotated[float, Field(gt=0)], momentum: float = 0.0) -> None:
        super().__init__(model)
        self.lr = lr
        self.momentum = momentum


class Loss(Module):
    """Base of losses."""


@parts.register("cross_entropy")
class CrossEntropy(Loss):
    """Cross entropy."""


@parts.register("weighted_sum")
class WeightedSum(Loss):
    """Several losses."""

    def __init__(self, losses: Annotated[list[Loss], Field(min_length=1)], weights: list[float] | None = None) -> None:
        self.losses = losses
        self.weights = weights


class Metric:
    """Base of metrics."""


@parts.register("f1")
class F1(Metric):
    """F1 score."""

    def __init__(self, average: Literal["macro", "micro"] = "macro") -> None:
        self.average = average


@parts.register("precision")
class Precision(Metric):
    """Precision."""

    def __init__(self, average: Literal["macro", "micro"] = "macro") -> None:
        self.average = average


@parts.register("my_step", call_args=("model", "batch"))
def my_step(model: Module, batch: Any, scale: float = 1.0) -> float:
    """A training step."""
    return scale


@runtime_checkable
class Stopping(Protocol):
    """Says when to stop."""

    def update(self, epoch: int) -> bool:
        """Takes an epoch."""


@parts.register("patience")
class Patience:
    """Stops when nothing gets better."""

    def __init__(self, metric: str, epochs: Annotated[int, Field(ge=1)] = 5) -> None:
        self.metric = metric
        self.epochs = epochs

    def update(self, epoch: int) -> bool:
        """Takes an epoch."""
        return False


@parts.register("trainer")
class Trainer:
    """Trains."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Loss,
        loader: Loader | None = None,
        step: Callable[[Module, Any], float] | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.loader = loader
        self.step = step


@parts.register("evaluator")
class Evaluator:
    """Evaluates."""

    def __init__(
        self, model: Module, loss: Loss, loaders: Mapping[str, Loader], metrics: Sequence[Metric] = ()
    ) -> None:
        self.model = model
        self.loss = loss
        self.loaders = loaders
        self.metrics = metrics


@parts.register("training")
class Training:
    """Trains and evaluates."""

    def __init__(
        self,
        trainer: Trainer | None = None,
        evaluator: Evaluator | None = None,
        epochs: Annotated[int, Field(ge=1)] = 1,
        early_stopping: Stopping | None = None,
    ) -> None:
        self.trainer = trainer
        self.evaluator = evaluator
        self.epochs = epochs
        self.early_stopping = early_stopping

    def run(self, context: object) -> None:
        """Does nothing."""


class Color(Enum):
    """A color."""

    RED = "red"
    BLUE = "blue"


class Point(TypedDict):
    """A place."""

    x: float
    y: float


@dataclass
class Settings:
    """Settings."""

    rate: float
    where: Path = Path("here")


@parts.register("anything")
class Anything:
    """Takes one value of each sort, and runs."""

    def __init__(
        self,
        x: int | None = None,
        *,
        f: float = 1.0,
        pair: tuple[int, int] | None = None,
        path: Path | None = None,
        color: Color = Color.RED,
        point: Point | None = None,
        settings: Settings | None = None,
        either: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None,
        table: dict[str, float] | None = None,
        any_value: Any = None,
        thing: Any = None,
        things: list[Any] | None = None,
        text: str = "text",
        names: set[str] | None = None,
        by_number: dict[int, str] | None = None,
        callback: Callable[[], None] | None = None,
        module: Module | None = None,
        seed: int | None = None,
    ) -> None:
        self.given = {name: value for name, value in locals().items() if name not in {"self", "__class__"}}

    def run(self, context: object) -> None:
        """Does nothing."""


@parts.register("open_ended")
class OpenEnded:
    """Takes further parameters."""

    def __init__(self, **more: int) -> None:
        self.more = more

    def run(self, context: object) -> None:
        """Does nothing."""
