"""Hashes of what a training reads: of the samples of a dataset, and of their order in an epoch.

Equal samples in equal order have equal fingerprints, whether they lie in memory, are shown by views or are read one by
one; samples in files are told by the content of the files. What views make of inputs when they are read (augmentation,
standardizing) is code and config, not data, and does not count.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils import data as torch_data
from torch.utils.data import Dataset

from mlgym.components.data.file_hashes import ReadsFiles, hashes_of_files
from mlgym.components.data.global_generators import SampleSeeds, preserved_generators
from mlgym.components.data.labels import num_samples_of, targets_of
from mlgym.components.data.loader import Loader
from mlgym.components.data.table import TableData
from mlgym.components.data.tensor_data import TensorData, Values
from mlgym.components.data.views import ConcatView, InputView, SubsetView, TargetView, is_deterministic

logger = logging.getLogger(__name__)

Keys: TypeAlias = npt.NDArray[np.uint8]
"""What stands for each sample, (samples, 32)."""

_MAX_SAMPLES: Final = 500
_MAX_BYTES: Final = 1 << 30
_CHUNK_SAMPLES: Final = 4096


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A hash of the samples of a dataset, in their order.

    Args:
        sha256: 64 hexadecimal digits.
        num_samples: samples of the dataset.
        covers: `all` of them, or only some, evenly `sampled`.
    """

    sha256: str
    num_samples: int
    covers: Literal["all", "sampled"]


class _NoBytesError(Exception):
    """A sample holds something that cannot be hashed; the text says what."""


def fingerprint(
    data: Loader | Dataset[Any], *, max_samples: int = _MAX_SAMPLES, max_bytes: int = _MAX_BYTES
) -> Fingerprint | None:
    """Gives the fingerprint of a dataset, or of that of a loader.

    The global generators stay as they are; a dataset that draws from them is read with the same draws each time.

    Args:
        data: a map-style dataset, or a loader of one.
        max_samples: of a dataset that must be read sample by sample; of a larger one so many, evenly spread, >= 2.
        max_bytes: of data in memory; of a larger one evenly spread samples of this size together, > 0.

    Returns:
        The fingerprint, the same in each process and on each machine; None, with a warning in the log, where the
        samples cannot be read by index or hold something that is no data.
    """
    try:
        dataset = data.dataset if isinstance(data, Loader) else data
        num_samples = num_samples_of(dataset)
        columns = _Columns()
        covered = _add_dataset(columns, dataset, max_samples, max_bytes)
    except Exception as error:
        # Whatever a dataset of the user's raises: the training itself will show it where it matters.
        logger.warning("the data has no fingerprint: %s: %s", type(error).__name__, error)
        return None
    return Fingerprint(columns.sha256(num_samples), num_samples, "all" if covered else "sampled")


def order_digest(loader: Loader, epoch: int, num_batches: int | None = None, start_batch: int = 0) -> str | None:
    """Gives the sha256 (hex) of the samples of an epoch in the order in which they come.

    Args:
        loader: gives the batches.
        epoch: number of the pass over the data, >= 0.
        num_batches: how many batches count; None for all from `start_batch` on. More than one pass holds go on in the
            passes after it.
        start_batch: the first batch that counts.

    Returns:
        The hash of the indices as int64; None where the loader does not know its order.
    """
    hasher = hashlib.sha256()
    rest = len(loader) - start_batch if num_batches is None else num_batches
    while rest > 0:
        indices = loader.sample_order(epoch)
        if indices is None or len(indices) == 0:
            return None
        stop = min(len(loader), start_batch + rest)
        part = indices[start_batch * loader.batch_size : stop * loader.batch_size]
        hasher.update(np.ascontiguousarray(part, dtype="<i8").data)
        rest -= stop - start_batch
        epoch, start_batch = epoch + 1, 0
    return hasher.hexdigest()


class _Column:
    """One value of all samples: the bytes of the values in a row, and where type or shape change."""

    def __init__(self) -> None:
        self._values = hashlib.sha256()
        self._forms = hashlib.sha256()
        self._form: str | None = None
        self._count = 0

    def add(self, form: str, values: Any, count: int = 1) -> None:
        """Takes the bytes of `count` values of one type and shape."""
        if form != self._form:
            self._forms.update(f"{self._count}:{form};".encode("utf-8", "surrogatepass"))
            self._form = form
        self._values.update(values)
        self._count += count

    def add_tensor(self, values: Tensor) -> None:
        """Takes the values of several samples, (samples, ...)."""
        flat = values.detach().cpu().contiguous()
        self.add(_form(flat.dtype, flat.shape[1:]), _bytes_of(flat), len(flat))

    def digest(self) -> bytes:
        """Gives the hash of all that was added."""
        return f"{self._count}".encode() + self._forms.digest() + self._values.digest()


