"""The losses of an epoch's batches: kept on the device, read once, averaged and hashed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from mlgym.training.digest import short_hash

_CHUNK: Final = 256
MAX_HASHES: Final = 1024


class EpochLosses:
    """Losses of the batches of one epoch; adding one does not wait for the device.

    Args:
        losses: those of batches that were done before, (batches,), as `all` gave them.
    """

    def __init__(self, losses: Tensor | None = None) -> None:
        self._chunks: list[Tensor] = []
        self._recent: list[Tensor] = []
        # The same groups as without an interruption, so that sums are rounded alike.
        for chunk in () if losses is None or not len(losses) else losses.split(_CHUNK):
            if len(chunk) == _CHUNK:
                self._chunks.append(chunk)
            else:
                self._recent = list(chunk.unbind())

    def add(self, loss: Tensor) -> None:
        """Takes the loss () of one batch."""
        self._recent.append(loss.detach())
        if len(self._recent) == _CHUNK:
            self._chunks.append(torch.stack(self._recent))  # (chunk,)
            self._recent.clear()

    def __len__(self) -> int:
        return _CHUNK * len(self._chunks) + len(self._recent)

    def mean(self, num_samples: Sequence[int] | None = None) -> float:
        """Gives the mean, in which each sample counts the same; NaN for no batches.

        Args:
            num_samples: how many samples each batch has; None where all have equally many.
        """
        chunks = self._pieces()
        if not chunks:
            return float("nan")
        if num_samples is None or len(set(num_samples)) == 1:
            return float(torch.stack([chunk.double().sum() for chunk in chunks]).sum()) / len(self)
        weights = torch.tensor(num_samples, dtype=torch.float64, device=chunks[0].device).split(_CHUNK)
        sums = [(chunk.double() * weight).sum() for chunk, weight in zip(chunks, weights, strict=True)]
        return float(torch.stack(sums).sum()) / sum(num_samples)

    def all(self) -> Tensor:
        """Gives the losses so far, (batches,)."""
        pieces = self._pieces()
        return torch.cat(pieces) if pieces else torch.empty(0)

    def _pieces(self) -> list[Tensor]:
        return [*self._chunks, *([torch.stack(self._recent)] if self._recent else [])]


def in_rank_order(rows: Tensor, counts: Sequence[Sequence[int]]) -> Tensor:
    """Gives the losses of the processes that share batches, batch by batch and rank after rank.

    That is the order in which one process has them that accumulates the shares.

    Args:
        rows: (processes, batches).
        counts: for each batch how many samples each process has; those without any have no loss.
    """
    return rows.T[_have_samples(counts)]


def of_rank(losses: Tensor, before: Sequence[Sequence[int]], now: Sequence[Sequence[int]], rank: int) -> Tensor:
    """Gives the losses (batches,) of one process, from those of all that `in_rank_order` gave.

    Where the batches are shared otherwise now, each share has the mean of its whole batch.

    Args:
        losses: (shares,).
        before: for each batch how many samples each process had.
        now: how many each has.
        rank: which process.
    """
    rows = torch.zeros(len(before), len(before[0]) if before else 0, dtype=losses.dtype)
    rows[_have_samples(before)] = losses.cpu()
    if [len(each) for each in before] == [len(each) for each in now]:
        return rows[:, rank] if len(rows) else rows.reshape(-1)
    weights = torch.tensor(before, dtype=torch.float64)
    return ((rows * weights).sum(1) / weights.sum(1)).to(losses.dtype)


def _have_samples(counts: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor(counts) > 0  # (batches, processes)


def loss_hashes(losses: Tensor, batches_per_step: int) -> tuple[str, int]:
    """Gives short hashes of the losses of steps, at most `MAX_HASHES` of them.

    Args:
        losses: (batches,).
        batches_per_step: how many batches make a step, >= 1; the last one may have fewer.

    Returns:
        8 hex digits for each hash, in a row, and how many steps each covers.
    """
    num_steps = -(-len(losses) // batches_per_step)
    steps_per_hash = max(1, -(-num_steps // MAX_HASHES))
    flat = losses.detach().cpu().contiguous()
    content = flat.view(torch.uint8).numpy().data if len(flat) else memoryview(b"")
    size = steps_per_hash * batches_per_step * flat.element_size()
    return "".join(short_hash(content[start : start + size]) for start in range(0, len(content), size)), steps_per_hash
