"""The sizes that a model takes from an example of its data, and the seed that its first weights take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from mlgym.components.data.labels import classes_of, labels_of
from mlgym.components.data.loader import Loader
from mlgym.config.implied import Follows
from mlgym.errors import TrainingError
from mlgym.seeding import derive_seed

Count: TypeAlias = Annotated[int, Field(ge=1)]
"""A number of features, channels or pixels."""

Example: TypeAlias = Annotated[Dataset[Any] | Loader | None, Follows("experiment.trainer.loader")]
"""Data whose samples a model is for; where a config does not name any, that which the model is trained on."""

Share: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
"""A share of units, such as the ones that dropout leaves out."""

Outputs: TypeAlias = Count | Literal["scalar"]
"""How many numbers a model gives per sample: k for (batch, k), `scalar` for (batch,)."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Makes what is initialized inside a function of `seed` alone; the global generator goes on as if nothing was.

    Args:
        seed: the component's seed, >= 0.
    """
    state = torch.get_rng_state()
    # Weights are made on the CPU, so the device generators need neither seeding nor saving.
    torch.default_generator.manual_seed(derive_seed(seed, "initialization"))
    try:
        yield
    finally:
        torch.set_rng_state(state)


def input_shape(example: Dataset[Any] | Loader) -> tuple[int, ...]:
    """Gives the shape of one input, without the batch axis, from the first sample.

    Raises:
        TrainingError: there is no sample, or its input is no tensor.
    """
    inputs = _first_sample(dataset_of(example))[0]
    if not isinstance(inputs, (Tensor, np.ndarray)):
        raise TrainingError(
            f"the sizes of a model follow from an input that is one tensor, but here it is {type(inputs).__name__}; "
            "give the sizes, or register a model of your own"
        )
    return tuple(inputs.shape)


def num_outputs(example: Dataset[Any] | Loader) -> Outputs:
    """Gives how many numbers a model must give per sample to speak about the targets of `example`.

    Returns:
        For class labels (whole numbers) the number of the data's class names, or the highest label plus 1; for
        vectors their length; for single float numbers `scalar`.

    Raises:
        TrainingError: there is no sample, or the targets are of another form.
    """
    dataset = dataset_of(example)
    target = _first_sample(dataset)[1]
    first = target if isinstance(target, Tensor) else torch.as_tensor(target) if _is_number(target) else None
    if first is None or first.ndim > 1:
        raise TrainingError(
            "the number of outputs follows from targets that are labels, numbers or vectors, but here the target is "
            f"{type(target).__name__ if first is None else f'a tensor of shape {tuple(first.shape)}'}; give the number"
        )
    if first.ndim == 1:
        return int(first.shape[0])
    if first.is_floating_point():
        return "scalar"
    # A split may lack the last class, so the names count where the data has them.
    return max(len(classes_of(dataset) or ()), int(labels_of(dataset).max()) + 1)


def dataset_of(example: Dataset[Any] | Loader) -> Dataset[Any]:
    """Gives the dataset itself, or the one that a loader reads."""
    return example.dataset if isinstance(example, Loader) else example


def _first_sample(example: Dataset[Any]) -> tuple[Any, Any]:
    try:
        sample = example[0]
    except IndexError:
        raise TrainingError("the sizes of a model cannot follow from an `example` without samples") from None
    if not isinstance(sample, (tuple, list)) or len(sample) < 2:
        raise TrainingError(
            f"the sizes of a model follow from samples (input, target), but here a sample is {type(sample).__name__}; "
            "give the sizes"
        )
    return sample[0], sample[1]


def _is_number(target: object) -> bool:
    return not isinstance(target, (str, bytes, Mapping, list, tuple)) and hasattr(target, "__float__")
