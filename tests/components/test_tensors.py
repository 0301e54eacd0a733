"""What is read of a batch, whatever form it has."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mlgym.components.tensors import batch_size
from mlgym.errors import TrainingError


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.ones(3, 2), 3),
        ((torch.ones(3, 2), torch.ones(3)), 3),
        ({"text": ["a", "b"], "x": torch.ones(2, 5)}, 2),
        ((None, {"temperature": 0.5, "x": torch.ones(4)}), 4),
        ([torch.tensor(1.0), [torch.tensor(2.0)], torch.ones(5)], 5),
    ],
    ids=["tensor", "pair", "texts first", "nothing first", "scalars first"],
)
def test_size_is_that_of_the_first_tensor_with_a_batch_axis(batch: Any, size: int) -> None:
    """Texts, ids and numbers that come before it have none."""
    assert batch_size(batch) == size


@pytest.mark.parametrize("batch", [["a", "b"], {"x": torch.tensor(1.0)}, 3], ids=["texts", "scalar", "number"])
def test_a_batch_without_such_a_tensor_is_refused(batch: Any) -> None:
    """The error names the type of the batch."""
    with pytest.raises(TrainingError, match=f"a batch of type {type(batch).__name__} holds no tensor"):
        batch_size(batch)
