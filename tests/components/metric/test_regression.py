"""Metrics over numbers against scikit-learn."""

import math
from typing import Any

import pytest
import torch
from sklearn import metrics as oracle

from mlgym.components.loss import MeanSquaredError
from mlgym.components.metric import R2, MeanAbsoluteError
from mlgym.errors import TrainingError
from tests.components.metric.test_labels import fed

METRICS: dict[str, tuple[Any, Any]] = {
    "mse": (MeanSquaredError, oracle.mean_squared_error),
    "mae": (MeanAbsoluteError, oracle.mean_absolute_error),
    "r2": (R2, oracle.r2_score),
}


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("shape", [(100,), (100, 1), (100, 3)])
@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (1e5, 1.0), (0.0, 1e-4), (-3.0, 1e4)])
def test_values_equal_sklearn(kind: str, shape: tuple[int, ...], offset: float, scale: float) -> None:
    """All are scikit-learn's to 1e-6 of their size, also for numbers far from 0, very small or very large."""
    generator = torch.Generator().manual_seed(0)
    targets = offset + scale * torch.randn(shape, dtype=torch.float64, generator=generator)
    predictions = targets + 0.3 * scale * torch.randn(shape, dtype=torch.float64, generator=generator)
    metric, expected = METRICS[kind]
    assert metric().name == kind
    assert fed(metric(), predictions, targets) == pytest.approx(expected(targets, predictions), rel=1e-6)


@pytest.mark.parametrize("kind", METRICS)
def test_whole_numbers_and_single_precision(kind: str) -> None:
    """Sums of a million single precision numbers keep their digits, and targets may be whole numbers."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 50, (1_000_000,), generator=generator)
    predictions = targets + torch.randn(1_000_000, generator=generator)
    metric, expected = METRICS[kind]
    one = metric()
    one.update(predictions, targets)
    assert one.compute() == pytest.approx(expected(targets.numpy(), predictions.double().numpy()), rel=1e-6)


def test_r2_where_it_degenerates() -> None:
    """Constant targets give 1 for perfect predictions and 0 otherwise as in scikit-learn; one sample gives NaN."""
    constant = torch.ones(100)
    assert fed(R2(), constant, constant) == oracle.r2_score(constant, constant) == 1.0
    assert fed(R2(), constant + 1, constant) == oracle.r2_score(constant, constant + 1) == 0.0
    tenths = torch.full((100,), 0.1)  # whose mean is not exactly 0.1: scikit-learn gives -1e15
    assert fed(R2(), tenths + 1, tenths) == 0.0
    assert math.isnan(fed(R2(), constant * math.nan, constant))
    metric = R2()
    metric.update(torch.ones(1), torch.ones(1))
    value: Any = metric.compute()
    assert math.isnan(value)


@pytest.mark.parametrize("kind", METRICS)
def test_shapes_that_would_broadcast_are_refused(kind: str) -> None:
    """(n, 1) with (n,) is an error with both shapes and the way out; the control is what broadcasting would give."""
    metric = METRICS[kind][0]()
    with pytest.raises(TrainingError, match=rf"`{kind}`: the shapes differ; the prediction is \(4, 1\).*squeeze\(-1\)"):
        metric.update(torch.zeros(4, 1), torch.zeros(4))
    broadcast = (torch.arange(4.0)[:, None] - torch.arange(4.0)).square().mean()
    assert broadcast != 0, "a perfect prediction would have had an error"


def test_named_tensors_and_reset() -> None:
    """Prediction and target are read by name, and a reset forgets."""
    metric = MeanAbsoluteError(prediction="b", target="y", name="distance")
    predictions = {"a": torch.zeros(2), "b": torch.tensor([1.0, 3.0])}
    metric.update(predictions, {"x": torch.zeros(2), "y": torch.zeros(2)})
    assert (metric.name, metric.compute()) == ("distance", 2.0)
    metric.reset()
    metric.update({"b": torch.ones(2)}, {"y": torch.zeros(2)})
    assert metric.compute() == 1.0
    with pytest.raises(TrainingError, match="there are 2 predictions"):
        MeanAbsoluteError().update(predictions, torch.zeros(2))
