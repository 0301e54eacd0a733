"""Folds: bit for bit those of scikit-learn, cut one after the other, and refused where the data has others."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sklearn.model_selection as sklearn_splitters
import torch
from torch.utils.data import Subset

from mlgym.components.data import (
    TableData,
    TensorData,
    balanced_class_weights,
    column_of,
    concat,
    encode_features,
    fold_split,
    folds,
    select,
    shuffle_folds,
    standardize,
    subset,
    table,
)
from mlgym.components.data.labels import num_samples_of
from mlgym.errors import DataError
from tests.components.data.lazy_data import LazyData

NUM_ROWS = 90
LABELS = np.array([0, 0, 0, 1, 1, 2] * 15)
GROUPS = np.array([f"patient {number // 4}" for number in range(NUM_ROWS)])


def make_data() -> TensorData:
    return TensorData(
        torch.arange(float(NUM_ROWS))[:, None],
        torch.from_numpy(LABELS),
        metadata={"patient": GROUPS, "row": np.arange(90)},
    )


def rows_of(data: Any) -> list[int]:
    return [int(data[place][0]) for place in range(len(data))]


def cut(splitter: Any, fold: int, part: str | None = "val") -> Any:
    return {"part": part, "folds": splitter, "fold": fold}


PAIRS: list[tuple[Any, Any]] = [
    (folds.KFold(folds=4, shuffle=False, seed=1), sklearn_splitters.KFold(4)),
    (folds.KFold(folds=4, seed=7), sklearn_splitters.KFold(4, shuffle=True, random_state=7)),
    (folds.KFold(folds=3, repeats=3, seed=7), sklearn_splitters.RepeatedKFold(n_splits=3, n_repeats=3, random_state=7)),
    (folds.StratifiedKFold(folds=5, seed=2), sklearn_splitters.StratifiedKFold(5, shuffle=True, random_state=2)),
    (
        folds.StratifiedKFold(folds=5, repeats=2, seed=2),
        sklearn_splitters.RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=2),
    ),
    (folds.GroupKFold(groups="patient", folds=4, shuffle=False, seed=0), sklearn_splitters.GroupKFold(4)),
    (
        folds.GroupKFold(groups="patient", folds=4, seed=3),
        sklearn_splitters.GroupKFold(4, shuffle=True, random_state=3),
    ),
    (
        folds.StratifiedGroupKFold(groups="patient", folds=4, seed=3),
        sklearn_splitters.StratifiedGroupKFold(4, shuffle=True, random_state=3),
    ),
    (folds.LeaveOneOut(folds=NUM_ROWS), sklearn_splitters.LeaveOneOut()),
    (folds.LeaveOneGroupOut(groups="patient", folds=23), sklearn_splitters.LeaveOneGroupOut()),
    (
        shuffle_folds.ShuffleSplit(folds=3, test_size=0.2, seed=5),
        sklearn_splitters.ShuffleSplit(3, test_size=0.2, random_state=5),
    ),
    (
        shuffle_folds.StratifiedShuffleSplit(folds=3, test_size=18, train_size=40, seed=5),
        sklearn_splitters.StratifiedShuffleSplit(3, test_size=18, train_size=40, random_state=5),
    ),
    (
        shuffle_folds.GroupShuffleSplit(groups="patient", folds=3, test_size=0.3, seed=5),
        sklearn_splitters.GroupShuffleSplit(3, test_size=0.3, random_state=5),
    ),
    (
        shuffle_folds.TimeSeriesSplit(folds=4, gap=2, test_size=10, max_train_size=30),
        sklearn_splitters.TimeSeriesSplit(4, gap=2, test_size=10, max_train_size=30),
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda one: type(one).__name__)
def test_folds_are_those_of_scikit_learn(ours: Any, theirs: Any) -> None:
    """Every fold has the same rows in the same order, and the number of folds is known without them."""
    groups = GROUPS if "Group" in type(theirs).__name__ else None
    expected = list(theirs.split(np.zeros((NUM_ROWS, 1)), LABELS, groups))
    assert ours.num_folds == len(expected)
    for number, (train, held_out) in enumerate(expected):
        parts = fold_split(make_data(), [cut(ours, number)])
        assert (rows_of(parts["train"]), rows_of(parts["val"])) == (train.tolist(), held_out.tolist())


@pytest.mark.parametrize(
    "column", [[0, 1, -1, 2, 0, 2], ["0", "1", "-1", "2", "0", "2"], [0.0, 1.0, -1.0, 2.0, 0.0, 2.0]]
)
def test_predefined_folds(column: list[Any]) -> None:
    """The values of a column in sorted order, numbers or texts; rows with -1 are always trained on."""
    data = TensorData(torch.arange(6.0)[:, None], torch.zeros(6), metadata={"fold": np.array(column)})
    expected = list(sklearn_splitters.PredefinedSplit([0, 1, -1, 2, 0, 2]).split())
    for number, (train, held_out) in enumerate(expected):
        parts = fold_split(data, [cut(folds.PredefinedFolds(column="fold", folds=3), number)])
        assert (rows_of(parts["train"]), rows_of(parts["val"])) == (train.tolist(), held_out.tolist())


def test_cuts_follow_each_other() -> None:
    """As in scikit-learn's nested cross validation, the inner splitter sees the outer training rows in their order."""
    outer, inner = (sklearn_splitters.StratifiedKFold(n, shuffle=True, random_state=4) for n in (3, 5))
    outer_train, outer_test = list(outer.split(LABELS, LABELS))[1]
    inner_train, inner_val = list(inner.split(outer_train, LABELS[outer_train]))[4]
    cuts = [
        cut(folds.StratifiedKFold(folds=3, seed=4), 1, "test"),
        cut(folds.StratifiedKFold(folds=5, seed=4), 4, "val"),
    ]
    parts = fold_split(make_data(), cuts)
    assert list(parts) == ["train", "test", "val"]
    assert rows_of(parts["test"]) == outer_test.tolist()
    assert rows_of(parts["val"]) == outer_train[inner_val].tolist()
    assert rows_of(parts["train"]) == outer_train[inner_train].tolist()
    without = fold_split(make_data(), [cut(folds.StratifiedKFold(folds=3, seed=4), 1, None), cuts[1]], rest="rest")
    assert rows_of(without.pop("rest")) == rows_of(parts["train"])
    assert list(without) == ["val"]


