"""Tables from CSV and Parquet files: numbers and categories by column, with a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlgym.components.data.tensor_data import Metadata, TensorData, rows_of
from mlgym.config.registry import register
from mlgym.errors import DataError
from mlgym.names import did_you_mean

if TYPE_CHECKING:
    import polars

Categories = npt.NDArray[np.object_]


class TableData(Dataset[tuple[dict[str, Any], Any]]):
    """Rows of a table whose features are not all numbers yet; `encode_features` makes tensors of it.

    Args:
        numeric: float32 (rows,) for each numeric column; NaN where a value is missing.
        categorical: text (rows,) for each other column; None where a value is missing.
        targets: int64 (rows,) class indices or float32 (rows, outputs) values.
        features: the columns in the order of the file.
        classes: what class 0, 1, ... is called; None for values.
        metadata: what stays with the rows but is no feature, (rows,) each.
    """

    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        numeric: Mapping[str, Tensor],
        categorical: Mapping[str, Categories],
        targets: Tensor,
        *,
        features: Sequence[str],
        classes: Sequence[str] | None = None,
        metadata: Metadata | None = None,
    ) -> None:
        self.numeric = dict(numeric)
        self.categorical = dict(categorical)
        self.targets = targets
        self.features = tuple(features)
        self.classes = None if classes is None else tuple(classes)
        self.metadata = dict(metadata or {})

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[dict[str, Any], Any]:
        """Gives ({column: value}, target) of one row."""
        row: dict[str, Any] = {name: column[index] for name, column in self.numeric.items()}
        row.update({name: column[index] for name, column in self.categorical.items()})
        return row, self.targets[index]

    def select(self, indices: Tensor) -> TableData:
        """Gives the table of these rows, int64 (selected,), in this order."""
        return TableData(
            {name: column[indices] for name, column in self.numeric.items()},
            {name: column[indices.numpy()] for name, column in self.categorical.items()},
            self.targets[indices],
            features=self.features,
            classes=self.classes,
            metadata=rows_of(self.metadata, indices),
        )

    def with_targets(self, targets: Tensor, classes: Sequence[str] | None = None) -> TableData:
        """Gives the table with other targets, (rows, ...)."""
        return TableData(
            self.numeric, self.categorical, targets, features=self.features, classes=classes, metadata=self.metadata
        )


@register("table")
def table(
    path: str,
    target: str | list[str],
    *,
    features: list[str] | None = None,
    task: Literal["classification", "regression"] = "classification",
    missing: Literal["error", "keep"] = "error",
    classes: list[str | int] | None = None,
    metadata: list[str] | None = None,
    separator: str = ",",
) -> Dataset[Any]:
    """Reads a table from a CSV or Parquet file.

    Where all features are numbers and none is missing, the data is in memory as inputs (rows, features) float32.
    Otherwise it is a table that `split` and the like take and that `encode_features` turns into tensors.

    Args:
        path: a file that ends in `.csv`, `.tsv`, `.csv.gz`, `.parquet` or `.pq`.
        target: the column to predict, or several for a regression with several outputs.
        features: the columns to predict it from; by default all others, in the order of the file.
        task: `classification` makes targets int64 (rows,), the place of each value among the sorted distinct ones,
            which are kept in `classes`; `regression` makes targets float32 (rows, outputs).
        missing: what to do with missing feature values: `error`, or `keep` them for `encode_features` to fill in from
            the training split. Missing targets are always an error.
        classes: for a classification: the values that are class 0, 1, ...; None for all that occur, sorted. Give it
            where splits lie in files of their own, of which one may lack a class.
        metadata: columns that stay with their rows but that no model sees, such as the patient a row is from
            (`groups` of folds) or the fold that it was given to (`predefined_folds`).
        separator: between the values of a CSV file, one character.

    Raises:
        DataError: the file cannot be read, a column does not exist or cannot be used, or values are missing.
    """
    frame = _read(Path(path), separator)
    targets = [target] if isinstance(target, str) else target
    kept = metadata or []
    columns = _feature_columns(frame, targets, features, kept)
    values, named = _targets(frame, targets, task, classes)
    numeric, categorical = _split_columns(frame, columns)
    rows = {name: _metadata_column(frame[name]) for name in kept}
    data = TableData(numeric, categorical, values, features=columns, classes=named, metadata=rows)
    incomplete = count_missing(data)
    if incomplete and missing == "error":
        listed = ", ".join(f"`{name}` ({count})" for name, count in incomplete.items())
        raise DataError(
            f"{path}: values are missing in {listed}; fill them in the file, leave these columns out by `features`, or "
            "set `missing: keep` and let `encode_features` fill them in from the training split"
        )
    if categorical or incomplete:
        return data
    inputs = torch.stack([numeric[name] for name in columns], dim=1)  # (rows, features)
    return TensorData(inputs, values, classes=named, features=columns, metadata=rows)


def count_missing(data: TableData) -> dict[str, int]:
    """Gives the number of missing values of each column that has any."""
    counts = {name: int(torch.isnan(column).sum()) for name, column in data.numeric.items()}
    counts.update({name: sum(value is None for value in column) for name, column in data.categorical.items()})
    return {name: counts[name] for name in data.features if counts[name]}


def _read(path: Path, separator: str) -> polars.DataFrame:
    import polars

    if not path.is_file():
        raise DataError(f"{path}: there is no such file (looked for in {Path.cwd()})")
    try:
        if path.suffix in (".parquet", ".pq"):
            return polars.read_parquet(path)
        if path.name.endswith((".csv", ".tsv", ".csv.gz")):
            separator = "\t" if path.suffix == ".tsv" and separator == "," else separator
            return polars.read_csv(path, separator=separator, infer_schema_length=None, null_values=["", "NA", "NaN"])
    except (polars.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a table: {error}") from error
    raise DataError(f"{path}: a table ends in .csv, .tsv, .csv.gz, .parquet or .pq")


def _metadata_column(column: polars.Series) -> npt.NDArray[Any]:
    """Gives a column as it is; one with missing values holds None there."""
    return column.to_numpy() if column.null_count() == 0 else np.array(column.to_list(), dtype=object)


def _feature_columns(
    frame: polars.DataFrame, targets: list[str], features: list[str] | None, metadata: list[str]
) -> list[str]:
    for name in [*targets, *(features or []), *metadata]:
        if name not in frame.columns:
            raise DataError(f"the table has no column `{name}`{did_you_mean(name, frame.columns)}")
    others = [name for name in frame.columns if name not in targets and name not in metadata]
    columns = others if features is None else features
    both = [name for name in columns if name in targets]
    if both:
        raise DataError(f"column `{both[0]}` cannot be a target and a feature: the model would be told the answer")
    if not columns or not targets:
        raise DataError("the table needs at least one feature column and one target column")
    if len(frame) == 0:
        raise DataError("the table has no rows")
    return columns


def _targets(
    frame: polars.DataFrame, names: list[str], task: str, classes: list[str | int] | None
) -> tuple[Tensor, list[str] | None]:
    for name in names:
        empty = _count_empty(frame[name])
        if empty:
            raise DataError(f"target column `{name}` has {empty} missing values; remove these rows from the file")
    if task == "regression":
        if classes is not None:
            raise DataError("`classes` are for `task: classification`; leave them out")
        columns = [_numbers(frame[name], f"target column `{name}`") for name in names]
        return torch.stack(columns, dim=1), None  # (rows, outputs)
    if len(names) > 1:
        raise DataError("`task: classification` takes one target column; several are for `task: regression`")
    return _class_indices(frame[names[0]], classes)


def _class_indices(column: polars.Series, classes: list[str | int] | None) -> tuple[Tensor, list[str]]:
    if column.dtype.is_float() and column.n_unique() > 100:
        raise DataError(
            f"target column `{column.name}` has {column.n_unique()} different fractional numbers, so it is no class; "
            "set `task: regression`"
        )
    values = column if _is_number(column) else _texts(column, f"target column `{column.name}`")
    found = sorted(values.unique().to_list())
    names = [str(value) for value in (found if classes is None else classes)]
    places = {name: place for place, name in enumerate(names)}
    if len(places) < len(names):
        raise DataError(f"`classes` has a value twice: {', '.join(names)}")
    for value in found:
        if str(value) not in places:
            problem = f"target column `{column.name}` holds `{value}`, which `classes` lacks"
            raise DataError(problem + did_you_mean(str(value), names))
    by_value = {value: places[str(value)] for value in found}
    return torch.tensor([by_value[value] for value in values.to_list()], dtype=torch.int64), names


def _split_columns(frame: polars.DataFrame, names: list[str]) -> tuple[dict[str, Tensor], dict[str, Categories]]:
    numeric: dict[str, Tensor] = {}
    categorical: dict[str, Categories] = {}
    for name in names:
        column = frame[name]
        if _is_number(column):
            numeric[name] = _numbers(column, f"column `{name}`")
        else:
            categorical[name] = np.array(_texts(column, f"column `{name}`").to_list(), dtype=object)
    return numeric, categorical


def _texts(column: polars.Series, what: str) -> polars.Series:
    import polars

    try:
        if not column.dtype.is_nested():
            return column.cast(str)
    except polars.exceptions.PolarsError:  # durations, bytes that are no text
        pass
    raise DataError(f"{what} holds {column.dtype}; a table has numbers and texts")


def _numbers(column: polars.Series, what: str) -> Tensor:
    if not _is_number(column):
        examples = ", ".join(repr(value) for value in column.unique(maintain_order=True).head(3).to_list())
        raise DataError(f"{what} must hold numbers, but holds {column.dtype}: {examples}")
    with np.errstate(over="ignore"):
        values = column.cast(float).to_numpy().astype(np.float32)  # null becomes NaN
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        row = int(infinite[0])
        raise DataError(f"{what} holds {column[row]} in row {row + 1}, which is infinite or too large for float32")
    return torch.from_numpy(values)


def _is_number(column: polars.Series) -> bool:
    import polars

    return column.dtype.is_numeric() or column.dtype == polars.Boolean


def _count_empty(column: polars.Series) -> int:
    return column.null_count() + (int(column.is_nan().sum()) if column.dtype.is_float() else 0)
