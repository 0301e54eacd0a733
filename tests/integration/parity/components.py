"""What both sides train: estimators of scikit-learn inside of an experiment, and a small model of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor, nn

from mlgym.components.data import TensorData
from mlgym.config import register
from mlgym.events import EvaluationResult, MetricScore
from mlgym.training import ExperimentContext

Arrays = npt.NDArray[Any]
LOADERS: Final[Mapping[str, Callable[[], Any]]] = {
    "breast_cancer": load_breast_cancer, "digits": load_digits, "iris": load_iris, "wine": load_wine,
}  # fmt: skip
ESTIMATORS: Final[Mapping[str, Callable[..., Any]]] = {
    "dummy": DummyClassifier, "knn": KNeighborsClassifier, "tree": DecisionTreeClassifier,
}  # fmt: skip
METRICS: Final[Mapping[str, Callable[[Arrays, Arrays], float]]] = {
    "accuracy": lambda targets, predictions: float(accuracy_score(targets, predictions)),
    "f1_macro": lambda targets, predictions: float(f1_score(targets, predictions, average="macro")),
}


def arrays_of(name: str, num_rows: int) -> tuple[Arrays, Arrays, Arrays]:
    """Gives inputs (rows, features) float32, labels (rows,) and groups (rows,) of a set of scikit-learn."""
    bunch = LOADERS[name]()
    rows = np.random.RandomState(7).permutation(len(bunch.target))[:num_rows]
    groups = np.random.RandomState(8).randint(0, 20, len(rows))
    return bunch.data[rows].astype(np.float32), bunch.target[rows].astype(np.int64), groups


@register("parity_data")
def parity_data(name: str, num_rows: int) -> TensorData:
    """Gives the same as `arrays_of`."""
    inputs, labels, groups = arrays_of(name, num_rows)
    return TensorData(torch.from_numpy(inputs), torch.from_numpy(labels), metadata={"group": groups})


@register("parity_estimator")
def parity_estimator(name: str, **params: Any) -> Any:
    """Gives an estimator of scikit-learn."""
    return ESTIMATORS[name](**params)


@register("fit_estimator")
class FitEstimator:
    """An experiment that fits an estimator to `train` and measures it on all other parts."""

    def __init__(self, datasets: dict[str, TensorData], estimator: Any, metric: str) -> None:
        self.datasets = datasets
        self.estimator = estimator
        self.metric = metric

    def run(self, context: ExperimentContext) -> None:
        """See `Experiment`."""
        arrays = {name: (data.inputs.numpy(), data.targets.numpy()) for name, data in self.datasets.items()}  # type: ignore[union-attr]  # they are tensors
        self.estimator.fit(*arrays.pop("train"))
        scores = [
            MetricScore(self.metric, part, METRICS[self.metric](labels, self.estimator.predict(inputs)))
            for part, (inputs, labels) in arrays.items()
        ]
        context.sink.emit(
            EvaluationResult(
                grid_search_id=context.run_id,
                experiment_id=context.experiment_id,
                epoch=1,
                step=1,
                metric_scores=scores,
                loss_scores=[],
            )
        )


@register("parity_net")
class ParityNet(nn.Module):
    """One hidden layer whose first weights follow from its own seed."""

    def __init__(self, num_inputs: int, num_classes: int, width: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(11)
        self.first = nn.Parameter(torch.randn(num_inputs, width, generator=generator) / num_inputs)
        self.second = nn.Parameter(torch.randn(width, num_classes, generator=generator) / width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives logits (batch, classes)."""
        logits: Tensor = torch.tanh(inputs @ self.first) @ self.second
        return logits


class TorchClassifier(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The same model with the same training, written by hand with the interface of scikit-learn."""

    def __init__(self, model_width: int = 4, optimizer_lr: float = 0.1, epochs: int = 6) -> None:
        # Named so that they sort as the keys of a config do.
        self.model_width, self.optimizer_lr, self.epochs = model_width, optimizer_lr, epochs

    def fit(self, inputs: Arrays, labels: Arrays) -> TorchClassifier:
        """Trains on all rows at once."""
        self.net = ParityNet(inputs.shape[1], 10, self.model_width)
        optimizer = torch.optim.SGD(self.net.parameters(), lr=self.optimizer_lr, momentum=0.9)
        batch, targets = torch.from_numpy(inputs), torch.from_numpy(labels)
        for _ in range(self.epochs):
            optimizer.zero_grad()
            nn.functional.cross_entropy(self.net(batch), targets).backward()
            optimizer.step()
        return self

    def predict(self, inputs: Arrays) -> Arrays:
        """Gives the most probable class of each row."""
        with torch.no_grad():
            return np.asarray(self.net(torch.from_numpy(inputs)).argmax(1).numpy())
