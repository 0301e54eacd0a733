"""The losses of an epoch."""

import hashlib

import pytest
import torch

from mlgym.training.losses import MAX_HASHES, EpochLosses, loss_hashes


def _losses(count: int) -> EpochLosses:
    losses = EpochLosses()
    for number in range(count):
        losses.add(torch.tensor(1.0 / (number + 1)))
    return losses


def test_mean_over_any_number_of_batches() -> None:
    """Keeping them in chunks loses nothing; no batches give NaN."""
    losses = EpochLosses()
    for number in range(1000):
        losses.add(torch.tensor(float(number)))
    assert losses.mean() == pytest.approx(499.5)
    assert EpochLosses().mean() != EpochLosses().mean()
    assert len(EpochLosses().all()) == 0


def test_each_sample_counts_the_same() -> None:
    """In a mean over batches, a last one of two samples would count as much as one of eight."""
    losses = EpochLosses(torch.tensor([1.0] * 299 + [6.0]))
    assert losses.mean([8] * 299 + [2]) == (8 * 299 + 2 * 6) / (8 * 299 + 2)
    assert losses.mean([8] * 300) == 305 / 300


@pytest.mark.parametrize("cut", [0, 1, 255, 256, 257, 600])
def test_going_on_gives_the_same_bits(cut: int) -> None:
    """Sums are rounded as without an interruption, wherever that was."""
    whole = _losses(700)
    resumed = EpochLosses(whole.all()[:cut])
    for loss in whole.all()[cut:]:
        resumed.add(loss)
    assert len(resumed) == 700
    assert resumed.mean() == whole.mean()
    assert torch.equal(resumed.all(), whole.all())


def test_one_hash_for_each_step_tells_the_step_that_differs() -> None:
    """With two batches a step, a changed loss of batch 6 changes the hash of step 3 alone."""
    losses = torch.arange(9.0)
    changed = losses.clone()
    changed[6] += 1e-6
    (one, per), (other, _) = loss_hashes(losses, 2), loss_hashes(changed, 2)
    assert per == 1
    assert len(one) == 5 * 8
    assert [one[i : i + 8] == other[i : i + 8] for i in range(0, 40, 8)] == [True, True, True, False, True]
    assert one[:8] == hashlib.sha256(losses[:2].numpy().tobytes()).hexdigest()[:8]


def test_the_number_of_hashes_is_bounded() -> None:
    """A long epoch has hashes of several steps each."""
    hashes, steps_per_hash = loss_hashes(torch.arange(3000.0), 1)
    assert steps_per_hash == 3
    assert len(hashes) // 8 == 1000 <= MAX_HASHES
    assert loss_hashes(torch.empty(0), 1) == ("", 1)
