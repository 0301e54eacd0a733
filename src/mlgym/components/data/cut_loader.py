"""The shard of one process of batches that come whole: each is read by every process and cut, or passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, islice
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlgym.components.data.loader import Loader, TensorLoader
from mlgym.components.data.order import Indices
from mlgym.components.data.shard import EveryNth, Part, Shard
from mlgym.components.data.worker_loader import WorkerLoader
from mlgym.components.tensors import batch_size
from mlgym.errors import TrainingError

_Cut: TypeAlias = tuple[int, int]


def sharded(loader: Loader, shard: Shard) -> Loader:
    """Gives a loader of the share that one process has of the batches of `loader`.

    Data that is read by index is read as far as it is in the share; anything else is read whole by every process.

    Args:
        loader: gives whole batches.
        shard: which share.
    """
    if isinstance(loader, TensorLoader | WorkerLoader):
        return loader.sharded(shard)
    return CutLoader(loader, shard)


class CutLoader(Loader):
    """Reads every batch of another loader and gives the share of one process.

    Args:
        whole: gives whole batches, and knows how many samples they have.
        shard: which share.
    """

    def __init__(self, whole: Loader, shard: Shard) -> None:
        self.num_samples = whole.num_samples
        self.batch_size = whole.batch_size
        self._whole = whole
        self._shard = shard

    @property
    def dataset(self) -> Dataset[Any]:
        """What the samples come from."""
        return self._whole.dataset

    def __len__(self) -> int:
        return len(self._whole)

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Any]:
        """Gives the shares of the batches of an epoch; see `Loader.epoch`.

        Raises:
            TrainingError: a batch has not the size that it should have, or cannot be cut.
        """
        batches = self._whole.epoch(epoch, start_batch)
        if isinstance(self._shard, EveryNth):
            return self._in_turn(batches, start_batch)
        parts = self._shard.parts(self.num_samples, self.batch_size, start_batch)
        return map(self._cut, batches, count(start_batch), parts)

    def sample_order(self, epoch: int) -> Indices | None:
        """Gives the sample at each place of an epoch; see `Loader.sample_order`."""
        return self._whole.sample_order(epoch)

    def each_once(self) -> Loader:
        """Gives the share of every sample exactly once; see `Loader.each_once`."""
        return sharded(self._whole.each_once(), self._shard)

    def to(self, device: torch.device) -> None:
        """See `Loader.to`."""
        self._whole.to(device)

    def _in_turn(self, batches: Iterator[Any], start_batch: int) -> Iterator[Any]:
        stand_in: Any = None
        rank, size = self._shard.rank, self._shard.size
        for first in range(start_batch, len(self), size):
            together = list(islice(batches, size))
            if first == start_batch:
                stand_in = together[0]
            yield together[rank] if rank < len(together) else stand_in

    def _cut(self, batch: Any, number: int, part: Part) -> Any:
        first = number * self.batch_size
        expected = min(self.batch_size, self.num_samples - first)
        if batch_size(batch) != expected:
            raise TrainingError(
                f"batch {number} of `{type(self._whole).__name__}` has {batch_size(batch)} samples where its "
                f"`batch_size` and the length of its dataset say {expected}: several devices share batches by these "
                "numbers; `data_loaders` keeps them"
            )
        return _narrowed(batch, (part.start - first, part.stop - first), expected)


def _narrowed(values: Any, cut: _Cut, num_samples: int) -> Any:
    """Gives the samples from `cut[0]` to `cut[1]` of a batch; what does not go by sample stays as it is."""
    if isinstance(values, Tensor):
        # A copy, which lies in memory as a batch of that size would: bits must not depend on where it was cut.
        return values[slice(*cut)].clone() if values.ndim and len(values) == num_samples else values
    if isinstance(values, Mapping):
        return {name: _narrowed(part, cut, num_samples) for name, part in values.items()}
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(_narrowed(part, cut, num_samples) for part in values))
    if isinstance(values, (tuple, list)):
        if len(values) == num_samples and not any(isinstance(part, Tensor) for part in values):
            return values[slice(*cut)]
        return type(values)(_narrowed(part, cut, num_samples) for part in values)
    return values