def test_data_that_is_not_in_memory() -> None:
    """Views are made, and no sample is read where labels are not needed."""
    data = LazyData(20)
    parts = fold_split(data, [cut(folds.KFold(folds=4, shuffle=False, seed=0), 3)])
    assert num_samples_of(parts["val"]) == 5
    assert not isinstance(parts["val"], TensorData)


def test_last_rows() -> None:
    """The latest part of a series, by share, rounded up, or by number."""
    for size, held_out in ((0.25, 23), (10, 10)):
        parts = fold_split(make_data(), [cut(shuffle_folds.LastRows(test_size=size), 0)])
        assert rows_of(parts["val"]) == list(range(NUM_ROWS - held_out, NUM_ROWS))
        assert rows_of(parts["train"]) == list(range(NUM_ROWS - held_out))


@pytest.mark.parametrize(
    ("splitter", "fold", "message"),
    [
        (folds.LeaveOneOut(folds=80), 0, "has `folds: 80`, but there are 90 rows; set `folds: 90`"),
        (folds.LeaveOneGroupOut(groups="patient", folds=4), 0, "but there are 23 groups in `patient`"),
        (folds.PredefinedFolds(column="row", folds=5), 0, "but there are 90 folds in `row`"),
        (folds.KFold(folds=4, seed=0), 4, "there is no fold 4; there are 4, numbered from 0"),
        (folds.KFold(folds=4, repeats=2, shuffle=False, seed=0), 0, "`repeats` needs `shuffle: true`"),
        (folds.GroupKFold(groups="pateint", folds=4, seed=0), 0, "no column `pateint`; did you mean `patient`"),
        (folds.GroupKFold(groups="patient", folds=40, seed=0), 0, "cannot be split into folds: .*number of groups: 23"),
        (shuffle_folds.LastRows(test_size=90), 0, "would hold out 90 of 90 rows"),
    ],
)
def test_folds_that_do_not_exist(splitter: Any, fold: int, message: str) -> None:
    """What the data does not have is refused with what to set."""
    with pytest.raises(DataError, match=message):
        fold_split(make_data(), [cut(splitter, fold)])


def test_columns_stay_with_their_rows(tmp_path: Any) -> None:
    """Whatever is done to a dataset, each row keeps its metadata; a model sees none of it."""
    file = tmp_path / "visits.csv"
    file.write_text("patient,age,colour,sick\n" + "".join(f"p{i // 2},{i},{'rg'[i % 2]},{i % 2}\n" for i in range(8)))
    data = table(str(file), "sick", metadata=["patient"])
    assert isinstance(data, TableData)
    assert data.features == ("age", "colour")
    parts = {"train": select(data, np.array([5, 0, 2])), "val": subset(data, first=2)}
    encoded = encode_features(parts)
    scaled = standardize(encoded)
    joined = concat([scaled["train"], scaled["val"]])
    assert column_of(joined, "patient").tolist() == ["p2", "p0", "p1", "p0", "p0"]
    assert isinstance(joined, TensorData)
    assert joined.features == ("age", "colour=g", "colour=r")
    assert column_of(Subset(joined, [1, 2]), "patient").tolist() == ["p0", "p1"]

    numbers = table(str(file), "sick", features=["age"], metadata=["patient", "colour"])
    assert column_of(numbers, "colour").tolist() == list("rg" * 4)


def test_columns_of_a_dataset_of_ones_own() -> None:
    """An attribute with a value for each sample is a column, also through views."""

    class Own(LazyData):
        patients = tuple(number // 2 for number in range(6))
        name = "own"

    assert column_of(select(Own(6), np.array([5, 0])), "patients").tolist() == [2, 0]
    with pytest.raises(DataError, match="no column `name`"):
        column_of(Own(6), "name")
    with pytest.raises(DataError, match=r"has the shape \(6,\), but there are 5 samples"):
        column_of(Own(5), "patients")


def test_class_weights_are_learned_from_the_part_given() -> None:
    """As scikit-learn's `balanced`; a class without a sample has no weight."""
    from sklearn.utils.class_weight import compute_class_weight

    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS).tolist()
    assert balanced_class_weights(make_data()) == expected
    with pytest.raises(DataError, match="class 1 has no sample"):
        balanced_class_weights(select(make_data(), np.array([0, 1, 5])))


def test_the_folds_of_repeats_differ() -> None:
    """Each repeat shuffles anew; within one, folds are disjoint."""
    data = make_data()
    held_out = [
        set(rows_of(fold_split(data, [cut(folds.KFold(folds=2, repeats=3, seed=1), number)])["val"]))
        for number in range(6)
    ]
    assert all(one.isdisjoint(other) for one, other in list(pairwise(held_out))[::2])
    assert len({frozenset(one) for one in held_out}) == 6
