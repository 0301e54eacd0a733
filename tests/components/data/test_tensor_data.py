"""Data in memory: samples, batches, selections."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mlgym.components.data import TensorData
from mlgym.errors import DataError


def make_data() -> TensorData:
    return TensorData(torch.arange(12.0).view(6, 2), torch.arange(6), classes=list("abcdef"))


def test_sample_has_no_sample_axis() -> None:
    """One sample is (input, target) without the first axis."""
    inputs, target = make_data()[3]
    assert inputs.tolist() == [6.0, 7.0]
    assert target.ndim == 0
    assert int(target) == 3


@pytest.mark.parametrize("index", [6, -7])
def test_index_outside_raises(index: int) -> None:
    """The sequence protocol ends at the last sample."""
    with pytest.raises(IndexError, match="of 6"):
        make_data()[index]


def test_iteration_ends() -> None:
    """A dataset can be iterated, since IndexError ends it."""
    assert len(list(make_data())) == 6  # type: ignore[call-overload]  # by index


def test_select_copies_and_keeps_names() -> None:
    """A selection is independent of the data and keeps the names of the classes."""
    data = make_data()
    chosen: Any = data.select(torch.tensor([4, 1]))
    assert chosen.targets.tolist() == [4, 1]
    assert chosen.classes == tuple("abcdef")
    assert isinstance(chosen.inputs, torch.Tensor)
    chosen.inputs.zero_()
    assert data[4][0].tolist() == [8.0, 9.0]


def test_named_tensors_are_batched_by_name() -> None:
    """Several inputs and targets keep their names in samples and batches."""
    data = TensorData({"a": torch.arange(4.0), "b": torch.ones(4, 3)}, {"y": torch.arange(4)})
    inputs, targets = data.batch(torch.tensor([2, 0]))
    assert inputs["a"].tolist() == [2.0, 0.0]
    assert inputs["b"].shape == (2, 3)
    assert targets["y"].tolist() == [2, 0]
    assert data[1][0]["b"].shape == (3,)


def test_lengths_must_agree() -> None:
    """Inputs and targets of different length are refused with their shapes."""
    with pytest.raises(DataError, match=r"\(3, 2\), \(4,\)"):
        TensorData(torch.ones(3, 2), torch.ones(4))


def test_scalar_tensor_is_refused() -> None:
    """A tensor without a sample axis is refused."""
    with pytest.raises(DataError, match="first axis"):
        TensorData(torch.tensor(1.0), torch.ones(1))
