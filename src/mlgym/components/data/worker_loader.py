"""The loader for data that is read sample by sample, in this process or in worker processes.

Whatever the number of workers, the batches are the same: workers are told (epoch, index) and seed from it.
"""

from __future__ import annotations

import itertools
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from mlgym.components.data.global_generators import GeneratorStates, SampleSeeds, preserved_generators
from mlgym.components.data.labels import num_samples_of
from mlgym.components.data.loader import Loader, count_batches
from mlgym.components.data.order import Indices, Order, count_repeats
from mlgym.components.data.shard import Part, Shard
from mlgym.components.data.views import is_deterministic
from mlgym.errors import TrainingError

Collate = Callable[[list[Any]], Any]


_TRACEBACK: Final = "\nOriginal Traceback"


@dataclass(frozen=True, slots=True)
class BatchKey:
    """All that a worker is told about a batch.

    Args:
        epoch: its epoch.
        batch: its number in the epoch, among those of all processes.
        indices: int64 (batch,), the samples.
        repeats: int64 (batch,), how often the epoch drew each before; None where no sample is drawn twice.
    """

    epoch: int
    batch: int
    indices: Indices
    repeats: Indices | None = None


class BatchReader(Dataset[Any]):
    """Reads and collates whole batches, with the global generators seeded for each sample.

    Args:
        dataset: any map-style dataset; one that says `deterministic = True` is not seeded for.
        collate: makes a batch of a list of samples; None for torch's default, with (inputs, targets) as tuple.
        seed: of the loader.
    """

    def __init__(self, dataset: Dataset[Any], collate: Collate | None, seed: int) -> None:
        self.dataset = dataset
        self._collate = collate
        self._sample_seeds = None if is_deterministic(dataset) else SampleSeeds(seed)
        self._batch_seeds = None if collate is None else SampleSeeds(seed, "collate")

    @property
    def deterministic(self) -> bool:
        """Whether reading a batch leaves the global generators alone."""
        return self._sample_seeds is None and self._batch_seeds is None

    def __getitems__(self, key: BatchKey) -> Any:
        samples = self._read(key)
        if self._collate is None:
            batch = default_collate(samples)
            return tuple(batch) if isinstance(samples[0], tuple) and isinstance(batch, list) else batch
        if self._batch_seeds is not None:
            self._batch_seeds.apply(key.epoch, key.batch)
        return self._collate(samples)

    def _read(self, key: BatchKey) -> list[Any]:
        dataset, seeds = self.dataset, self._sample_seeds
        indices = key.indices.tolist()
        read_many = getattr(dataset, "__getitems__", None)
        if seeds is None and read_many is not None:
            return list(read_many(indices))
        repeats = itertools.repeat(0) if key.repeats is None else key.repeats.tolist()
        samples: list[Any] = []
        try:
            if seeds is None:
                samples.extend(map(dataset.__getitem__, indices))
            else:
                for index, repeat in zip(indices, repeats, strict=False):
                    seeds.apply(key.epoch, index, repeat)
                    samples.append(dataset[index])
        except Exception as error:
            failed = indices[len(samples)]
            error.add_note(f"while reading sample {failed} of {type(dataset).__name__} in epoch {key.epoch}")
            raise
        return samples


class _Keys(Sampler[Any]):
    """The batches of one epoch after the other; set `epoch` and `start_batch` before iterating."""

    def __init__(self, order: Order, *, batch_size: int, num_samples: int, shard: Shard | None) -> None:
        self.epoch = 0
        self.start_batch = 0
        self._order = order
        self._batch_size = batch_size
        self._num_samples = num_samples
        self._shard = shard

    def __len__(self) -> int:
        return sum(1 for _ in self._parts(0))

    def __iter__(self) -> Iterator[BatchKey]:
        return self.of_epoch(self.epoch, self.start_batch)

    def of_epoch(self, epoch: int, start_batch: int) -> Iterator[BatchKey]:
        indices = self._order.indices(epoch)
        repeats = count_repeats(indices) if self._order.sampler == "weighted_random" else None
        for part in self._parts(start_batch):
            places = slice(part.start, part.stop)
            yield BatchKey(epoch, part.number, indices[places], None if repeats is None else repeats[places])

    def _parts(self, start_batch: int) -> Iterator[Part]:
        if self._shard is not None:
            return self._shard.parts(self._num_samples, self._batch_size, start_batch)
        starts = range(start_batch * self._batch_size, self._num_samples, self._batch_size)
        return (
            Part(number, start, min(start + self._batch_size, self._num_samples))
            for number, start in enumerate(starts, start_batch)
        )


