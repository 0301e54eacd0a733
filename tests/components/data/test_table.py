"""Tables from files, and numbers for their text columns."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars
import pytest
import torch

from mlgym.components.data import (
    TableData,
    TensorData,
    concat,
    data_loaders,
    encode_features,
    standardize,
    stratified_split,
    table,
)
from mlgym.components.data.splits import random_split
from mlgym.errors import DataError

CSV = """age,colour,income,old,bought
20,red,1.5,true,yes
30,green,2.5,false,no
40,red,,false,yes
50,,4.5,true,no
"""


def write(folder: Path, text: str = CSV, name: str = "data.csv") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_numbers_alone_are_in_memory(tmp_path: Path) -> None:
    """A table of numbers is tensors at once; classes are the sorted values."""
    data = table(write(tmp_path), "bought", features=["old", "age"])
    assert isinstance(data, TensorData)
    assert torch.equal(data.inputs, torch.tensor([[1.0, 20], [0, 30], [0, 40], [1, 50]]))  # type: ignore[arg-type]  # not by name
    assert data.targets.tolist() == [1, 0, 1, 0]  # type: ignore[union-attr]  # as above
    assert data.classes == ("no", "yes")
    assert data.features == ("old", "age")


def test_files_of_their_own_have_the_same_classes(tmp_path: Path) -> None:
    """A file that lacks a class numbers the others anew: refused where they meet, and right with `classes`."""
    train = write(tmp_path, "x,kind\n1,a\n2,b\n3,c\n", "train.csv")
    test = write(tmp_path, "x,kind\n1,b\n2,c\n", "test.csv")
    apart = {"train": table(train, "kind"), "test": table(test, "kind")}
    for meet in (lambda: data_loaders(apart, 2, seed=1), lambda: concat(list(apart.values()))):
        with pytest.raises(DataError, match=r"number their classes differently \(a, b, c and b, c\), so that a label"):
            meet()
    together: Any = {"train": table(train, "kind"), "test": table(test, "kind", classes=["a", "b", "c"])}
    assert together["test"].targets.tolist() == [1, 2]
    assert len(data_loaders(together, 2, seed=1)["test"]) == 1
    numbers: Any = table(write(tmp_path, "x,kind\n1,10\n2,2\n"), "kind", classes=[2, 10])
    assert numbers.targets.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"classes": ["a", "B"]}, "target column `kind` holds `b`, which `classes` lacks"),
        ({"classes": ["a", "b", "a"]}, "`classes` has a value twice: a, b, a"),
        ({"classes": ["a", "b"], "task": "regression"}, "`classes` are for `task: classification`"),
    ],
)
def test_classes_that_do_not_fit(tmp_path: Path, options: Any, text: str) -> None:
    """A value that is no class, a class named twice, and classes of a regression are refused."""
    with pytest.raises(DataError, match=text):
        table(write(tmp_path, "x,kind\n1,a\n2,b\n"), "kind", **options)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ([1.0, 1e300], r"column `x` holds 1e\+?300 in row 2, which is infinite or too large for float32"),
        ([float("-inf"), 1.0], "column `x` holds -inf in row 1"),
        ([timedelta(1), timedelta(2)], "column `x` holds Duration.*; a table has numbers and texts"),
        ([b"\xff", b"a"], "column `x` holds Binary; a table has numbers and texts"),
        ([[1], [2]], "column `x` holds List"),
    ],
    ids=["too large", "infinite", "duration", "bytes", "list"],
)
def test_columns_that_are_no_features(tmp_path: Path, column: Any, text: str) -> None:
    """What would become infinite or cannot be a feature is named with its column, as a feature and as a target."""
    polars.DataFrame({"x": column, "y": ["a", "b"], "z": [1, 2]}).write_parquet(tmp_path / "data.parquet")
    with pytest.raises(DataError, match=text):
        table(str(tmp_path / "data.parquet"), "y")
    if not isinstance(column[0], float):
        with pytest.raises(DataError, match=f"target {text}"):
            table(str(tmp_path / "data.parquet"), "x", features=["z"])


def test_parquet_and_csv_give_the_same(tmp_path: Path) -> None:
    """The format of the file does not matter, also with tabs or another separator."""
    path = write(tmp_path)
    polars.read_csv(path).write_parquet(tmp_path / "data.parquet")
    polars.read_csv(path).write_csv(tmp_path / "data.tsv", separator="\t")
    polars.read_csv(path).write_csv(tmp_path / "semicolon.csv", separator=";")
    one: Any = table(path, "bought", missing="keep")
    for name, separator in (("data.parquet", ","), ("data.tsv", ","), ("semicolon.csv", ";")):
        other: Any = table(str(tmp_path / name), "bought", missing="keep", separator=separator)
        assert other.features == one.features == ("age", "colour", "income", "old")
        assert torch.equal(other.numeric["age"], one.numeric["age"])
        assert list(other.categorical["colour"]) == list(one.categorical["colour"]) == ["red", "green", "red", None]


def test_regression_targets(tmp_path: Path) -> None:
    """Targets of a regression are float32 with a column for each output."""
    data: Any = table(write(tmp_path), ["age"], features=["old"], task="regression")
    assert data.targets.tolist() == [[20.0], [30.0], [40.0], [50.0]]
    assert data.classes is None
    both: Any = table(write(tmp_path), ["age", "old"], features=["income"], task="regression", missing="keep")
    assert both.targets.shape == (4, 2)


def test_number_classes_are_sorted_as_numbers(tmp_path: Path) -> None:
    """Classes 2 and 10 are in this order, not in that of their texts."""
    data: Any = table(write(tmp_path, "x,y\n1,10\n2,2\n3,10\n"), "y")
    assert data.classes == ("2", "10")
    assert data.targets.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (CSV, {"target": "bougt"}, "no column `bougt`; did you mean `bought`"),
        (CSV, {"target": "bought", "features": ["agee"]}, "did you mean `age`"),
        (CSV, {"target": "bought", "features": ["age", "bought"]}, "told the answer"),
        (CSV, {"target": "bought"}, r"missing in `colour` \(1\), `income` \(1\)"),
        (CSV, {"target": "income"}, "`income` has 1 missing values"),
        (CSV, {"target": "colour", "task": "regression", "features": ["age"]}, "1 missing"),
        (CSV, {"target": "bought", "task": "regression", "features": ["age"]}, "must hold numbers"),
        (CSV, {"target": ["bought", "old"]}, "one target column"),
        ("x,y\n", {"target": "y"}, "no rows"),
        ("y\n1\n", {"target": "y"}, "at least one feature"),
        ("x,y\n1,2,3,4\n", {"target": "y"}, "cannot be read as a table"),
        ("x,y\n" + "\n".join(f"1,{i / 7}" for i in range(200)), {"target": "y"}, "task: regression"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path: Path, text: str, options: Any, message: str) -> None:
    """Each fault names the column and the way out."""
    with pytest.raises(DataError, match=message):
        table(write(tmp_path, text), **options)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    """A missing file and an unknown ending are refused."""
    with pytest.raises(DataError, match="no such file"):
        table(str(tmp_path / "none.csv"), "y")
    with pytest.raises(DataError, match=r"ends in \.csv"):
        table(write(tmp_path, name="data.xlsx"), "y")


def load(folder: Path) -> TableData:
    data = table(write(folder), "bought", missing="keep")
    assert isinstance(data, TableData)
    return data


def test_one_hot_columns(tmp_path: Path) -> None:
    """A text column becomes one feature for each category, a gap in it zeros, a gap in numbers the mean."""
    encoded: Any = encode_features({"train": load(tmp_path)})["train"]
    assert encoded.features == ("age", "colour=green", "colour=red", "income", "old")
    assert encoded.inputs.tolist() == [
        [20, 0, 1, 1.5, 1],
        [30, 1, 0, 2.5, 0],
        [40, 0, 1, pytest.approx(8.5 / 3), 0],
        [50, 0, 0, 4.5, 1],
    ]


def test_ordinal_columns(tmp_path: Path) -> None:
    """A text column becomes the place of its category, -1 where it is unknown."""
    encoded: Any = encode_features({"train": load(tmp_path)}, method="ordinal")["train"]
    assert encoded.inputs[:, 1].tolist() == [1, 0, 1, -1]


def test_encoding_is_learned_from_one_split(tmp_path: Path) -> None:
    """Categories and means come from the training split; others are unknown and change nothing."""
    data = load(tmp_path)
    splits: dict[str, Any] = {"train": data.select(torch.tensor([0, 3])), "val": data.select(torch.tensor([1, 2]))}
    encoded: Any = encode_features(splits)
    assert encoded["train"].features == encoded["val"].features == ("age", "colour=red", "income", "old")
    assert encoded["val"].inputs.tolist() == [[30, 0, 2.5, 0], [40, 1, 3.0, 0]]
    swapped: Any = encode_features(splits, "val")
    assert swapped["val"].features[1] == "colour=green"


def test_missing_values_can_be_an_error(tmp_path: Path) -> None:
    """`missing: error` names split and columns."""
    with pytest.raises(DataError, match=r"split `train` misses values in `colour` \(1\), `income` \(1\)"):
        encode_features({"train": load(tmp_path)}, missing="error")


def test_column_without_any_value(tmp_path: Path) -> None:
    """A numeric column that is empty in the training split has no mean, a text column no categories."""
    for row, name in ((2, "income"), (3, "colour")):
        with pytest.raises(DataError, match=f"`{name}` has no value at all"):
            encode_features({"train": load(tmp_path).select(torch.tensor([row]))})


def test_splits_must_have_the_same_columns(tmp_path: Path) -> None:
    """A split with other columns is named."""
    other = table(write(tmp_path), "bought", features=["age", "colour"], missing="keep")
    with pytest.raises(DataError, match="split `val`"):
        encode_features({"train": load(tmp_path), "val": other})


def test_tensors_pass_through() -> None:
    """Data that is numbers already is given back."""
    data = TensorData(torch.ones(2, 1), torch.ones(2))
    assert encode_features({"train": data})["train"] is data


def test_from_file_to_batches(tmp_path: Path) -> None:
    """table, split, encode, standardize, load: batches of float32 features and int64 classes, on the fast path."""
    rows = "\n".join(f"{i},{'abc'[i % 3]},{'yes' if i % 2 else 'no'}" for i in range(60))
    data = table(write(tmp_path, f"x,c,y\n{rows}\n"), "y")
    parts = stratified_split(data, {"train": 0.8, "val": 0.2}, seed=1)
    loaders = data_loaders(standardize(encode_features(parts)), 16, seed=1)
    inputs, targets = next(loaders["train"].epoch(0))
    assert inputs.shape == (16, 4)
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.int64)
    everything = torch.cat([batch for batch, _ in loaders["train"].epoch(0)])
    assert torch.allclose(everything.mean(dim=0), torch.zeros(4), atol=1e-5)


def test_rows_are_samples(tmp_path: Path) -> None:
    """A row can be looked at, and a split of a table is a table."""
    data = load(tmp_path)
    row, target = data[1]
    assert (float(row["age"]), row["colour"], int(target)) == (30.0, "green", 0)
    assert isinstance(random_split(data, {"a": 0.5, "b": 0.5}, seed=1)["a"], TableData)
