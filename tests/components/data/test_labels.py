"""Labels of datasets of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from mlgym.components.data import (
    TensorData,
    balanced_class_weights,
    class_counts,
    data_loaders,
    labels_of,
    one_hot_targets,
    targets_of,
)
from mlgym.components.data.labels import classes_of, num_samples_of
from mlgym.components.data.views import ConcatView, InputView, SubsetView
from mlgym.errors import DataError


class Unreadable(Dataset[Any]):
    """Keeps labels and cannot be read."""

    def __init__(self, **kept: Any) -> None:
        self.__dict__.update(kept)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("no sample should be read")


class Plain(Dataset[Any]):
    """Keeps no labels, and draws a random number for each sample."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return torch.rand(2), index % 2


LABELS = [0, 1, 0, 1]


@pytest.mark.parametrize(
    "dataset",
    [
        TensorData(torch.ones(4, 2), torch.tensor(LABELS)),
        TensorDataset(torch.ones(4, 2), torch.tensor(LABELS)),
        Unreadable(targets=LABELS),
        Unreadable(targets=np.array(LABELS)),
        Unreadable(targets=torch.tensor(LABELS)),
        Unreadable(labels=LABELS),
        Unreadable(targets=torch.tensor(LABELS)[:, None]),
        Subset(Unreadable(targets=[1, 0, 1, 0]), [1, 0, 3, 2]),
        ConcatDataset([Subset(Unreadable(targets=LABELS), [0, 1]), Subset(Unreadable(targets=LABELS), [2, 3])]),
        SubsetView(Unreadable(targets=[1, 0, 1, 0]), torch.tensor([1, 0, 3, 2])),
        ConcatView([Subset(Unreadable(targets=LABELS), [0, 1]), Subset(Unreadable(targets=LABELS), [2, 3])]),
        InputView(Unreadable(targets=LABELS), lambda given: given, deterministic=True),
        Plain(),
    ],
    ids=lambda dataset: type(dataset).__name__,
)
def test_labels_are_found(dataset: Dataset[Any]) -> None:
    """Labels come from where the dataset keeps them, and only otherwise from its samples."""
    labels = labels_of(dataset)
    assert labels.dtype == np.int64
    assert labels.tolist() == LABELS


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (["cat", "dog"], ("cat", "dog")),
        (np.array(["cat", "dog"]), ("cat", "dog")),
        (torch.tensor([3, 7]), (3, 7)),
        # Not what they are called: how many there are, a text, nothing.
        (2, None),
        ("cat", None),
        ([], None),
        (None, None),
    ],
    ids=str,
)
def test_names_of_classes(classes: Any, names: tuple[Any, ...] | None) -> None:
    """However a dataset keeps them, all that looks at them takes it: loaders, operations, weights and counts."""
    dataset = Unreadable(targets=LABELS, classes=classes)
    assert classes_of(dataset) == classes_of(Subset(dataset, [0])) == names
    data_loaders({"train": dataset, "val": SubsetView(dataset, torch.tensor([0]))}, 2, seed=0)
    assert balanced_class_weights(dataset) == [1.0, 1.0]
    assert list(class_counts(dataset) or ()) == [str(name) for name in names or (0, 1)]
    assert targets_of(one_hot_targets(dataset)).shape == (4, 2)


def test_names_of_classes_are_no_labels() -> None:
    """An attribute `labels` of another length is ignored."""

    class WithNames(Plain):
        labels = ("even", "odd")

    assert labels_of(WithNames()).tolist() == LABELS


def test_reading_leaves_generators_alone() -> None:
    """Finding labels by reading draws random numbers but puts the generators back."""
    before = torch.get_rng_state()
    labels_of(Plain())
    assert torch.equal(before, torch.get_rng_state())


def test_named_targets_are_picked() -> None:
    """One of several targets is found by name, also through a view."""
    data = TensorData(torch.ones(2, 1), {"a": torch.tensor([0, 1]), "b": torch.tensor([2, 3])})
    assert labels_of(data, "b").tolist() == [2, 3]
    assert labels_of(SubsetView(data, torch.tensor([1])), "b").tolist() == [3]
    with pytest.raises(DataError, match="several targets"):
        labels_of(data)
    with pytest.raises(DataError, match="did you mean"):
        labels_of(TensorData(torch.ones(1, 1), {"colour": torch.ones(1)}), "color")


def test_values_are_no_labels() -> None:
    """Targets of a regression are refused with their shape and type."""
    with pytest.raises(DataError, match="float32"):
        labels_of(TensorData(torch.ones(3, 1), torch.ones(3, 1)))
    assert targets_of(TensorData(torch.ones(3, 1), torch.ones(3, 1))).shape == (3, 1)


def test_no_samples_have_no_labels() -> None:
    """Where nobody knows their type, that is said, not a wrong type; an empty part of a split has its labels, none."""
    with pytest.raises(DataError, match="`ConcatDataset` has no samples"):
        labels_of(ConcatDataset([TensorData(torch.ones(0, 1), torch.ones(0))]))
    assert labels_of(Subset(Plain(), [])).shape == (0,)


def test_dataset_without_length() -> None:
    """A dataset that can only be iterated is refused."""

    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter([])

    with pytest.raises(DataError, match="`Stream` has no length"):
        num_samples_of(Stream())


def test_sample_that_is_no_pair() -> None:
    """Samples without a target are refused."""

    class Triples(Plain):
        def __getitem__(self, index: int) -> Any:
            return 1, 2, 3

    with pytest.raises(DataError, match="3 values"):
        labels_of(Triples())
