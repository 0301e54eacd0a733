"""Random streams of devices: seeded before these are used, and put back where another one computes."""

from __future__ import annotations

import pytest
import torch

from mlgym.training.determinism import seed_global_generators, states_by_device


def test_a_device_that_is_used_later_is_seeded_too() -> None:
    """Seeding comes before CUDA is in use, and reaches it; seeding itself does not bring it into use."""
    before = torch.cuda._lazy_seed_tracker.get_calls()
    seed_global_generators(7, "training")
    if torch.cuda.is_available():
        first = torch.rand(4, device="cuda")
        seed_global_generators(8, "training")
        assert not torch.equal(torch.rand(4, device="cuda"), first)
        seed_global_generators(7, "training")
        assert torch.equal(torch.rand(4, device="cuda"), first)
    else:
        # Where PyTorch keeps what it will do once CUDA is there.
        assert torch.cuda._lazy_seed_tracker.get_calls() != before


@pytest.mark.parametrize(
    ("before", "now", "count", "expected"),
    [
        (0, 0, 1, [10]),
        (1, 1, 3, [10, 11, 12]),
        (1, 0, 3, [11, 10, 12]),
        (0, 2, 3, [12, 11, 10]),
        (2, 0, 1, [12]),
        (1, 4, 5, [10, 11, 12, 11, 11]),
    ],
    ids=["one", "the same", "exchanged", "exchanged the other way", "fewer than before", "more than before"],
)
def test_another_device_goes_on_with_the_same_draws(before: int, now: int, count: int, expected: list[int]) -> None:
    """The device that computes gets the state of the one that computed, however many there are."""
    states = [torch.tensor([10 + device], dtype=torch.uint8) for device in range(3)]
    placed = states_by_device(states, before=before, now=now, count=count)
    assert [int(state) for state in placed] == expected
