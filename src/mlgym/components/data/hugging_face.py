"""Datasets of the Hugging Face hub, and local files through the same loaders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlgym.components.data.file_hashes import SampleFiles
from mlgym.components.data.image_folder import image_tensor
from mlgym.config.registry import register
from mlgym.errors import DataError
from mlgym.names import did_you_mean


@register("hugging_face")
class HuggingFaceData(Dataset[tuple[Any, Any]]):
    """One split of a dataset that the package `datasets` loads; a sample is (input, target).

    Numbers and lists of them become float32 tensors, images float32 (channels, height, width) in [0, 1]; class labels
    and texts become class indices (int64), other targets float32 (outputs,). Put `in_memory` after it where it fits.

    Args:
        path: name of a dataset on the hub, a local folder, or a file format (`csv`, `json`, `parquet`, `arrow`,
            `imagefolder`) together with `data_files`.
        input: the column that the model reads, or several, which become inputs by name.
        target: the column to predict.
        split: which split to load, also a part of it, such as `train[:80%]`.
        name: the configuration of a dataset that has several.
        data_files: local files or addresses, for a file format as `path`.
        revision: tag or commit on the hub; give one, so that a repeat reads the same data.
        cache_dir: where downloads are kept.
        transform: from the value in an input column to a tensor; needed for texts.

    Raises:
        DataError: the package is missing, the dataset cannot be loaded, or a column does not exist.
    """

    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        path: str,
        input: str | list[str],
        target: str,
        *,
        split: str = "train",
        name: str | None = None,
        data_files: str | list[str] | None = None,
        revision: str | None = None,
        cache_dir: str | None = None,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self._rows = _load(path, name, split=split, data_files=data_files, revision=revision, cache_dir=cache_dir)
        self._input = input
        self._split = split
        self._transform = transform if transform is not None else _tensor
        for column in [*([input] if isinstance(input, str) else input), target]:
            if column not in self._rows.column_names:
                raise DataError(f"{path} has no column `{column}`{did_you_mean(column, self._rows.column_names)}")
        self.targets, self.classes = _targets(self._rows, target)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Gives (input, target)."""
        row = self._rows[int(index)]
        if isinstance(self._input, str):
            return self._transform(row[self._input]), self.targets[index]
        return {column: self._transform(row[column]) for column in self._input}, self.targets[index]

    def sample_files(self) -> SampleFiles | None:
        """Gives the Arrow files that hold the rows, for the fingerprint of the data; None for rows in memory."""
        files = [Path(file["filename"]) for file in getattr(self._rows, "cache_files", [])]
        return SampleFiles(files, one_each=False, read_as=f"rows {self._split} {self._input}") if files else None


def _load(path: str, name: str | None, *, split: str, **options: Any) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError("`hugging_face` needs the package `datasets`: pip install 'mlgym[datasets]'") from None
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return datasets.load_dataset(path, name, split=split, **given)
    except Exception as error:  # The package raises whatever its many loaders raise.
        raise DataError(f"`datasets` cannot load {path} (split {split}): {error}") from error


def _targets(rows: Any, column: str) -> tuple[Tensor, tuple[str, ...] | None]:
    values = rows.with_format(None)[column][:]
    if any(value is None for value in values):
        raise DataError(f"target column `{column}` has {sum(value is None for value in values)} missing values")
    names = getattr(rows.features[column], "names", None)
    if names:
        return torch.tensor(values, dtype=torch.int64), tuple(names)
    if values and isinstance(values[0], str):
        classes = sorted(set(values))
        places = {name: place for place, name in enumerate(classes)}
        return torch.tensor([places[value] for value in values], dtype=torch.int64), tuple(classes)
    numbers = np.asarray(values)
    if numbers.dtype.kind in "iub":
        return torch.from_numpy(numbers.astype(np.int64)), None
    targets = torch.from_numpy(numbers.astype(np.float32))
    return targets[:, None] if targets.ndim == 1 else targets, None  # (samples, outputs)


def _tensor(value: Any) -> Tensor:
    if isinstance(value, str):
        raise DataError("a text is no tensor; give `transform`, a component that makes one of it")
    if hasattr(value, "convert") and hasattr(value, "getbands"):
        return image_tensor(value)
    try:
        return torch.as_tensor(np.asarray(value, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"a {type(value).__name__} is no tensor ({error}); give `transform`, which makes one"
        ) from error
