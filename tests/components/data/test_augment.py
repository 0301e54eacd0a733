"""Random changes to inputs."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mlgym.components.data import augment, data_loaders, labels_of
from tests.components.data.lazy_data import LazyData

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def add_noise(given: Tensor, scale: float = 1.0) -> Tensor:
    return given + scale * torch.rand(()) + random.random() + np.random.rand()


def add_own_noise(given: Tensor, rng: np.random.Generator) -> Tensor:
    return given + float(rng.standard_normal())


@pytest.mark.parametrize("transform", [add_noise, add_own_noise, nn.Dropout(0.5)], ids=["global", "rng", "module"])
def test_augmentation_does_not_depend_on_workers(transform: Any) -> None:
    """With global generators or one of its own, 0 and 2 workers give the same bits, and epochs differ."""
    data = augment(LazyData(), transform)
    results = []
    for num_workers in (0, 2):
        loader = data_loaders({"train": data}, 4, seed=3, num_workers=num_workers)["train"]
        results.append([torch.cat([inputs for inputs, _ in loader.epoch(epoch)]) for epoch in (0, 1)])
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[0][1])


def test_only_the_input_changes() -> None:
    """Targets, length and labels stay; the dataset no longer counts as deterministic."""
    data: Any = augment(LazyData(), lambda given: given * 0)
    assert data[3][0].tolist() == [0, 0]
    assert data[3][1] == 1
    assert len(data) == 10
    assert labels_of(data).tolist() == [0, 1] * 5
    assert not data.deterministic
