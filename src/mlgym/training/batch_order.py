"""Evaluation by several processes: each measures whole batches in turn, and the main one has all in their order.

What is measured of a batch has the same bits wherever it is computed, and everything that adds up over batches is added
up by one process, batch after batch. So the numbers of several devices are those of one: no mean of means, no padding,
no other order of sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mlgym.components.data import EveryNth, Loader, sharded
from mlgym.components.loss.base import Term
from mlgym.components.tensors import Tensors
from mlgym.training.device import Device
from mlgym.training.exchange import packed, told_to_main, unpacked
from mlgym.training.world import World

_MESSAGE_BYTES: Final = 4 * 2**20
_MAX_ROUNDS: Final = 32


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one batch.

    Args:
        losses: the terms of each loss by its name.
        num_samples: samples of the batch.
        predictions: for the metrics; empty where there are none.
        targets: likewise.
    """

    losses: dict[str, list[Term]]
    num_samples: int
    predictions: Tensors
    targets: Tensors


NOTHING: Final = Measured({}, 0, {}, {})
"""What stands for a batch that is none."""


class BatchOrder:
    """The batches of one split, measured by one process or by several.

    Args:
        loader: gives the batches of the split.
        world: the processes.
        device: that of this process.
    """

    def __init__(self, loader: Loader, world: World, device: Device) -> None:
        self._num_batches = len(loader)
        self._num_given = 0
        self._world = world
        self._device = device
        self._waiting: list[Measured] = []
        self._rounds_at_once = 1
        self.loader = loader if world.size == 1 else sharded(loader, EveryNth(world.rank, world.size))

    def number(self, place: int) -> int:
        """Gives which batch of the split is the one at a place, from 0, of this process's `loader`."""
        return place * self._world.size + self._world.rank

    def is_own(self, place: int) -> bool:
        """Whether that is a batch, and no stand-in."""
        return self.number(place) < self._num_batches

    def add(self, measured: Measured) -> Iterable[Measured]:
        """Takes what was measured of the next batch of this process; gives the main one what follows next of all."""
        if self._world.size == 1:
            return (measured,)
        self._waiting.append(measured)
        return self._exchange() if len(self._waiting) == self._rounds_at_once else ()

    def rest(self) -> Iterable[Measured]:
        """Gives the main process what is left, when all have measured equally many batches."""
        return self._exchange() if self._waiting else ()

    def _exchange(self) -> list[Measured]:
        waiting, self._waiting = self._waiting, []
        contents, longest = told_to_main(packed([_plain(measured) for measured in waiting]))
        # As many rounds in one message as all learn from the length of this one.
        self._rounds_at_once = max(1, min(_MAX_ROUNDS, _MESSAGE_BYTES * len(waiting) // longest))
        rounds = zip(*(unpacked(content) for content in contents), strict=True)
        in_order = [batch for together in rounds for batch in together][: self._num_batches - self._num_given]
        self._num_given += len(waiting) * self._world.size
        move = self._device.mover()
        return [_measured(batch if move is None else move(batch)) for batch in in_order]


def _plain(measured: Measured) -> list[Any]:
    losses = {name: [[term.value, term.weight] for term in terms] for name, terms in measured.losses.items()}
    return [losses, measured.num_samples, dict(measured.predictions), dict(measured.targets)]


def _measured(plain: list[Any]) -> Measured:
    losses, num_samples, predictions, targets = plain
    terms = {name: [Term(value, weight) for value, weight in each] for name, each in losses.items()}
    return Measured(terms, num_samples, predictions, targets)
