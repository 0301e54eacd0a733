"""Which loader reads which dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset, TensorDataset

from mlgym.components.data.loader import Loader, TensorLoader
from mlgym.components.data.order import Order
from mlgym.components.data.tensor_data import TensorData
from mlgym.components.data.worker_loader import Collate, WorkerLoader


@dataclass(frozen=True)
class Reading:
    """How samples are read.

    Args:
        collate: makes a batch of a list of samples; None for torch's default.
        num_workers: processes that read; 0 reads in this one.
        persistent_workers: keep the processes from epoch to epoch.
        fast_path: index data in memory by whole batches.
    """

    collate: Collate | None = None
    num_workers: int = 0
    persistent_workers: bool = False
    fast_path: bool = True


def make_loader(dataset: Dataset[Any], order: Order, reading: Reading, *, batch_size: int, drop_last: bool) -> Loader:
    """Gives the fastest loader for a dataset: by whole batches where it is tensors in memory, else by sample.

    Args:
        dataset: any map-style dataset.
        order: which sample comes when; its seed is that of augmentation too.
        reading: how samples are read.
        batch_size: samples in a batch, > 0.
        drop_last: leave out a last batch that is not full.
    """
    in_memory = _as_tensor_data(dataset) if reading.fast_path and reading.collate is None else None
    if in_memory is not None:
        return TensorLoader(in_memory, order, batch_size=batch_size, drop_last=drop_last)
    return WorkerLoader(
        dataset,
        order,
        batch_size=batch_size,
        seed=order.seed,
        drop_last=drop_last,
        collate=reading.collate,
        num_workers=reading.num_workers,
        persistent_workers=reading.persistent_workers,
    )


def _as_tensor_data(dataset: Dataset[Any]) -> TensorData | None:
    if type(dataset) is TensorDataset and len(dataset.tensors) == 2:
        return TensorData(*dataset.tensors)
    return dataset if type(dataset) is TensorData else None
