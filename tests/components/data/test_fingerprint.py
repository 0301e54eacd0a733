"""Fingerprints of data and of the order of samples: equal for equal samples, however they are held; else different."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import data as torch_data
from torch.utils.data import DataLoader, Dataset

from mlgym.components.data import (
    HuggingFaceData,
    ImageFolder,
    Order,
    TableData,
    TensorData,
    TensorLoader,
    WorkerLoader,
    as_loader,
    augment,
    concat,
    digits,
    map_labels,
    subset,
)
from mlgym.components.data.fingerprint import Fingerprint, fingerprint, order_digest
from mlgym.components.data.views import ConcatView, SubsetView
from tests.components.data.lazy_data import LazyData


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Samples(Dataset[Any]):
    """Any samples, without a word about them."""

    def __init__(self, samples: list[Any]) -> None:
        self.samples = samples
        self.num_reads = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        self.num_reads += 1
        return self.samples[index]


def data(num_samples: int = 6, *, change: int | None = None) -> TensorData:
    inputs = torch.arange(num_samples * 3, dtype=torch.float32).view(-1, 3)
    if change is not None:
        inputs[change, 1] = torch.nextafter(inputs[change, 1], torch.tensor(1e9))
    return TensorData(inputs, torch.arange(num_samples) % 2)


def sha256(dataset: Any, **limits: int) -> str:
    found = fingerprint(dataset, **limits)
    assert found is not None
    return found.sha256


def test_equal_samples_have_equal_fingerprints() -> None:
    """In memory, as torch's dataset, read one by one, as views, joined, or behind a loader: one hash."""
    whole: Any = data()
    one_by_one = Samples([whole[index] for index in range(6)])
    halves = [subset(whole, indices=[0, 1, 2]), Samples([whole[index] for index in (3, 4, 5)])]
    assert isinstance(concat(halves), ConcatView)
    same: list[Any] = [
        whole,
        torch_data.TensorDataset(whole.inputs, whole.targets),
        one_by_one,
        Samples([(sample.numpy(), int(target)) for sample, target in one_by_one.samples]),
        SubsetView(one_by_one, torch.arange(6)),
        torch_data.Subset(torch_data.Subset(whole, [5, 4, 3, 2, 1, 0]), [5, 4, 3, 2, 1, 0]),
        concat(halves),
        torch_data.ConcatDataset([whole.select(torch.tensor([0])), torch_data.Subset(whole, range(1, 6))]),
        TensorLoader(whole, Order(6, "random", 3), batch_size=2),
        WorkerLoader(one_by_one, Order(6), batch_size=2, seed=0),
        as_loader(DataLoader(whole, batch_size=3)),
    ]
    assert {fingerprint(each) for each in same} == {Fingerprint(sha256(whole), 6, "all")}


def test_the_hash_is_stable() -> None:
    """It is the same in another process: a stored fingerprint can be compared years later."""
    code = (
        "from mlgym.components.data import digits; from mlgym.components.data.fingerprint import fingerprint as f;"
        "print(f(digits()).sha256)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert sha256(digits()) == done.stdout.strip()
    assert sha256(data()) == "559e137f9e141f9ae9a0c48f5c0eaa0eb12fec3bf6de4170a7864b9567863dfd"


@pytest.mark.parametrize(
    "other",
    [
        data(change=5),
        data(7),
        data().select(torch.tensor([1, 0, 2, 3, 4, 5])),
        data().replace(targets=torch.tensor([0, 1, 0, 1, 0, 0])),
        data().replace(targets=(torch.arange(6) % 2).int()),
        data().replace(inputs=torch.arange(18, dtype=torch.float64).view(-1, 3)),
        data().replace(inputs=torch.arange(18, dtype=torch.float32).view(-1, 1, 3)),
        data().replace(inputs={"a": torch.arange(18, dtype=torch.float32).view(-1, 3)}),
        torch_data.Subset(data(), [0, 1, 2, 3, 5, 4]),
    ],
    ids=["last bit", "one more", "order", "target", "target dtype", "dtype", "shape", "name", "order of a view"],
)
def test_another_sample_gives_another_fingerprint(other: Any) -> None:
    """One element, one type, the shape, a name or the order: each shows."""
    assert sha256(other) != sha256(data())


@dataclass
class Point:
    x: float
    y: str


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"text": "a", "n": 1}, {"text": "b", "n": 1}),
        (("ab", "c"), ("a", "bc")),
        (Point(1.0, "a"), Point(1.0, "b")),
        ([None, 1], [1, None]),
        (b"ab", "ab"),
        (2**70, 2**70 + 1),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.float16)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
    ],
    ids=["mapping", "texts", "dataclass", "none", "bytes", "large number", "bfloat16", "ragged"],
)
def test_samples_of_any_form(one: Any, other: Any) -> None:
    """Mappings, texts, dataclasses, None, tensors of changing shapes: equal ones agree, others don't."""
    assert sha256(Samples([one, other])) == sha256(Samples([one, other]))
    assert sha256(Samples([one, other])) != sha256(Samples([other, one]))


