"""The component that makes the loaders of all splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field
from torch.utils.data import Dataset

from mlgym import seeding
from mlgym.components.data.labels import labels_of, num_samples_of, refuse_other_classes
from mlgym.components.data.loader import Loader, count_batches
from mlgym.components.data.loader_choice import Reading, make_loader
from mlgym.components.data.order import Order, Sampler, inverse_class_frequency
from mlgym.components.data.table import TableData
from mlgym.config.registry import register
from mlgym.config.shared_out import SharedOut
from mlgym.errors import DataError
from mlgym.names import did_you_mean

BatchSize = Annotated[int, Field(ge=1, le=2**31)]


@register("data_loaders", outputs="datasets")
def data_loaders(
    datasets: dict[str, Dataset[Any]],
    batch_size: Annotated[BatchSize | dict[str, BatchSize], SharedOut()],
    *,
    seed: int,
    shuffle: tuple[str, ...] = ("train",),
    sampler: Sampler = "random",
    target: str | None = None,
    drop_last: bool = False,
    num_workers: Annotated[int, Field(ge=0, le=1024)] = 0,
    persistent_workers: bool = False,
    collate: Callable[[list[Any]], Any] | None = None,
    fast_path: bool = True,
) -> dict[str, Loader]:
    """Makes a loader for each split: batches (inputs, targets) of shape (batch, ...).

    Data in memory (`TensorData`) is indexed whole batches at a time and needs no workers. Other data is read sample
    by sample; random augmentation is a function of (seed, epoch, index), so any number of workers gives the same
    batches, bit for bit.

    Args:
        datasets: the dataset of each split, none of them empty.
        batch_size: samples in a batch, >= 1; one for all splits or one for each. The last batch of an epoch may have
            fewer.
        seed: of order and augmentation; each split has its own random stream.
        shuffle: the splits that are drawn by `sampler`; all others are read in their order.
        sampler: `random` gives a fresh permutation in each epoch; `weighted_random` draws with replacement so that
            all classes come equally often; `sequential` keeps the order.
        target: which target has the classes that `weighted_random` draws by, where targets have names.
        drop_last: leave out the last batch of a split in `shuffle` where it is not full. That and the sampler are for
            training: an evaluator reads every sample of a split once.
        num_workers: processes for each split that read data which is not in memory; 0 reads in this one.
        persistent_workers: keep these processes from epoch to epoch; a dataset that changes between epochs is then
            not seen to change.
        collate: makes a batch of a list of samples; by default tensors are stacked, also inside tuples and mappings.
        fast_path: index data in memory by whole batches; `false` reads it like other data.

    Raises:
        DataError: a split is empty, a name in `batch_size` or `shuffle` is no split, or splits have different classes.
    """
    _check_names(datasets, batch_size, shuffle)
    refuse_other_classes({f"split `{split}`": dataset for split, dataset in datasets.items()})
    reading = Reading(collate, num_workers, persistent_workers, fast_path)
    loaders: dict[str, Loader] = {}
    for split, dataset in datasets.items():
        drawn = split in shuffle
        size = batch_size if isinstance(batch_size, int) else batch_size[split]
        _check_dataset(split, dataset, size, drop_last=drop_last and drawn)
        split_seed = seeding.derive_seed(seed, split)
        order = _order(split, dataset, sampler if drawn else "sequential", split_seed, target)
        loaders[split] = make_loader(dataset, order, reading, batch_size=size, drop_last=drop_last and drawn)
    return loaders


def _check_names(datasets: Mapping[str, object], batch_size: int | Mapping[str, int], shuffle: tuple[str, ...]) -> None:
    named = {"shuffle": [name for name in shuffle if name != "train"]}
    if isinstance(batch_size, Mapping):
        named["batch_size"] = list(batch_size)
        missing = [name for name in datasets if name not in batch_size]
        if missing:
            raise DataError(f"`batch_size` has no entry for the split{'s' * (len(missing) > 1)} {', '.join(missing)}")
    for parameter, names in named.items():
        for name in names:
            if name not in datasets:
                raise DataError(f"`{parameter}` names no split of `datasets`: `{name}`{did_you_mean(name, datasets)}")


def _check_dataset(split: str, dataset: Dataset[Any], batch_size: int, *, drop_last: bool) -> None:
    if isinstance(dataset, TableData):
        raise DataError(
            f"split `{split}` is a table with columns that are not numbers ({', '.join(dataset.categorical)}) or that "
            "have missing values; put `encode_features` between the split and `data_loaders`"
        )
    num_samples = num_samples_of(dataset)
    if num_samples == 0:
        raise DataError(f"split `{split}` has no samples; give it a larger share, or more data")
    if count_batches(num_samples, batch_size, drop_last=drop_last) == 0:
        raise DataError(
            f"split `{split}` has {num_samples} samples, fewer than one batch of {batch_size}, "
            "so that with `drop_last` no batch is left"
        )


def _order(split: str, dataset: Dataset[Any], sampler: Sampler, seed: int, target: str | None) -> Order:
    num_samples = num_samples_of(dataset)
    if sampler != "weighted_random":
        return Order(num_samples, sampler, seed)
    try:
        weights = inverse_class_frequency(labels_of(dataset, target))
    except DataError as error:
        error.add_note(f"`weighted_random` draws the split `{split}` by class")
        raise
    return Order(num_samples, sampler, seed, weights)
