"""What components keep for themselves is part of the state."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mlgym.training.checkpoint import CheckpointContent, load_weights, write_checkpoint
from mlgym.training.full_state import FullState
from mlgym.training.model_state import weights_of
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


@pytest.mark.parametrize("kept", [nn.Linear, torch.optim.Adam])
def test_classes_keep_no_state(kept: type) -> None:
    """A component may have a class as attribute, or be one: what objects of it would keep is not theirs."""
    full_state = FullState(make_model(), {}, {"components.step": Holder(kept), "components.kind": kept})
    assert full_state.capture()["parts"] == {}


class Noise(nn.Module):
    """A layer with a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(1)


class Odd(nn.Module):
    """A model that keeps what is no weight: a generator, a passing buffer, a number, a frozen layer."""

    passing: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.noise = Noise()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("passing", torch.zeros(3), persistent=False)
        self.num_seen = 0

    def get_extra_state(self) -> dict[str, int]:
        return {"num_seen": self.num_seen}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.num_seen = state["num_seen"]

    def change(self) -> Odd:
        """Does what training and callbacks may do."""
        torch.rand(5, generator=self.noise.generator)
        self.passing.add_(2.0)
        self.num_seen = 7
        self.layer.bias.requires_grad_(False)
        return self

    def kept(self) -> tuple[list[float], int, list[bool]]:
        """Gives what is no weight, the generator left out."""
        return self.passing.tolist(), self.num_seen, [each.requires_grad for each in self.parameters()]


def test_what_a_model_keeps_beside_its_weights_goes_on() -> None:
    """Generators of its layers, passing buffers, extra state and frozen parameters are as they were."""
    model, other = Odd().change(), Odd()
    plain, tensors = flatten(FullState(model, {}, {"components.model": model}).capture())
    state = restore(json.loads(json.dumps(plain)), {name: tensor.clone() for name, tensor in tensors.items()})
    assert other.kept() != model.kept()
    FullState(other, {}, {"components.model": other}).restore(state)
    assert other.kept() == model.kept()
    assert torch.equal(torch.rand(9, generator=other.noise.generator), torch.rand(9, generator=model.noise.generator))


def test_loading_a_model_brings_all_that_it_keeps(tmp_path: Path) -> None:
    """Whoever loads weights has the model that was trained, not one whose other halves are fresh."""
    model = Odd().change()
    plain, tensors = flatten(FullState(model, {}, {}).capture())
    stored = write_checkpoint(tmp_path, CheckpointContent(1, 5, weights_of(model), tensors, plain))
    other = Odd()
    load_weights(stored, other)
    assert other.kept() == model.kept()