def test_a_subclass_that_reads_otherwise_is_read() -> None:
    """A dataset derived from one in memory may give other samples than its tensors: these count."""

    class Doubled(torch_data.TensorDataset):
        def __getitem__(self, index: int) -> Any:
            return self.tensors[0][index] * 2, self.tensors[1][index]

    held: Any = data()
    assert sha256(Doubled(held.inputs, held.targets)) == sha256(held.replace(inputs=held.inputs * 2))


def test_tables() -> None:
    """A table is hashed by columns, the same as row by row; a changed category or gap shows."""

    def made(*names: str | None) -> TableData:
        numbers = {"age": torch.tensor([1.0, float("nan"), 3.0])}
        column = np.array(names, dtype=object)
        return TableData(numbers, {"name": column}, torch.tensor([0, 1, 0]), features=["age", "name"])

    table = made("a", None, "c")
    assert sha256(table) == sha256(Samples([table[index] for index in range(3)]))
    assert sha256(torch_data.Subset(table, [2, 0])) == sha256(table.select(torch.tensor([2, 0])))
    assert sha256(table) != sha256(made("a", "", "c"))


def test_large_data_is_sampled_evenly() -> None:
    """Beyond the limit only some samples are read, the first and the last among them, and it says so."""
    lazy = Samples([LazyData(1000)[index] for index in range(1000)])
    found = fingerprint(lazy, max_samples=10)
    assert (found.covers, found.num_samples, lazy.num_reads) == ("sampled", 1000, 10) if found else False
    large, limit = data(1000), 50 * (3 * 4 + 8)
    sampled = fingerprint(large, max_bytes=limit)
    assert (sampled.covers, sampled.num_samples) == ("sampled", 1000) if sampled else False
    assert sha256(data(1000, change=999), max_bytes=limit) != sha256(large, max_bytes=limit)
    assert sha256(data(1000, change=1), max_bytes=limit) == sha256(large, max_bytes=limit)
    assert sha256(data(1000, change=1)) != sha256(large)


class Noisy(Dataset[Any]):
    """Each sample is drawn from all three global generators."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[float, float, torch.Tensor]:
        return random.random(), np.random.random(), torch.rand(2)


def test_random_data_repeats_and_disturbs_nothing() -> None:
    """A dataset that draws from the global generators is read with the same draws, and these are put back."""
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.random(), torch.rand(2).tolist()
    first = sha256(Noisy())
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert sha256(Noisy()) == first
    assert (random.random(), np.random.random(), torch.rand(2).tolist()) == expected


def test_augmentation_is_no_data() -> None:
    """Data under `augment` has the fingerprint of the data: what is drawn is code and seed."""
    assert sha256(augment(data(), lambda given: given + torch.rand(3))) == sha256(data())


def test_no_fingerprint_without_samples(caplog: pytest.LogCaptureFixture) -> None:
    """Data that only can be iterated, that fails, or that holds no data: None, and a warning that says why."""

    class Stream(torch_data.IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(range(3))

    class Broken(LazyData):
        def __getitem__(self, index: int) -> Any:
            raise ValueError(f"sample {index} is broken")

    cases: list[tuple[Any, str]] = [
        (Stream(), "has no length"),
        (Broken(), "sample 0 is broken"),
        (Samples([object()]), "`sample` is a object"),
        (as_loader([torch.zeros(2)]), "does not say which dataset"),
    ]
    for dataset, reason in cases:
        caplog.clear()
        assert fingerprint(dataset) is None
        assert reason in caplog.text


def test_an_empty_dataset() -> None:
    """No samples are samples too."""
    found = fingerprint(data(0))
    assert found is not None
    assert (found.num_samples, found.covers) == (0, "all")


class OneFileEach(LazyData):
    """Reads nothing: its samples are told by files."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__(len(paths))
        self.paths = paths

    def sample_files(self) -> Any:
        from mlgym.components.data.file_hashes import SampleFiles

        return SampleFiles(self.paths, one_each=True, read_as="bytes")