class WorkerLoader(Loader):
    """Batches of any map-style dataset, read here or by worker processes.

    Args:
        dataset: gives a sample for an index in [0, samples).
        order: which sample comes when.
        batch_size: samples in a batch, > 0.
        seed: of random augmentation, >= 0.
        drop_last: leave out a last batch that is not full.
        collate: makes a batch of a list of samples; None for torch's default.
        num_workers: processes that read; 0 reads in this process.
        persistent_workers: keep the processes from epoch to epoch.
        shard: the share of each batch that is given; None for all of it.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        order: Order,
        *,
        batch_size: int,
        seed: int,
        drop_last: bool = False,
        collate: Collate | None = None,
        num_workers: int = 0,
        persistent_workers: bool = False,
        shard: Shard | None = None,
    ) -> None:
        num_samples = num_samples_of(dataset)
        self.batch_size = batch_size
        self._num_batches = count_batches(num_samples, batch_size, drop_last=drop_last)
        self.num_samples = min(num_samples, self._num_batches * batch_size)
        self._order = order
        self._drop_last = drop_last
        self._shard = shard
        self._keys = _Keys(order, batch_size=batch_size, num_samples=self.num_samples, shard=shard)
        self._seed = seed
        self._collate = collate
        self._reader = BatchReader(dataset, collate, seed)
        self._num_workers = num_workers
        self._persistent_workers = persistent_workers and num_workers > 0
        self._pin_memory = False
        self._torch_loader: DataLoader[Any] | None = None
        self._newest_iterator: object | None = None

    @property
    def dataset(self) -> Dataset[Any]:
        """What the samples come from."""
        return self._reader.dataset

    def __len__(self) -> int:
        return self._num_batches

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Any]:
        """Gives the batches of an epoch; see `Loader.epoch`.

        Raises:
            TrainingError: with persistent workers, an older iterator is used after a newer one was made.
        """
        if self._num_workers == 0:
            return self._read_here(epoch, start_batch)
        return self._read_in_workers(epoch, start_batch)

    def sample_order(self, epoch: int) -> Indices:
        """Gives the sample at each place of an epoch; see `Loader.sample_order`."""
        return self._order.indices(epoch)[: self.num_samples]

    def each_once(self) -> Loader:
        """Gives a loader of every sample exactly once; see `Loader.each_once`."""
        num_samples = num_samples_of(self.dataset)
        if self._order.draws_each_once and self.num_samples == num_samples:
            return self
        return self._like(Order(num_samples), drop_last=False, persistent_workers=False, shard=self._shard)

    def sharded(self, shard: Shard) -> WorkerLoader:
        """Gives a loader of the share of one process; see `mlgym.components.data.shard`."""
        return self._like(
            self._order, drop_last=self._drop_last, persistent_workers=self._persistent_workers, shard=shard
        )

    def _like(self, order: Order, *, drop_last: bool, persistent_workers: bool, shard: Shard | None) -> WorkerLoader:
        loader = WorkerLoader(
            self.dataset,
            order,
            batch_size=self.batch_size,
            seed=self._seed,
            drop_last=drop_last,
            collate=self._collate,
            num_workers=self._num_workers,
            persistent_workers=persistent_workers,
            shard=shard,
        )
        loader._pin_memory = self._pin_memory
        return loader

    def to(self, device: torch.device) -> None:
        """Lets batches be in pinned memory where `device` copies faster from there."""
        self._pin_memory = device.type == "cuda"
        self._torch_loader = None

    def _read_here(self, epoch: int, start_batch: int) -> Iterator[Any]:
        read = self._reader.__getitems__ if self._reader.deterministic else self._read_preserving
        batches = map(read, self._keys.of_epoch(epoch, start_batch))
        return map(_pinned, batches) if self._pin_memory else batches

    def _read_preserving(self, key: BatchKey) -> Any:
        # A hot path: the context manager of the same meaning would be twice as slow.
        states = GeneratorStates.capture()
        try:
            return self._reader.__getitems__(key)
        finally:
            states.restore()

    def _read_in_workers(self, epoch: int, start_batch: int) -> Iterator[Any]:
        iterator = self._start(epoch, start_batch)
        mine = self._newest_iterator = object()
        try:
            for batch in iterator:
                # The pinning thread gives lists for tuples.
                yield tuple(batch) if self._pin_memory and type(batch) is list else batch
                if self._persistent_workers and self._newest_iterator is not mine:
                    raise TrainingError("persistent workers serve one epoch at a time, and a newer one was begun")
        except Exception as error:
            _say_cause_first(error)
            raise
        finally:
            if not self._persistent_workers:
                _end_workers(iterator)

    def _start(self, epoch: int, start_batch: int) -> Iterator[Any]:
        if self._torch_loader is None:
            self._torch_loader = self._make_torch_loader()
        self._keys.epoch, self._keys.start_batch = epoch, start_batch
        with preserved_generators(), warnings.catch_warnings():
            # Python 3.12 warns of any fork beside threads; workers read and collate, with one thread.
            warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
            return iter(self._torch_loader)

    def _make_torch_loader(self) -> DataLoader[Any]:
        return DataLoader(
            self._reader,
            batch_sampler=self._keys,
            num_workers=self._num_workers,
            collate_fn=_already_collated,
            pin_memory=self._pin_memory,
            worker_init_fn=_prepare_worker,
            multiprocessing_context="fork",
            persistent_workers=self._persistent_workers,
            generator=torch.Generator(),
        )


def _already_collated(batch: Any) -> Any:
    return batch


def _say_cause_first(error: Exception) -> None:
    """Lets an error of a worker begin with what happened; torch begins with where, and a traceback."""
    text = error.args[0] if len(error.args) == 1 else None
    if not isinstance(text, str) or not text.startswith("Caught ") or _TRACEBACK not in text:
        return
    lines = text.rstrip().splitlines()
    last_of_code = max(number for number, line in enumerate(lines) if line.startswith("  "))
    cause, *notes = lines[last_of_code + 1 :] or [lines[0]]
    cause = cause.removeprefix(f"{type(error).__name__}: ")
    # Of torch's own kind of text, which a `KeyError` shows without quotes.
    error.args = (type(text)("; ".join([cause, *notes])),)
    error.add_note(text)


def _end_workers(iterator: Any) -> None:
    # Left to the garbage collector, the end of workers comes late, and takes 5 s where a traceback holds the iterator.
    iterator._shutdown_workers()


def _prepare_worker(worker_id: int) -> None:
    """Lets the parent decide about the end: Ctrl-C reaches the whole group, and its handlers were inherited."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _pinned(batch: Any) -> Any:
    if isinstance(batch, Tensor):
        return batch.pin_memory()
    if isinstance(batch, Mapping):
        return {name: _pinned(part) for name, part in batch.items()}
    if type(batch) in (tuple, list):
        return type(batch)(_pinned(part) for part in batch)
    return batch
