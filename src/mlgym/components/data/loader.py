"""What gives batches: the contract, and the loader for data in memory."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlgym.components.data.order import Indices, Order
from mlgym.components.data.shard import Part, Shard
from mlgym.components.data.tensor_data import TensorData, map_values, tensors_of

_CHUNK_BYTES: Final = 256 * 1024


class Loader(ABC):
    """Batches of a dataset, epoch by epoch.

    Args:
        num_samples: samples in an epoch, those left out by `drop_last` not counted.
        batch_size: samples in a batch, of which the last one may have fewer.
    """

    num_samples: int
    batch_size: int

    @property
    @abstractmethod
    def dataset(self) -> Dataset[Any]:
        """What the samples come from."""

    @abstractmethod
    def __len__(self) -> int:
        """Gives the number of batches in an epoch."""

    @abstractmethod
    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Any]:
        """Gives the batches of an epoch: the same ones whatever ran before.

        Args:
            epoch: its number, >= 0.
            start_batch: the first batch to give; those before it are skipped without being loaded.
        """

    def sample_order(self, epoch: int) -> Indices | None:
        """Gives the sample at each place of an epoch, int64 (num_samples,); None where the loader does not know it.

        Args:
            epoch: its number, >= 0.
        """
        return None

    def each_once(self) -> Loader:
        """Gives a loader of every sample exactly once, for evaluation: itself where an epoch is that."""
        return self

    @abstractmethod
    def to(self, device: torch.device) -> None:
        """Prepares for training on `device`: data in memory moves there, other batches will be in pinned memory."""


def count_batches(num_samples: int, batch_size: int, *, drop_last: bool) -> int:
    """Gives the number of batches in an epoch of so many samples."""
    return num_samples // batch_size if drop_last else -(-num_samples // batch_size)


class TensorLoader(Loader):
    """Batches of data in memory, each by one index per tensor; a batch is (inputs, targets).

    The tensors of a batch are copies. They lie in memory as a fresh tensor would: vectorised kernels give other bits
    for data at odd addresses, and a batch must not depend on where an epoch was taken up.

    Args:
        data: the samples.
        order: which sample comes when.
        batch_size: samples in a batch, > 0.
        drop_last: leave out a last batch that is not full.
        shard: the share of each batch that is given; None for all of it.
    """

    def __init__(
        self,
        data: TensorData,
        order: Order,
        *,
        batch_size: int,
        drop_last: bool = False,
        shard: Shard | None = None,
    ) -> None:
        self.batch_size = batch_size
        self._data = data
        self._order = order
        self._drop_last = drop_last
        self._shard = shard
        self._given = batch_size if shard is None else shard.batch_size(batch_size)
        self._num_batches = count_batches(len(data), batch_size, drop_last=drop_last)
        self.num_samples = min(len(data), self._num_batches * batch_size)
        self._chunk_samples = _samples_per_chunk(data, self._given)

    @property
    def dataset(self) -> TensorData:
        """What the samples come from."""
        return self._data

    def __len__(self) -> int:
        return self._num_batches

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Any, Any]]:
        """Gives the batches (inputs, targets) of an epoch; see `Loader.epoch`."""
        wanted = self._order.indices(epoch)[: self.num_samples]
        if self._shard is None:
            wanted = wanted[start_batch * self.batch_size :]
        else:
            wanted = _of_parts(wanted, self._shard.parts(self.num_samples, self.batch_size, start_batch))
        indices = torch.from_numpy(wanted).to(tensors_of(self._data.inputs)[0].device)
        chunks = map(self._data.batch, _pieces(indices, self._chunk_samples))
        return chunks if self._chunk_samples == self._given else self._cut(chunks)

    def sample_order(self, epoch: int) -> Indices:
        """Gives the sample at each place of an epoch; see `Loader.sample_order`."""
        return self._order.indices(epoch)[: self.num_samples]

    def each_once(self) -> Loader:
        """Gives a loader of every sample exactly once; see `Loader.each_once`."""
        if self._order.draws_each_once and self.num_samples == len(self._data):
            return self
        return TensorLoader(self._data, Order(len(self._data)), batch_size=self.batch_size, shard=self._shard)

    def sharded(self, shard: Shard) -> TensorLoader:
        """Gives a loader of the share of one process; see `mlgym.components.data.shard`."""
        return TensorLoader(self._data, self._order, batch_size=self.batch_size, drop_last=self._drop_last, shard=shard)

    def to(self, device: torch.device) -> None:
        """Moves the data to `device`, once."""
        self._data = self._data.to(device)
        self._chunk_samples = _samples_per_chunk(self._data, self._given)

    def _cut(self, chunks: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        size = self._given
        for inputs, targets in chunks:
            if isinstance(inputs, Tensor) and isinstance(targets, Tensor):
                yield from zip(_pieces(inputs, size), _pieces(targets, size), strict=True)
                continue
            num_samples = len(tensors_of(inputs)[0])
            for start in range(0, num_samples, size):
                count = min(size, num_samples - start)
                yield _narrow(inputs, start, count), _narrow(targets, start, count)


def _of_parts(order: Indices, parts: Iterator[Part]) -> Indices:
    pieces = [order[part.start : part.stop] for part in parts]
    return np.concatenate(pieces) if pieces else order[:0]


def _samples_per_chunk(data: TensorData, batch_size: int) -> int:
    """Gives how many samples are fetched by one index, which costs 4 us however few they are: one or more batches."""
    tensors = [*tensors_of(data.inputs), *tensors_of(data.targets)]
    sizes = [math.prod(tensor.shape[1:]) * tensor.element_size() * batch_size for tensor in tensors]
    alignment = 64 if tensors[0].device.type == "cpu" else 512
    if any(size % alignment for size in sizes):
        return batch_size
    return batch_size * max(1, _CHUNK_BYTES // max(1, sum(sizes)))


def _pieces(tensor: Tensor, size: int) -> tuple[Tensor, ...]:
    return tensor.split(size) if len(tensor) else ()


def _narrow(values: Any, start: int, count: int) -> Any:
    return map_values(lambda tensor: tensor.narrow(0, start, count), values)
