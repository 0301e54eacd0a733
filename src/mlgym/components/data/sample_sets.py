"""The sets that come with scikit-learn: small, real, there without a network."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch

from mlgym.components.data.tensor_data import TensorData
from mlgym.config.registry import register

# The second and third hold the files; `importlib` reads those with the last.
_SCIKIT_LEARN: Final = (
    "sklearn.datasets",
    "sklearn.datasets.data",
    "sklearn.datasets.descr",
    "importlib.resources.readers",
)


@register("digits", late_imports=_SCIKIT_LEARN)
def digits(*, flat: bool = True) -> TensorData:
    """Gives 1,797 handwritten digits of 8 x 8 pixels.

    Args:
        flat: inputs are (1797, 64) float32 where true, else images (1797, 1, 8, 8); pixels are in [0, 1].

    Returns:
        Targets are (1797,) int64 in [0, 10), about 180 samples of each class.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998 (its test set);
        `sklearn.datasets.load_digits`.
    """
    from sklearn.datasets import load_digits

    data = _classification(load_digits())
    inputs = data.inputs / 16 if isinstance(data.inputs, torch.Tensor) else data.inputs
    assert isinstance(inputs, torch.Tensor)
    return TensorData(inputs if flat else inputs.view(-1, 1, 8, 8), data.targets, classes=data.classes)


@register("iris", late_imports=_SCIKIT_LEARN)
def iris() -> TensorData:
    """Gives 150 iris flowers of three species.

    Returns:
        Inputs (150, 4) float32: length and width of sepal and petal in cm, in [0.1, 7.9]; targets (150,) int64 in
        [0, 3), 50 samples of each class.

    Source: Fisher, The use of multiple measurements in taxonomic problems, 1936; `sklearn.datasets.load_iris`.
    """
    from sklearn.datasets import load_iris

    return _classification(load_iris())


@register("wine", late_imports=_SCIKIT_LEARN)
def wine() -> TensorData:
    """Gives 178 wines of three cultivars.

    Returns:
        Inputs (178, 13) float32: chemical measurements in their own units, from 0.13 to 1680, so `standardize` them;
        targets (178,) int64 in [0, 3), with 59, 71 and 48 samples.

    Source: Forina et al., PARVUS, 1988, UCI repository; `sklearn.datasets.load_wine`.
    """
    from sklearn.datasets import load_wine

    return _classification(load_wine())


@register("breast_cancer", late_imports=_SCIKIT_LEARN)
def breast_cancer() -> TensorData:
    """Gives 569 tumours, malignant or benign.

    Returns:
        Inputs (569, 30) float32: properties of cell nuclei in their own units, from 0 to 4254, so `standardize` them;
        targets (569,) int64: 0 malignant (212 samples), 1 benign (357 samples).

    Source: Street, Wolberg, Mangasarian, Nuclear feature extraction for breast tumor diagnosis, 1993;
        `sklearn.datasets.load_breast_cancer`.
    """
    from sklearn.datasets import load_breast_cancer

    return _classification(load_breast_cancer())


@register("diabetes", late_imports=_SCIKIT_LEARN)
def diabetes(*, scaled: bool = True) -> TensorData:
    """Gives 442 diabetes patients and how far the disease went within a year: a regression.

    Args:
        scaled: each feature has mean 0 and sum of squares 1 over all samples, as published; false gives raw units.

    Returns:
        Inputs (442, 10) float32, in [-0.14, 0.2] where scaled; targets (442, 1) float32 in [25, 346], shaped as the
        output of a model with one output.

    Source: Efron, Hastie, Johnstone, Tibshirani, Least angle regression, 2004; `sklearn.datasets.load_diabetes`.
    """
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=scaled)
    targets = torch.from_numpy(bunch.target.astype(np.float32))[:, None]  # (samples, 1)
    return TensorData(torch.from_numpy(bunch.data.astype(np.float32)), targets, features=bunch.feature_names)


def _classification(bunch: Any) -> TensorData:
    return TensorData(
        torch.from_numpy(bunch.data.astype(np.float32)),
        torch.from_numpy(bunch.target.astype(np.int64)),
        classes=[str(name) for name in bunch.target_names],
        features=[str(name) for name in bunch.feature_names],
    )
