"""Loaders that a user brought along: a torch `DataLoader`, or anything that can be iterated and has a length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any, Final

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler, default_collate

from mlgym.components.data.global_generators import SampleSeeds, preserved_generators
from mlgym.components.data.labels import num_samples_of
from mlgym.components.data.loader import Loader
from mlgym.components.data.loader_choice import Reading, make_loader
from mlgym.components.data.order import Order, Sampler
from mlgym.errors import DataError, TrainingError

_END: Final = object()


def as_loader(batches: Any, seed: int = 0) -> Loader:
    """Gives a loader of whatever gives batches.

    A plain torch `DataLoader` (a dataset that can be indexed, in random or sequential order) keeps its dataset, batch
    size, collation and number of workers, and gets an order and an augmentation that depend on (seed, epoch) alone;
    tensors in memory are then indexed by whole batches.
    Anything else is iterated as it is; see `AdaptedLoader` for what that cannot give.

    Args:
        batches: a `Loader` (given back), a torch `DataLoader`, or something with `__len__` and `__iter__`.
        seed: of order and augmentation, >= 0.

    Raises:
        TrainingError: it has no length, or cannot be iterated.
    """
    if isinstance(batches, Loader):
        return batches
    if isinstance(batches, DataLoader):
        sampler = _known_sampler(batches)
        if sampler is not None:
            return _rebuilt(batches, sampler, seed)
    if isinstance(batches, Iterable) and isinstance(batches, Sized):
        return AdaptedLoader(batches, seed)
    raise TrainingError(
        f"a `{type(batches).__name__}` gives no batches: it needs `__len__` (batches in an epoch) and `__iter__`; "
        "a dataset becomes batches through `data_loaders`"
    )


def _known_sampler(loader: DataLoader[Any]) -> Sampler | None:
    plain = (
        loader.batch_size is not None
        and not isinstance(loader.dataset, IterableDataset)
        and loader.worker_init_fn is None
    )
    if plain and type(loader.sampler) is SequentialSampler:
        return "sequential"
    if plain and type(loader.sampler) is RandomSampler and _is_permutation(loader.sampler, loader):
        return "random"
    return None


def _is_permutation(sampler: RandomSampler, loader: DataLoader[Any]) -> bool:
    return not sampler.replacement and sampler.num_samples == num_samples_of(loader.dataset)


def _rebuilt(loader: DataLoader[Any], sampler: Sampler, seed: int) -> Loader:
    assert loader.batch_size is not None
    return make_loader(
        loader.dataset,
        Order(num_samples_of(loader.dataset), sampler, seed),
        Reading(
            collate=None if loader.collate_fn is default_collate else loader.collate_fn,
            num_workers=loader.num_workers,
            persistent_workers=loader.persistent_workers,
        ),
        batch_size=loader.batch_size,
        drop_last=loader.drop_last,
    )


class AdaptedLoader(Loader):
    """The batches of any iterable with a length.

    The global generators are seeded before each batch from (seed, epoch, batch) and put back afterwards, so that an
    iterable that draws from them gives the same batches in each repeat; generators that a torch loader or its samplers
    keep are seeded from them. What it draws in worker processes of its own
    depends on their number. Batches before `start_batch` are loaded and dropped.

    Args:
        batches: has `__len__` (batches in an epoch) and `__iter__`; `set_epoch` of it or its `sampler` is called
            where there is one.
        seed: >= 0.
    """

    def __init__(self, batches: Iterable[Any], seed: int) -> None:
        self._batches = batches
        self._seeds = SampleSeeds(seed, "batches")
        size = _batch_size(batches)
        # An iterable that does not tell the size of its batches counts in batches.
        self.batch_size = size or 1
        self.num_samples = len(self) if size is None else _num_samples(batches, len(self), size)

    @property
    def dataset(self) -> Dataset[Any]:
        """What the samples come from.

        Raises:
            DataError: the iterable does not say it.
        """
        dataset: Dataset[Any] | None = getattr(self._batches, "dataset", None)
        if dataset is None:
            raise DataError(
                f"`{type(self._batches).__name__}` does not say which dataset its batches come from; name it where it "
                "is needed, as in `example: $split.train`"
            )
        return dataset

    def __len__(self) -> int:
        assert isinstance(self._batches, Sized)
        return len(self._batches)

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Any]:
        """Gives the batches of an epoch; see `Loader.epoch`, and the class for its limits.

        Raises:
            DataError: there are fewer batches than `__len__` says.
        """
        for part in (self._batches, getattr(self._batches, "sampler", None)):
            set_epoch = getattr(part, "set_epoch", None)
            if callable(set_epoch):
                set_epoch(epoch)
        iterator = None
        for number in range(len(self)):
            with preserved_generators():
                self._seeds.apply(epoch, number)
                if iterator is None:
                    _seed_own_generators(self._batches)
                    iterator = iter(self._batches)
                batch = next(iterator, _END)
            if batch is _END:
                raise DataError(
                    f"`{type(self._batches).__name__}` gave {number} batches in epoch {epoch}, but its `__len__` says "
                    f"{len(self)}; give the exact number, since steps and epochs are counted by it"
                )
            if number >= start_batch:
                yield batch

    def to(self, device: torch.device) -> None:
        """Does nothing: where the batches lie is up to whoever made them."""


def _seed_own_generators(batches: Any) -> None:
    """Seeds the generators that a torch loader and its samplers keep, from the global one."""
    batch_sampler = getattr(batches, "batch_sampler", None)
    owners = [batches, getattr(batches, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)]
    generators = {id(one): one for one in (getattr(owner, "generator", None) for owner in owners)}
    for generator in generators.values():
        if isinstance(generator, torch.Generator):
            generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_()))


def _num_samples(batches: Any, num_batches: int, batch_size: int) -> int:
    """Gives the samples of an epoch: those that are drawn, which may be more or fewer than the dataset has."""
    batch_sampler = getattr(batches, "batch_sampler", None)
    # A torch loader that was given its batches has a sampler that it does not use.
    sources = [getattr(batch_sampler, "sampler", None), getattr(batches, "sampler", None)]
    sources.append(getattr(batches, "dataset", None))
    full = num_batches * batch_size
    for source in sources:
        if isinstance(source, Sized):
            # Else the batches are not what these numbers say, and each counts as a full one.
            return min(len(source), full) if full - batch_size < len(source) else full
    return full


def _batch_size(batches: Any) -> int | None:
    for part in (batches, getattr(batches, "batch_sampler", None)):
        size = getattr(part, "batch_size", None)
        if isinstance(size, int):
            return size
    return None
