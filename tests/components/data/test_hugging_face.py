"""Datasets of the Hugging Face hub, from local files."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from mlgym.components.data import HuggingFaceData, in_memory, labels_of
from mlgym.errors import DataError


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'mlgym\[datasets\]'"):
        HuggingFaceData("csv", "x", "y")


class Rows:
    """Stands in for a dataset of the package."""

    def __init__(self, columns: dict[str, list[Any]], names: list[str] | None = None) -> None:
        self.columns = columns
        self.column_names = list(columns)
        self.features = {name: SimpleNamespace() for name in columns}
        if names:
            self.features["y"] = SimpleNamespace(names=names)

    def __len__(self) -> int:
        return len(self.columns["y"])

    def with_format(self, _: None) -> Rows:
        return self

    def __getitem__(self, key: Any) -> Any:
        return self.columns[key] if isinstance(key, str) else {name: c[key] for name, c in self.columns.items()}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(rows: Rows | Exception, **options: Any) -> HuggingFaceData:
        def load_dataset(*arguments: Any, **keywords: Any) -> Rows:
            if isinstance(rows, Exception):
                raise rows
            return rows

        package = ModuleType("datasets")
        package.load_dataset = load_dataset  # type: ignore[attr-defined]  # of a module made here
        monkeypatch.setitem(sys.modules, "datasets", package)
        return HuggingFaceData("some/path", **{"input": "x", "target": "y", **options})

    return make


def test_numbers_and_class_names(load: Any) -> None:
    """Lists of numbers become tensors, labels keep the names that the dataset gives."""
    data = load(Rows({"x": [[1, 2], [3, 4]], "y": [1, 0]}, names=["no", "yes"]))
    assert data.classes == ("no", "yes")
    assert labels_of(data).tolist() == [1, 0]
    assert torch.equal(data[1][0], torch.tensor([3.0, 4.0]))
    inputs: Any = in_memory(data, seed=0).inputs
    assert inputs.shape == (2, 2)


def test_texts_as_targets(load: Any) -> None:
    """Texts become the place among the sorted ones."""
    data = load(Rows({"x": [1, 2, 3], "y": ["b", "a", "b"]}))
    assert data.classes == ("a", "b")
    assert data.targets.tolist() == [1, 0, 1]


def test_values_as_targets(load: Any) -> None:
    """Fractional numbers have the shape of a model's output."""
    assert load(Rows({"x": [1, 2], "y": [0.5, 1.5]})).targets.shape == (2, 1)


def test_several_inputs_and_a_transform(load: Any) -> None:
    """Several columns are named inputs; texts need a transform."""
    rows = Rows({"x": ["ab", "c"], "z": ["d", "efg"], "y": [0, 1]})
    data = load(rows, input=["x", "z"], transform=lambda text: torch.tensor(len(text)))
    assert {name: int(value) for name, value in data[1][0].items()} == {"x": 1, "z": 3}
    with pytest.raises(DataError, match="give `transform`"):
        load(rows)[0]
    with pytest.raises(DataError, match="a dict is no tensor"):
        load(Rows({"x": [{}], "y": [0]}))[0]


def test_what_cannot_be_loaded(load: Any) -> None:
    """A loader's own error, an unknown column and missing targets are reported as such."""
    with pytest.raises(DataError, match="cannot load some/path"):
        load(ConnectionError("offline"))
    with pytest.raises(DataError, match="no column `xx`"):
        load(Rows({"x": [1], "y": [0]}), input="xx")
    with pytest.raises(DataError, match="1 missing values"):
        load(Rows({"x": [1, 2], "y": [0, None]}))


def test_local_files_through_the_package(tmp_path: Path) -> None:
    """A CSV file and a folder of images load through the package itself."""
    pytest.importorskip("datasets", reason="the extra `datasets` is not installed")
    path = tmp_path / "data.csv"
    path.write_text("x,y\n1.5,no\n2.5,yes\n")
    data = HuggingFaceData("csv", "x", "y", data_files=str(path), cache_dir=str(tmp_path / "cache"))
    assert data.classes == ("no", "yes")
    assert data[1][0].tolist() == 2.5
    image = pytest.importorskip("PIL.Image", reason="images need pillow")
    for label in ("cat", "dog"):
        (tmp_path / "images" / label).mkdir(parents=True)
        image.new("RGB", (6, 4)).save(tmp_path / "images" / label / "1.png")
    pictures = HuggingFaceData(
        "imagefolder", "image", "label", data_files=str(tmp_path / "images/**"), cache_dir=str(tmp_path / "cache")
    )
    assert pictures.classes == ("cat", "dog")
    assert pictures[0][0].shape == (3, 4, 6)