class _Columns:
    """The values of all samples by their place in the sample: `0` is the input, `1` the target, `0.age` one of many."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}

    def __getitem__(self, place: str) -> _Column:
        return self._columns.setdefault(place, _Column())

    def sha256(self, num_samples: int) -> str:
        """Gives the hash of everything."""
        hasher = hashlib.sha256(f"{num_samples};".encode())
        for place in sorted(self._columns):
            hasher.update(place.encode("utf-8", "surrogatepass") + b"\0" + self._columns[place].digest())
        return hasher.hexdigest()


def _add_dataset(columns: _Columns, dataset: Dataset[Any], max_samples: int, max_bytes: int) -> bool:
    """Adds a dataset; gives whether all of its samples were."""
    keys = _keys(dataset)
    if keys is not None:
        columns["key"].add("sha256", np.ascontiguousarray(keys).data, len(keys))
        columns["1"].add_tensor(torch.as_tensor(np.asarray(targets_of(dataset))))
        return True
    parts = _parts(dataset)
    total = max(1, sum(part.num_samples for part in parts))
    covered = True
    for part in parts:
        # Each part gets its share of the limits, so that many small ones are as cheap as one large one.
        share = part.num_samples / total
        # A class derived from these may read its samples otherwise.
        in_memory = type(part.dataset) in _IN_MEMORY
        add, limit = (_add_tensors, max_bytes) if in_memory else (_add_samples, max_samples)
        covered = add(columns, part, max(2, int(limit * share))) and covered
    return covered


@dataclass(frozen=True, slots=True)
class _Part:
    """Samples of a dataset that is no view; `indices` is None for all of them in their order."""

    dataset: Dataset[Any]
    indices: npt.NDArray[np.int64] | None

    @property
    def num_samples(self) -> int:
        return num_samples_of(self.dataset) if self.indices is None else len(self.indices)

    def evenly(self, limit: int) -> tuple[npt.NDArray[np.int64] | None, bool]:
        """Gives at most `limit` of its indices, evenly spread, and whether they are all."""
        count = self.num_samples
        if count <= limit:
            return self.indices, True
        chosen = np.arange(limit, dtype=np.int64) * (count - 1) // (limit - 1)
        return chosen if self.indices is None else self.indices[chosen], False


_IN_MEMORY: Final = (TensorData, TableData, torch_data.TensorDataset)


def _parts(dataset: Dataset[Any]) -> list[_Part]:
    """Gives what a dataset is made of, behind its views."""
    if isinstance(dataset, InputView):
        return _parts(dataset.dataset)
    if isinstance(dataset, (ConcatView, torch_data.ConcatDataset)):
        return [part for each in dataset.datasets for part in _parts(each)]
    if isinstance(dataset, (SubsetView, torch_data.Subset)):
        chosen = np.asarray(dataset.indices, dtype=np.int64)
        inner = _parts(dataset.dataset)
        if len(inner) == 1:
            (part,) = inner
            return [_Part(part.dataset, chosen if part.indices is None else part.indices[chosen])]
    return [_Part(dataset, None)]


def _add_tensors(columns: _Columns, part: _Part, max_bytes: int) -> bool:
    tensors = _tensors(part.dataset)
    sizes = [tensor[:1].numel() * tensor.element_size() for _, tensor in tensors]
    indices, covered = part.evenly(max(2, max_bytes // max(1, sum(sizes))))
    for place, tensor in tensors:
        if indices is None:
            columns[place].add_tensor(tensor)
            continue
        for start in range(0, len(indices), _CHUNK_SAMPLES):
            chunk = torch.from_numpy(indices[start : start + _CHUNK_SAMPLES]).to(tensor.device)
            columns[place].add_tensor(tensor.index_select(0, chunk))
    if isinstance(part.dataset, TableData):
        for name, values in part.dataset.categorical.items():
            for value in values if indices is None else values[indices]:
                _add_value(columns, f"0.{name}", value)
    return covered


def _tensors(dataset: Dataset[Any]) -> list[tuple[str, Tensor]]:
    """Gives the tensors of data in memory, each with its place in a sample."""
    if isinstance(dataset, torch_data.TensorDataset):
        return [(str(number), tensor) for number, tensor in enumerate(dataset.tensors)]
    if isinstance(dataset, TableData):
        return [*_named("0", dataset.numeric), ("1", dataset.targets)]
    assert isinstance(dataset, TensorData)
    return [*_named("0", dataset.inputs), *_named("1", dataset.targets)]


def _named(place: str, values: Values) -> list[tuple[str, Tensor]]:
    if isinstance(values, Tensor):
        return [(place, values)]
    return [(f"{place}.{name}", tensor) for name, tensor in values.items()]


def _add_samples(columns: _Columns, part: _Part, max_samples: int) -> bool:
    indices, covered = part.evenly(max_samples)
    seeds = None if is_deterministic(part.dataset) else SampleSeeds(0, "fingerprint")
    with preserved_generators():
        for index in range(part.num_samples) if indices is None else indices.tolist():
            if seeds is not None:
                seeds.apply(0, index)
            _add_value(columns, "", part.dataset[index])
    return covered


def _add_value(columns: _Columns, place: str, value: Any) -> None:
    """Adds a part of a sample.

    Raises:
        _NoBytesError: it is no data.
    """
    for name, inner in _children(value):
        _add_value(columns, f"{place}.{name}" if place else name, inner)
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous()
        columns[place].add(_form(flat.dtype, flat.shape), _bytes_of(flat))
    elif isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
        _add_value(columns, place, torch.from_numpy(np.array(value)))
    elif isinstance(value, bool):
        columns[place].add(_form(torch.bool, ()), b"\1" if value else b"\0")
    elif isinstance(value, int):
        columns[place].add(
            _form(torch.int64, ()), value.to_bytes(max(8, value.bit_length() // 8 + 1), "little", signed=True)
        )
    elif isinstance(value, float):
        columns[place].add(_form(torch.float64, ()), struct.pack("<d", value))
    elif isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        columns[place].add("text", struct.pack("<q", len(text)) + text)
    elif isinstance(value, (bytes, bytearray)):
        columns[place].add("bytes", struct.pack("<q", len(value)) + value)
    elif value is None:
        columns[place].add("none", b"")
    elif hasattr(value, "convert") and hasattr(value, "getbands"):
        _add_value(columns, place, np.asarray(value))  # an image of Pillow
    elif not isinstance(value, (Mapping, list, tuple)) and not dataclasses.is_dataclass(value):
        raise _NoBytesError(f"`{place or 'sample'}` is a {type(value).__name__}")


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(name), inner) for name, inner in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((str(number), inner) for number, inner in enumerate(value))
    elif dataclasses.is_dataclass(value):
        yield from ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value))


def _keys(dataset: Dataset[Any]) -> Keys | None:
    """Gives what stands for each sample where all of them come from files; else None."""
    if isinstance(dataset, (InputView, TargetView)):
        return _keys(dataset.dataset)
    if isinstance(dataset, (SubsetView, torch_data.Subset)):
        inner = _keys(dataset.dataset)
        return None if inner is None else inner[np.asarray(dataset.indices, dtype=np.int64)]
    if isinstance(dataset, (ConcatView, torch_data.ConcatDataset)):
        parts = [_keys(each) for each in dataset.datasets]
        known = [part for part in parts if part is not None]
        return np.concatenate(known) if len(known) == len(parts) else None
    files = dataset.sample_files() if isinstance(dataset, ReadsFiles) else None
    if files is None:
        return None
    hashes = hashes_of_files(files.paths)
    if files.one_each:
        names = hashes
    else:
        content = hashlib.sha256("".join(hashes).encode()).hexdigest()
        names = [f"{content}:{row}" for row in range(num_samples_of(dataset))]
    read_as = files.read_as.encode()
    keys = b"".join(hashlib.sha256(read_as + b"\0" + name.encode()).digest() for name in names)
    return np.frombuffer(keys, dtype=np.uint8).reshape(-1, 32)


def _form(dtype: torch.dtype, shape: Sequence[int]) -> str:
    return f"{dtype} {list(shape)}"


def _bytes_of(tensor: Tensor) -> Any:
    # NumPy has no bfloat16: the bytes are read through uint8 instead.
    return tensor.reshape(-1).view(torch.uint8).numpy().data
