"""The sets that come with scikit-learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mlgym.components.data import TensorData, breast_cancer, diabetes, digits, iris, wine


@pytest.mark.parametrize(
    ("make", "shape", "num_classes"),
    [(digits, (1797, 64), 10), (iris, (150, 4), 3), (wine, (178, 13), 3), (breast_cancer, (569, 30), 2)],
)
def test_classification_sets(make: Any, shape: tuple[int, ...], num_classes: int) -> None:
    """Shapes, dtypes and names are as documented."""
    data: TensorData = make()
    assert isinstance(data.inputs, torch.Tensor)
    assert isinstance(data.targets, torch.Tensor)
    assert (data.inputs.shape, data.inputs.dtype) == (shape, torch.float32)
    assert (data.targets.shape, data.targets.dtype) == (shape[:1], torch.int64)
    assert sorted(set(data.targets.tolist())) == list(range(num_classes))
    assert data.classes is not None
    assert len(data.classes) == num_classes


def test_digits_as_images() -> None:
    """Digits are rows or images with one channel, in [0, 1]."""
    images: Any = digits(flat=False).inputs
    assert images.shape == (1797, 1, 8, 8)
    assert (float(images.min()), float(images.max())) == (0.0, 1.0)
    rows: Any = digits().inputs
    assert torch.equal(images.flatten(1), rows)


def test_diabetes_is_a_regression() -> None:
    """Targets fit a model with one output."""
    data: Any = diabetes()
    assert (data.inputs.shape, data.inputs.dtype) == ((442, 10), torch.float32)
    assert (data.targets.shape, data.targets.dtype) == ((442, 1), torch.float32)
    assert (float(data.targets.min()), float(data.targets.max())) == (25.0, 346.0)
    unscaled: Any = diabetes(scaled=False).inputs
    assert float(unscaled.max()) > 100
