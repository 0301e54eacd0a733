"""Inputs with mean 0 and standard deviation 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from mlgym.components.data import TableData, TensorData, augment, in_memory, standardize
from mlgym.errors import DataError
from tests.components.data.lazy_data import LazyData


def make_data(*shape: int, seed: int = 0, shift: float = 100.0) -> TensorData:
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return TensorData(numbers * 3 + shift, torch.zeros(shape[0], dtype=torch.int64))


def inputs(dataset: Any) -> Tensor:
    assert isinstance(dataset.inputs, Tensor)
    return dataset.inputs


def test_same_as_scikit_learn() -> None:
    """Features are scaled as by `StandardScaler` fitted on the training split, over several chunks."""
    train, val = make_data(2500, 5), make_data(40, 5, seed=1)
    result = standardize({"train": train, "val": val})
    scaler = StandardScaler().fit(inputs(train).double().numpy())
    for split, data in (("train", train), ("val", val)):
        expected = scaler.transform(inputs(data).double().numpy())
        assert np.allclose(inputs(result[split]).numpy(), expected, atol=1e-4)


def test_other_splits_do_not_leak() -> None:
    """What is done to the training split does not depend on the validation split."""
    train = make_data(50, 5)
    one = standardize({"train": train, "val": make_data(9, 5, shift=0)})
    other = standardize({"train": train, "val": make_data(9, 5, shift=1e6)})
    assert torch.equal(inputs(one["train"]), inputs(other["train"]))
    assert abs(float(inputs(other["val"]).mean())) > 1000


def test_images_are_scaled_by_channel() -> None:
    """One mean and deviation for each channel, or for each pixel."""
    data = make_data(64, 3, 4, 4)
    by_channel = inputs(standardize({"train": data})["train"])
    assert torch.allclose(by_channel.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(by_channel.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-4)
    by_element = inputs(standardize({"train": data}, per="element")["train"])
    assert torch.allclose(by_element.std(dim=0, correction=0), torch.ones(3, 4, 4), atol=1e-4)


def test_constant_features_are_only_shifted() -> None:
    """What does not vary becomes 0, not NaN or noise."""
    data = TensorData(torch.tensor([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]]), torch.zeros(3))
    result = inputs(standardize({"train": data})["train"])
    assert torch.allclose(result[:, 0], torch.zeros(3), atol=1e-6)
    assert torch.isfinite(result).all()


def test_lazy_data_is_scaled_when_read() -> None:
    """Data that is not in memory gets the same numbers as in memory."""
    data = LazyData(20)
    lazy: Any = standardize({"train": data, "val": LazyData(5)})
    eager = standardize({"train": in_memory(data, seed=0)})
    assert torch.allclose(torch.stack([lazy["train"][i][0] for i in range(20)]), inputs(eager["train"]), atol=1e-6)
    assert lazy["train"].deterministic
    augmented: Any = standardize({"train": augment(data, torch.relu)})["train"]
    assert not augmented.deterministic


def test_integer_and_named_inputs() -> None:
    """Whole numbers and doubles become float32; named inputs are scaled by name."""
    inputs = {"a": torch.arange(10)[:, None], "b": torch.rand(10, 2), "c": torch.rand(10, 2, dtype=torch.float64)}
    result: Any = standardize({"train": TensorData(inputs, torch.zeros(10))})["train"]
    assert {tensor.dtype for tensor in result.inputs.values()} == {torch.float32}
    assert float(result.inputs["b"].mean()) == pytest.approx(0, abs=1e-5)


def test_targets_are_scaled_on_request() -> None:
    """Targets of a regression get mean 0 and deviation 1; class indices are refused."""
    values = TensorData(torch.rand(30, 2), torch.rand(30, 1) * 50 + 100)
    result: Any = standardize({"train": values}, targets=True)["train"]
    assert float(result.targets.std(correction=0)) == pytest.approx(1, abs=1e-4)
    with pytest.raises(DataError, match="class indices"):
        standardize({"train": make_data(9, 2)}, targets=True)
    with pytest.raises(DataError, match="in_memory"):
        standardize({"train": LazyData()}, targets=True)


@pytest.mark.parametrize(
    ("datasets", "text"),
    [
        ({"trian": make_data(3, 1)}, "did you mean `trian`"),
        ({"train": make_data(3, 1), "val": TableData({}, {}, torch.ones(1), features=[])}, "encode_features"),
        ({"train": make_data(0, 3)}, "without samples"),
        ({"train": TensorData(torch.tensor([[1.0], [torch.nan]]), torch.ones(2))}, "there are values that are NaN"),
        (
            {"train": TensorData({"x": torch.tensor([torch.inf])[None]}, torch.ones(1))},
            "`x` has values",
        ),
        ({"train": make_data(3, 1), "val": TensorData({"x": torch.ones(1, 1)}, torch.ones(1))}, "no input x"),
    ],
    ids=["name", "table", "empty", "nan", "infinite", "other input"],
)
def test_what_cannot_be_scaled(datasets: Any, text: str) -> None:
    """Each mistake is named."""
    with pytest.raises(DataError, match=text):
        standardize(datasets)
