"""Loaders that a user brought along."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, SubsetRandomSampler, TensorDataset, WeightedRandomSampler

from mlgym.components.data import AdaptedLoader, Order, TensorData, TensorLoader, WorkerLoader, as_loader
from mlgym.errors import DataError, TrainingError

DATASET = TensorDataset(torch.arange(20.0)[:, None], torch.arange(20))


def labels(batches: Iterator[Any]) -> list[int]:
    return [label for _, targets in batches for label in targets.tolist()]


def test_loader_is_given_back() -> None:
    """Our own loaders need no adapting."""
    loader = TensorLoader(TensorData(torch.ones(2, 1), torch.ones(2)), Order(2), batch_size=1)
    assert as_loader(loader) is loader


def test_plain_torch_loader_becomes_ours() -> None:
    """A shuffled torch loader keeps its batch size, and its epochs become pure functions that can be taken up later."""
    loader = as_loader(DataLoader(DATASET, batch_size=6, shuffle=True, drop_last=True), seed=3)
    assert isinstance(loader, TensorLoader)
    assert (loader.batch_size, len(loader), loader.num_samples) == (6, 3, 18)
    first = labels(loader.epoch(0))
    assert len(set(first)) == 18
    assert labels(loader.epoch(1)) != first
    assert labels(loader.epoch(0)) == first
    assert labels(loader.epoch(0, 2)) == first[12:]


def test_torch_loader_keeps_its_collation() -> None:
    """A collation of the user's is used, on what is read sample by sample."""
    loader = as_loader(DataLoader(DATASET, batch_size=6, collate_fn=len))
    assert isinstance(loader, WorkerLoader)
    assert list(loader.epoch(0)) == [6, 6, 6, 2]


def test_sequential_torch_loader_keeps_its_order() -> None:
    """Without shuffling the order is that of the dataset."""
    assert labels(as_loader(DataLoader(DATASET, batch_size=6)).epoch(5)) == list(range(20))


@pytest.mark.parametrize("generator", [None, torch.Generator()], ids=["global", "own"])
def test_other_samplers_are_seeded(generator: torch.Generator | None) -> None:
    """A torch loader with a sampler of its own is iterated as it is, but from seeded generators."""
    sampler = WeightedRandomSampler([1.0] * 20, 20, generator=generator)
    loader = as_loader(DataLoader(DATASET, batch_size=6, sampler=sampler), seed=3)
    assert isinstance(loader, AdaptedLoader)
    assert (loader.batch_size, len(loader), loader.num_samples) == (6, 4, 20)
    first = labels(loader.epoch(0))
    torch.rand(3)
    before = torch.get_rng_state()
    assert labels(loader.epoch(0)) == first
    assert labels(loader.epoch(0, 2)) == first[12:]
    assert labels(loader.epoch(1)) != first
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": WeightedRandomSampler([1.0] * 20, 50)},
        {"sampler": SubsetRandomSampler(range(9))},
        {"sampler": WeightedRandomSampler([1.0] * 20, 20), "drop_last": True},
        {"batch_sampler": BatchSampler(SubsetRandomSampler(range(15)), 6, drop_last=True)},
    ],
    ids=["more than there are", "a part of them", "only full batches", "only full batches of a part"],
)
def test_samples_are_those_that_are_drawn(options: dict[str, Any]) -> None:
    """An epoch has as many samples as its sampler draws, not as the dataset has: gradients and means go by them."""
    options = {"batch_size": 6} | options if "sampler" in options else options
    loader = as_loader(DataLoader(DATASET, **options))
    sizes = [len(batch[1]) for batch in loader.epoch(0)]
    assert isinstance(loader, AdaptedLoader)
    assert (loader.batch_size, loader.num_samples) == (6, sum(sizes))


def test_batches_that_a_sampler_sizes_itself() -> None:
    """Where the last batch cannot have as many samples as the numbers say, each batch counts as a full one."""

    class Twice(BatchSampler):
        def __len__(self) -> int:
            return 10

        def __iter__(self) -> Iterator[list[int]]:
            return iter([[0, 1]] * 10)

    loader = as_loader(DataLoader(DATASET, batch_sampler=Twice(SubsetRandomSampler(range(4)), 2, drop_last=False)))
    assert (loader.batch_size, len(loader), loader.num_samples) == (2, 10, 20)


def test_any_iterable_with_a_length() -> None:
    """A list of batches is a loader; it counts in batches where it says nothing of their size."""
    loader = as_loader([torch.ones(2), torch.zeros(2)])
    assert (loader.batch_size, len(loader), loader.num_samples) == (1, 2, 2)
    assert [float(batch.sum()) for batch in loader.epoch(0)] == [2.0, 0.0]
    loader.to(torch.device("cpu"))


def test_set_epoch_is_called() -> None:
    """An iterable that wants to know the epoch is told."""

    class Epochs:
        number = -1

        def set_epoch(self, epoch: int) -> None:
            self.number = epoch

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[int]:
            return iter([self.number])

    assert list(as_loader(Epochs()).epoch(4)) == [4]


def test_an_iterable_shorter_than_its_length_is_an_error() -> None:
    """Epochs and steps are counted by the length, so one that is wrong would shift whatever follows."""

    class Short(list[int]):
        def __len__(self) -> int:
            return 5

    batches = as_loader(Short([1, 2])).epoch(0)
    assert [next(batches), next(batches)] == [1, 2]
    with pytest.raises(DataError, match="`Short` gave 2 batches in epoch 0, but its `__len__` says 5"):
        next(batches)


@pytest.mark.parametrize("other", [3, iter([1])], ids=["number", "iterator"])
def test_what_gives_no_batches_is_refused(other: object) -> None:
    """Something without length or iteration is refused with what it needs."""
    with pytest.raises(TrainingError, match="__len__"):
        as_loader(other)
