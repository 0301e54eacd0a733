"""Operations on any dataset."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from mlgym.components.data import (
    TableData,
    TensorData,
    augment,
    concat,
    filter_labels,
    in_memory,
    labels_of,
    map_labels,
    one_hot_targets,
    shuffle,
    subset,
)
from mlgym.components.data.labels import num_samples_of
from mlgym.errors import DataError
from tests.components.data.lazy_data import LazyData, inputs_of


def make_data(num_samples: int = 10, num_classes: int = 2) -> TensorData:
    return TensorData(
        torch.arange(float(num_samples))[:, None], torch.arange(num_samples) % num_classes, classes=["even", "odd"]
    )


BOTH = pytest.mark.parametrize("data", [make_data(), LazyData()], ids=["memory", "lazy"])


@BOTH
def test_subset(data: Any) -> None:
    """By indices, by number, by share; in memory stays in memory."""
    assert inputs_of(subset(data, indices=[7, 2])) == [7, 2]
    assert inputs_of(subset(data, first=3)) == [0, 1, 2]
    assert inputs_of(subset(data, fraction=0.25)) == [0, 1]
    assert num_samples_of(subset(data, first=99)) == 10
    assert isinstance(subset(data, first=3), TensorData) == isinstance(data, TensorData)


@pytest.mark.parametrize("given", [{}, {"first": 1, "fraction": 0.5}, {"indices": [10]}])
def test_subset_that_says_nothing_or_too_much(given: Any) -> None:
    """Exactly one way to choose, and only samples that exist."""
    with pytest.raises(DataError):
        subset(make_data(), **given)


@BOTH
def test_shuffle_is_a_permutation(data: Any) -> None:
    """All samples in an order that the seed decides."""
    assert sorted(inputs_of(shuffle(data, seed=1))) == list(range(10))
    assert inputs_of(shuffle(data, seed=1)) == inputs_of(shuffle(data, seed=1)) != inputs_of(shuffle(data, seed=2))


def test_concat() -> None:
    """Samples follow each other, labels too, of data in memory and of any other."""
    joined = concat([make_data(3), make_data(2)])
    assert isinstance(joined, TensorData)
    assert joined.classes == ("even", "odd")
    assert inputs_of(joined) == [0, 1, 2, 0, 1]
    mixed: Any = concat([make_data(3), LazyData(2)])
    assert inputs_of(mixed) == [0, 1, 2, 0, 1]
    assert labels_of(mixed).tolist() == [0, 1, 0, 0, 1]
    assert mixed.deterministic
    assert float(mixed[-1][0][0]) == 1
    with pytest.raises(IndexError, match="5 of 5"):
        mixed[5]


def test_concat_of_different_shapes_stays_lazy() -> None:
    """Tensors that cannot be joined are shown one after the other."""
    other = TensorData(torch.ones(2, 7), torch.tensor([1, 1]))
    assert not isinstance(concat([make_data(), other]), TensorData)


@pytest.mark.parametrize("datasets", [[], [TableData({}, {}, torch.ones(2), features=[])]], ids=["none", "table"])
def test_concat_refuses(datasets: Any) -> None:
    """Nothing, and tables that are not encoded, cannot be joined."""
    with pytest.raises(DataError):
        concat(datasets)


@BOTH
def test_filter_labels(data: Any) -> None:
    """Only samples of the named classes are kept, with their numbers."""
    kept = filter_labels(data, [1])
    assert inputs_of(kept) == [1, 3, 5, 7, 9]
    assert set(labels_of(kept).tolist()) == {1}
    with pytest.raises(DataError, match="there are 0, 1"):
        filter_labels(data, [5])


@BOTH
def test_map_labels(data: Any) -> None:
    """Classes get other numbers; each that occurs needs one."""
    mapped = map_labels(data, {0: 7, 1: 3})
    assert labels_of(mapped).tolist() == [7, 3] * 5
    assert int(mapped[1][1]) == 3
    assert inputs_of(mapped) == list(range(10))
    with pytest.raises(DataError, match=r"no entry for the labels \[1\]"):
        map_labels(data, {0: 1})


@BOTH
def test_one_hot_targets(data: Any) -> None:
    """Float32 rows with a single 1."""
    encoded = one_hot_targets(data)
    assert encoded[3][1].tolist() == [0.0, 1.0]
    assert encoded[3][1].dtype == torch.float32
    assert one_hot_targets(data, 4)[2][1].tolist() == [1.0, 0.0, 0.0, 0.0]
    with pytest.raises(DataError, match=r"in \[0, 1\)"):
        one_hot_targets(data, 1)


def test_one_hot_targets_counts_named_classes() -> None:
    """A part that lacks the last class still gets a place for it."""
    assert one_hot_targets(filter_labels(make_data(), [0]))[0][1].tolist() == [1.0, 0.0]


def test_one_of_several_targets() -> None:
    """Of named targets only the one that is meant changes."""
    data = TensorData(torch.ones(2, 1), {"a": torch.tensor([0, 1]), "b": torch.tensor([0, 0])})
    changed = map_labels(data, {0: 5, 1: 6}, target="a")
    assert changed[1][1] == {"a": torch.tensor(6), "b": torch.tensor(0)}


def test_operations_read_no_sample() -> None:
    """Choosing and relabelling look at labels alone."""
    data = LazyData()
    map_labels(filter_labels(shuffle(subset(concat([data, data]), first=12), seed=1), [0]), {0: 1})
    assert data.num_reads == 0


def test_in_memory() -> None:
    """A dataset becomes tensors; each sample is read once."""
    data = LazyData()
    loaded = in_memory(data, seed=1)
    assert isinstance(loaded.inputs, torch.Tensor)
    assert loaded.inputs.shape == (10, 2)
    assert labels_of(loaded).tolist() == [0, 1] * 5
    assert data.num_reads == 10
    assert in_memory(loaded, seed=1) is loaded


def test_in_memory_of_mappings() -> None:
    """Named inputs and targets keep their names."""

    class Named(LazyData):
        def __getitem__(self, index: int) -> Any:
            return {"x": torch.ones(3)}, {"y": index, "z": 0.5}

    loaded = in_memory(Named(), seed=1)
    assert loaded[3][1]["y"] == 3
    assert loaded[0][0]["x"].shape == (3,)


def test_in_memory_is_seeded() -> None:
    """What draws while it is read gives the same data for the same seed, and leaves the generators alone."""

    class Random(LazyData):
        deterministic = False

        def __getitem__(self, index: int) -> Any:
            return torch.rand(2), 0

    before = torch.get_rng_state()
    drawn: list[Any] = [in_memory(Random(), seed=seed).inputs for seed in (1, 1, 2)]
    one, other, third = drawn
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


class Shapeless(LazyData):
    def __getitem__(self, index: int) -> Any:
        return torch.ones(index), 0


class Single(LazyData):
    def __getitem__(self, index: int) -> Any:
        return torch.ones(2)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (Shapeless(), "do not fit"),
        (Single(), "must be"),
        (LazyData(0), "without samples"),
        (augment(LazyData(), torch.relu), "freeze"),
    ],
    ids=["shapes", "single", "empty", "augmented"],
)
def test_in_memory_refuses(data: Dataset[Any], text: str) -> None:
    """What is no table of tensors is refused with the reason."""
    with pytest.raises(DataError, match=text):
        in_memory(data, seed=1)


def test_named_target_of_lazy_data() -> None:
    """One of several targets of data that is not in memory cannot be changed."""

    class Named(LazyData):
        def __init__(self) -> None:
            super().__init__()
            self.targets = {"y": self.targets}  # type: ignore[assignment]  # by name

        def __len__(self) -> int:
            return 10

    with pytest.raises(DataError, match="in_memory"):
        map_labels(Named(), {0: 1, 1: 0}, target="y")
