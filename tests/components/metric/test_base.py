"""Wrapping metrics of others."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mlgym.components.metric import Accuracy, PlainMetric, as_metric
from mlgym.config.registry import Registry
from mlgym.errors import TrainingError


class MeanTarget:
    """A metric of the user's own, without any base class."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.seen: list[tuple[Tensor, Tensor]] = []

    def update(self, prediction: Tensor, target: Tensor) -> None:
        self.seen.append((prediction, target))

    def compute(self) -> Any:
        return self.value

    def reset(self) -> None:
        self.seen.clear()


def test_ours_are_left_alone() -> None:
    """A metric that keeps the contract is not wrapped."""
    metric = Accuracy()
    assert as_metric(metric) is metric


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.5]), 0.5),
        (torch.tensor([0.5, 0.25]), {"mean_target/0": 0.5, "mean_target/1": 0.25}),
        (torch.tensor([[1, 2], [3, 4]]), [[1.0, 2.0], [3.0, 4.0]]),
        ({"a": torch.tensor(1.0)}, {"mean_target/a": 1.0}),
    ],
)
def test_values_of_any_form(value: Any, expected: Any) -> None:
    """Numbers, vectors, tables and mappings become what results hold."""
    metric = as_metric(MeanTarget(value))
    assert isinstance(metric, PlainMetric)
    metric.update({"prediction": torch.ones(2)}, torch.zeros(2))
    assert metric.compute() == expected
    assert metric.name == "mean_target"
    metric.reset()
    assert metric.to(torch.device("cpu")) is metric


def test_a_metric_of_torchmetrics() -> None:
    """A torchmetrics metric works as it is, under its snake-case name or one of choice."""
    from torchmetrics.classification import MulticlassF1Score

    metric = as_metric(MulticlassF1Score(3, average="none").to(torch.device("cpu")))
    metric.update(torch.eye(3), torch.arange(3))
    assert metric.name == "multiclass_f1_score"
    assert metric.to(torch.device("cpu")).compute() == {f"multiclass_f1_score/{index}": 1.0 for index in range(3)}
    assert as_metric(MulticlassF1Score(3), name="mine").name == "mine"


def test_what_is_no_metric_is_refused() -> None:
    """The methods that are missing are named."""
    with pytest.raises(TrainingError, match=r"needs `update\(prediction, target\)`.*but float"):
        as_metric(1.0)


def test_a_registered_metric_has_its_registered_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results call a metric what configs call it."""
    registry = Registry()
    registry.register("target_mean")(MeanTarget)
    monkeypatch.setattr("mlgym.components.metric.base.REGISTRY", registry)
    assert as_metric(MeanTarget(1.0)).name == "target_mean"
    assert as_metric(MeanTarget(1.0), name="mine").name == "mine"
