"""Which part of the batches one of several processes reads, that train or evaluate together.

All of them agree on the batches and on their order; how many they are changes neither. Nobody reads padding: where a
process has nothing of a batch, it reads a stand-in that counts for nothing, since all must take part in each step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Part:
    """What a process reads of one batch.

    Args:
        number: names it among all parts of an epoch, whoever reads them.
        start: place of its first sample in the epoch.
        stop: place after its last sample.
    """

    number: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Shard(ABC):
    """The share of one process; all parts that it gives but the last of an epoch have the same size.

    Args:
        rank: which one it is, in [0, size).
        size: how many processes there are, >= 1.
    """

    rank: int
    size: int

    @abstractmethod
    def batch_size(self, batch_size: int) -> int:
        """Gives how many samples a part has at most where batches have so many."""

    @abstractmethod
    def parts(self, num_samples: int, batch_size: int, start_batch: int = 0) -> Iterator[Part]:
        """Gives the parts of an epoch in their order.

        Args:
            num_samples: samples in the epoch.
            batch_size: samples in a batch, of which the last one may have fewer.
            start_batch: the first batch that counts.
        """


class SliceOfEach(Shard):
    """A slice of each batch, for training: the first process has the first samples, and so on.

    Slices of a full batch differ by one sample at most, the larger ones first. A last batch that is not full is cut at
    the same places, so that a process may have fewer samples, or none.
    """

    def batch_size(self, batch_size: int) -> int:
        """See `Shard.batch_size`."""
        return _counts(self.size, batch_size, batch_size)[self.rank]

    def parts(self, num_samples: int, batch_size: int, start_batch: int = 0) -> Iterator[Part]:
        """See `Shard.parts`; where there is nothing for this process, the first samples of the batch stand in."""
        most = self.batch_size(batch_size)
        for batch, first in enumerate(range(start_batch * batch_size, num_samples, batch_size), start=start_batch):
            count = min(batch_size, num_samples - first)
            start, stop = (min(count, _start(self.size, batch_size, rank)) for rank in (self.rank, self.rank + 1))
            if start == stop:
                start, stop = 0, min(most, count)
            yield Part(batch * self.size + self.rank, first + start, first + stop)

    def counts(self, batch_size: int, num_samples: int) -> list[int]:
        """Gives how many samples each process has of a batch of `num_samples`; those without any come last."""
        return list(_counts(self.size, batch_size, num_samples))


class EveryNth(Shard):
    """Whole batches in turn, for evaluation: a batch of the same size gives the same bits wherever it is computed.

    Each process reads equally many; where there are not enough, the first batch stands in.
    """

    def batch_size(self, batch_size: int) -> int:
        """See `Shard.batch_size`."""
        return batch_size

    def parts(self, num_samples: int, batch_size: int, start_batch: int = 0) -> Iterator[Part]:
        """See `Shard.parts`."""
        num_batches = -(-num_samples // batch_size)
        for first in range(start_batch, num_batches, self.size):
            batch = first + self.rank if first + self.rank < num_batches else start_batch
            yield Part(batch, batch * batch_size, min(num_samples, (batch + 1) * batch_size))


def _start(size: int, batch_size: int, rank: int) -> int:
    least, larger = divmod(batch_size, size)
    return rank * least + min(rank, larger)


@lru_cache(maxsize=256)  # asked at every step, mostly for full batches
def _counts(size: int, batch_size: int, num_samples: int) -> tuple[int, ...]:
    starts = [min(num_samples, _start(size, batch_size, rank)) for rank in range(size + 1)]
    return tuple(stop - start for start, stop in pairwise(starts))
