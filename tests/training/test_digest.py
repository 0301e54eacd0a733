"""Digests are equal exactly where the bits are."""

from typing import Any

import pytest
import torch

from mlgym.training.digest import digest


def test_equal_states_have_equal_digests() -> None:
    """Copies and other memory layouts of the same values do not change it."""
    tensor = torch.arange(12.0).reshape(3, 4)
    assert digest({"w": tensor}) == digest({"w": tensor.clone()})
    assert digest({"w": tensor.t()}) == digest({"w": tensor.t().contiguous()})


@pytest.mark.parametrize(
    "other",
    [
        {"w": torch.tensor([1.0, 2.0000002])},
        {"w": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"w": torch.tensor([[1.0, 2.0]])},
        {"v": torch.tensor([1.0, 2.0])},
        {"w": torch.tensor([1.0, 2.0]), "step": 1},
        {"w": torch.tensor([2.0, 1.0])},
        {"w": [1.0, 2.0]},
        {},
    ],
)
def test_any_difference_shows(other: dict[str, Any]) -> None:
    """A bit, a type, a shape, a name, an order or a missing entry gives another digest."""
    assert digest(other) != digest({"w": torch.tensor([1.0, 2.0])})


def test_signed_zero_and_nan_payloads_count_as_bits() -> None:
    """Equality of numbers is not enough: 0.0 and -0.0 differ in their bits."""
    assert digest(torch.tensor(0.0)) != digest(torch.tensor(-0.0))
    assert digest(torch.tensor(torch.nan)) == digest(torch.tensor(torch.nan))


def test_types_without_a_numpy_counterpart_work() -> None:
    """bfloat16, bool and empty tensors are hashed too."""
    assert digest(torch.ones(3, dtype=torch.bfloat16)) != digest(torch.ones(3, dtype=torch.float16))
    assert digest(torch.ones(3, dtype=torch.bool)) != digest(torch.ones(3, dtype=torch.uint8))
    assert digest(torch.empty(0)) != digest(torch.empty(0, 1))
