"""Samples of each class, counted without reading one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from mlgym.components.data import TensorData, class_counts
from mlgym.components.data.views import ConcatView, InputView, SubsetView, TargetView
from tests.components.data.test_labels import Plain, Unreadable

LABELS = [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("dataset", "counts"),
    [
        (TensorData(torch.ones(4, 2), torch.tensor(LABELS)), {"0": 3, "1": 1}),
        (TensorDataset(torch.ones(4, 2), torch.tensor(LABELS)), {"0": 3, "1": 1}),
        (Unreadable(targets=LABELS, classes=["cat", "dog"]), {"cat": 3, "dog": 1}),
        (Subset(Unreadable(targets=LABELS, classes=["cat", "dog"]), [1, 2]), {"cat": 1, "dog": 1}),
        (SubsetView(Unreadable(labels=LABELS), torch.tensor([1, 0])), {"0": 1, "1": 1}),
        (InputView(Unreadable(targets=LABELS), lambda given: given, deterministic=True), {"0": 3, "1": 1}),
        (ConcatView([Unreadable(targets=LABELS), Unreadable(targets=[7, 7, 7, 7])]), {"0": 3, "1": 1, "7": 4}),
        (ConcatDataset([Unreadable(targets=LABELS), Unreadable(targets=LABELS)]), {"0": 6, "1": 2}),
        (TargetView(Plain(), torch.tensor(LABELS)), {"0": 3, "1": 1}),
        (Unreadable(targets=[0.5, 1.5, 2.5, 3.5]), None),
        (TensorDataset(torch.ones(4, 2)), None),
        (TensorDataset(torch.ones(1001, 2), torch.arange(1001)), None),
        (Plain(), None),
        (Subset(Plain(), [0, 1]), None),
    ],
)
def test_counts(dataset: Any, counts: dict[str, int] | None) -> None:
    """Each kind of dataset is counted by what it keeps; what would have to be read is not, nor are numbers."""
    state = torch.get_rng_state()
    assert class_counts(dataset) == counts
    assert torch.equal(torch.get_rng_state(), state)


def test_a_dataset_that_raises_costs_only_its_counts() -> None:
    """Whatever a dataset of the user's raises, the experiment goes on."""

    class Broken(Unreadable):
        @property
        def targets(self) -> Any:
            raise OSError("gone")

    assert class_counts(Broken()) is None
