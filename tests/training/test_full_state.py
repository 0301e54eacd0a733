"""What components keep for themselves is part of the state."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import torch

from mlgym.training.full_state import FullState
from mlgym.training.state_codec import flatten, restore

from .conftest import make_model


class Holder:
    """A component with a generator as attribute."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.Generator().manual_seed(1),
        lambda: np.random.default_rng(1),
        lambda: np.random.Generator(np.random.MT19937(1)),
        lambda: np.random.RandomState(1),
        lambda: random.Random(1),
    ],
    ids=["torch", "numpy PCG64", "numpy MT19937", "numpy RandomState", "python"],
)
def test_generators_of_components_go_on(make: Any) -> None:
    """A generator that a component keeps as an attribute gives the numbers that it would have given."""

    def draw(generator: Any) -> list[float]:
        if isinstance(generator, torch.Generator):
            return torch.rand(700, generator=generator).tolist()
        return [generator.normal() if hasattr(generator, "normal") else generator.gauss(0, 1) for _ in range(701)]

    holder, other = Holder(make()), Holder(make())
    draw(holder.generator)
    plain, tensors = flatten(FullState(make_model(), {}, {"components.step": holder}).capture())
    expected = draw(holder.generator)
    FullState(make_model(), {}, {"components.step": other}).restore(
        restore(json.loads(json.dumps(plain)), {name: tensor.clone() for name, tensor in tensors.items()})
    )
    assert draw(other.generator) == expected
