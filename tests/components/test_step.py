"""Calling a model on a batch: what a failure of PyTorch's says to a user."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlgym.components.model import MLP, Conv, ConvNet
from mlgym.components.step import predict
from mlgym.errors import TrainingError


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.uint8], ids=str)
@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (MLP([4], 2, num_inputs=6), (3, 6)),
        (ConvNet([Conv(2)], in_shape=[1, 4, 4]), (3, 1, 4, 4)),
        (nn.LSTM(6, 2), (3, 6)),
    ],
    ids=["mlp", "conv_net", "own"],
)
def test_inputs_of_another_type_are_named(model: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Doubles and whole numbers are what datasets often give; the error says what to do, PyTorch's stays its cause."""
    with pytest.raises(TrainingError, match=r"the inputs are \(3, .*, its parameters float32; let") as caught:
        predict(model, torch.zeros(shape, dtype=dtype))
    assert isinstance(caught.value.__cause__, (RuntimeError, ValueError))


def test_a_last_batch_of_one_with_batch_norm() -> None:
    """The error names `drop_last`; two samples, or evaluation, are fine (the control)."""
    model = MLP([4], 2, num_inputs=6, batch_norm=True)
    with pytest.raises(TrainingError, match=r"more than one sample, but the inputs are \(1, 6\) float32; `drop_last"):
        predict(model, torch.zeros(1, 6))
    assert predict(model, torch.zeros(2, 6))["prediction"].shape == (2, 2)
    assert predict(model.eval(), torch.zeros(1, 6))["prediction"].shape == (1, 2)


def test_inputs_that_are_no_tensor_are_named() -> None:
    """Text, or whatever else a loader leaves as it is."""
    with pytest.raises(TrainingError, match="Linear cannot take this batch: the inputs are a tuple, not a tensor; let"):
        predict(nn.Linear(2, 1), ("some", "text"))


def test_other_failures_are_left_alone() -> None:
    """A wrong size, or an error of the user's own model, is raised as it is, whatever the type of the inputs."""

    class Own(nn.Module):
        def forward(self, inputs: Any) -> Tensor:
            raise ValueError("no such token")

    with pytest.raises(ValueError, match=r"^no such token$"):
        predict(Own(), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        predict(MLP([4], 2, num_inputs=6), torch.zeros(3, 7))


@pytest.mark.parametrize(
    ("output", "given"), [(None, r"nothing: does its `forward` end with `return`\?"), ((torch.zeros(1),), "a tuple")]
)
def test_a_model_without_a_prediction_is_named(output: object, given: str) -> None:
    """A forgotten `return` gives None, several outputs without names a tuple."""

    class Own(nn.Module):
        def forward(self, inputs: Any) -> Any:
            return output

    with pytest.raises(TrainingError, match=f"the model Own must give a tensor or tensors by name, but gave {given}$"):
        predict(Own(), torch.zeros(1))
