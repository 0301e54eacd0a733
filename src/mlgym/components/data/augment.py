"""Random changes to inputs, drawn anew each time a sample is read."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from mlgym.components.data.views import InputView
from mlgym.config.registry import register


class AugmentedData(InputView):
    """A dataset whose inputs are changed at random when they are read."""


@register("augment")
def augment(dataset: Dataset[Any], transform: Callable[..., Any]) -> Dataset[Any]:
    """Lets every input go through a random transform each time it is read.

    What the transform draws is a function of (seed of the loader, epoch, index of the sample): loaders seed the global
    generators of python, numpy and torch before each sample. So it may use any of them, or take its own generator.

    Args:
        dataset: its samples are (input, target); only the input is changed.
        transform: called as `transform(input)`, or as `transform(input, rng=generator)` where it has a parameter `rng`
            (a `numpy.random.Generator`).
    """
    return AugmentedData(dataset, _with_rng(transform) if _takes_rng(transform) else transform, deterministic=False)


def _takes_rng(transform: Callable[..., Any]) -> bool:
    try:
        return "rng" in inspect.signature(transform).parameters
    except (TypeError, ValueError):
        return False


def _with_rng(transform: Callable[..., Any]) -> Callable[[Any], Any]:
    def call(given: Any) -> Any:
        # The generator follows from the global one, which loaders seed for each sample.
        return transform(given, rng=np.random.Generator(np.random.PCG64(random.getrandbits(128))))

    return call