def test_data_in_files_is_told_by_their_content(tmp_path: Path) -> None:
    """No sample is read; name and place of a file do not count, its content, the order and the labels do."""

    def files(*texts: str, folder: str) -> list[Path]:
        (tmp_path / folder).mkdir()
        paths = [tmp_path / folder / f"{folder}{number}" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return paths

    first = OneFileEach(files("a", "b", "c", folder="one"))
    assert sha256(first) == sha256(OneFileEach(files("a", "b", "c", folder="two")))
    assert sha256(first) != sha256(OneFileEach(files("a", "b", "x", folder="three")))
    assert first.num_reads == 0
    chosen = subset(first, indices=[2, 0])
    assert sha256(chosen) == sha256(torch_data.Subset(torch_data.Subset(first, [0, 2]), [1, 0]))
    assert sha256(chosen) != sha256(subset(first, indices=[0, 2]))
    assert sha256(concat([chosen, subset(first, indices=[1])])) == sha256(subset(first, indices=[2, 0, 1]))
    assert sha256(augment(first, lambda given: given)) == sha256(first)
    assert sha256(map_labels(first, {0: 1, 1: 0})) != sha256(first)


def test_image_folder(tmp_path: Path) -> None:
    """Images are not decoded; a changed pixel shows, and so does another size to scale them to."""
    image = pytest.importorskip("PIL.Image", reason="`image_folder` needs pillow")
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / label / "1.png")
    before = sha256(ImageFolder(str(tmp_path), 4))
    assert before != sha256(ImageFolder(str(tmp_path), 8))
    image.new("RGB", (4, 4), (9, 9, 8)).save(tmp_path / "dog" / "1.png")
    assert before != sha256(ImageFolder(str(tmp_path), 4))


def test_hugging_face(tmp_path: Path) -> None:
    """Rows of Arrow files are told by these files, the split and the columns."""
    datasets = pytest.importorskip("datasets", reason="`hugging_face` needs the package `datasets`")
    del datasets
    table = tmp_path / "data.csv"
    table.write_text("x,y\n" + "".join(f"{number},{number % 2}\n" for number in range(10)))

    def made(split: str, cache: str) -> HuggingFaceData:
        return HuggingFaceData("csv", "x", "y", split=split, data_files=str(table), cache_dir=str(tmp_path / cache))

    assert sha256(made("train", "a")) == sha256(made("train", "b"))
    assert sha256(made("train[:50%]", "a")) != sha256(made("train[50%:]", "a"))
    before = sha256(made("train", "a"))
    table.write_text(table.read_text().replace("9,1", "8,1"))
    assert sha256(made("train", "c")) != before


def loaders(dataset: TensorData, order: Order, *, drop_last: bool = False) -> list[Any]:
    return [
        TensorLoader(dataset, order, batch_size=4, drop_last=drop_last),
        WorkerLoader(dataset, order, batch_size=4, seed=0, drop_last=drop_last),
    ]


@pytest.mark.parametrize("sampler", ["random", "sequential", "weighted_random"])
def test_the_order_is_what_is_seen(sampler: Any) -> None:
    """Loaders say exactly the samples that their batches hold, in that order, with and without the last batch."""
    held = TensorData(torch.arange(10), torch.zeros(10, dtype=torch.int64))
    order = Order(10, sampler, 3, np.ones(10) if sampler == "weighted_random" else None)
    for drop_last in (False, True):
        for loader in loaders(held, order, drop_last=drop_last):
            seen = torch.cat([inputs for inputs, _ in loader.epoch(1)])
            assert loader.sample_order(1).tolist() == seen.tolist()


def test_order_digests() -> None:
    """Equal for equal orders, whichever loader; different for another epoch, seed, batch or number of batches."""
    held = data(10)
    fast, slow = loaders(held, Order(10, "random", 3))
    assert order_digest(fast, 0) == order_digest(slow, 0)
    other = TensorLoader(held, Order(10, "random", 4), batch_size=4)
    digests: list[Callable[[], str | None]] = [
        lambda: order_digest(fast, 0),
        lambda: order_digest(fast, 1),
        lambda: order_digest(other, 0),
        lambda: order_digest(fast, 0, 2),
        lambda: order_digest(fast, 0, 2, 1),
        lambda: order_digest(fast, 0, 5),
    ]
    assert len({digest() for digest in digests}) == len(digests)


def test_order_digest_of_steps_across_passes() -> None:
    """Batches beyond one pass over the data are those of the next: the same indices as pass by pass."""
    import hashlib

    (fast, _) = loaders(data(10), Order(10, "random", 3))
    passes = [Order(10, "random", 3).indices(epoch) for epoch in (2, 3, 4)]
    expected = np.concatenate([passes[0][8:], passes[1], passes[2][:4]])
    assert order_digest(fast, 2, 5, 2) == hashlib.sha256(expected.astype("<i8").tobytes()).hexdigest()


def test_an_unknown_order_has_no_digest() -> None:
    """A loader of the user's own does not say its order."""
    assert order_digest(as_loader([torch.zeros(2)]), 0) is None
