"""Random splits, plain and stratified."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgym.components.data import TensorData, labels_of, random_split, stratified_split
from mlgym.components.data.labels import num_samples_of
from mlgym.components.data.splits import round_shares
from mlgym.config import check, load
from mlgym.errors import ConfigError, DataError
from tests.components.data.lazy_data import LazyData, inputs_of


def make_data(labels: Any) -> TensorData:
    labels = torch.as_tensor(labels)
    return TensorData(torch.arange(float(len(labels)))[:, None], labels)


@pytest.mark.parametrize("split", [random_split, stratified_split])
@pytest.mark.parametrize("data", [make_data([0, 1] * 11), LazyData(22)], ids=["memory", "lazy"])
def test_parts_are_disjoint_and_whole(split: Any, data: Any) -> None:
    """Together the parts have every sample once; in-memory data stays in memory; the seed decides."""
    parts = split(data, {"train": 0.5, "val": 0.3, "test": 0.2}, seed=4)
    assert [len(part) for part in parts.values()] == [11, 7, 4]
    assert sorted(value for part in parts.values() for value in inputs_of(part)) == list(range(22))
    assert isinstance(parts["val"], TensorData) == isinstance(data, TensorData)
    again = split(data, {"train": 0.5, "val": 0.3, "test": 0.2}, seed=4)
    other = split(data, {"train": 0.5, "val": 0.3, "test": 0.2}, seed=5)
    assert inputs_of(parts["train"]) == inputs_of(again["train"])
    assert inputs_of(parts["train"]) != inputs_of(other["train"])


def test_counts_instead_of_fractions() -> None:
    """Whole numbers are numbers of samples, and must be all of them."""
    parts = random_split(make_data([0] * 10), {"train": 7, "val": 3}, seed=1)
    assert [num_samples_of(part) for part in parts.values()] == [7, 3]
    assert num_samples_of(random_split(make_data([0] * 10), {"all": 1}, seed=1)["all"]) == 10


@pytest.mark.parametrize("fractions", [{"a": 0.7, "b": 0.2}, {"a": 7, "b": 2}, {"a": 0.7, "b": 3}, {}])
def test_shares_that_do_not_add_up(fractions: Any) -> None:
    """Shares that sum to something else are refused."""
    with pytest.raises(DataError, match="fractions"):
        random_split(make_data([0] * 10), fractions, seed=1)


@pytest.mark.parametrize(
    ("fractions", "told"),
    [
        ({"train": 0.7, "val": 0.2}, "of the dataset, but train 0.7 + val 0.2 is 0.9"),
        ({"train": 0.7, "val": 3}, "but train 0.7 + val 3 is 3.7"),
        ({"train": 0.7, "val": 0.3}, None),
        ({"train": 1, "val": 0}, None),
        # Whether these are all samples only the data shows.
        ({"train": 7, "val": 2}, None),
    ],
)
def test_shares_that_never_add_up_are_told_when_a_config_is_checked(fractions: Any, told: str | None) -> None:
    """Before any data is read, with the place in the config."""
    for name in ("random_split", "stratified_split"):
        split = {"use": name, "dataset": {"use": "digits"}, "fractions": fractions}
        config = {"version": 1, "components": {"split": split}, "experiment": {"use": "data_loaders"}}
        with pytest.raises(ConfigError) as caught:
            check(load(config))
        said = [fault.message for fault in caught.value.faults if fault.path == "components.split.fractions"]
        assert len(said) == (told is not None)
        assert all(one.endswith(str(told)) for one in said)


def test_largest_remainders_are_rounded_up() -> None:
    """3 of 10 samples for thirds: ties go to the first; binary fractions do not decide."""
    assert round_shares(10, np.array([1 / 3, 1 / 3, 1 / 3])).tolist() == [4, 3, 3]
    assert round_shares(10, np.array([0.7, 0.2, 0.1])).tolist() == [7, 2, 1]
    assert round_shares(5, np.array([0.55, 0.45])).tolist() == [3, 2]


def test_each_class_has_its_share() -> None:
    """Of 90 and 10 samples, 0.7 and 0.3 are 63 and 7, 27 and 3."""
    parts = stratified_split(make_data([0] * 90 + [1] * 10), {"train": 0.7, "val": 0.3}, seed=1)
    assert np.bincount(labels_of(parts["train"])).tolist() == [63, 7]
    assert np.bincount(labels_of(parts["val"])).tolist() == [27, 3]


def test_plain_split_does_not_keep_shares() -> None:
    """Control: without stratification the rare class is spread by chance."""
    rare = [int(labels_of(random_split(make_data([0] * 90 + [1] * 10), {"a": 0.7, "b": 0.3}, seed=s)["a"]).sum())
            for s in range(20)]  # fmt: skip
    assert len(set(rare)) > 1


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.lists(st.integers(0, 20), min_size=1, max_size=5).filter(any),
    st.integers(0, 3),
)
def test_rounding_is_exact_in_both_directions(counts: list[int], weights: list[int], seed: int) -> None:
    """For any classes and shares: cells are shares to within one, and parts have the sizes of the plain split."""
    shares = np.array(weights) / sum(weights)
    data = make_data(np.repeat(np.arange(len(counts)), counts))
    parts = stratified_split(data, {str(i): float(share) for i, share in enumerate(shares)}, seed=seed)
    for share, part in zip(shares, parts.values(), strict=True):
        cells = np.bincount(labels_of(part), minlength=len(counts))
        assert (np.abs(cells - share * np.array(counts)) < 1 + 1e-6).all()
    sizes = [num_samples_of(part) for part in parts.values()]
    assert sizes == round_shares(sum(counts), shares).tolist()


def test_views_of_views_stay_flat() -> None:
    """A split of a split indexes the dataset itself and keeps its labels without reading it."""
    data = LazyData(20)
    outer: Any = random_split(data, {"a": 0.5, "b": 0.5}, seed=1)["a"]
    inner: Any = stratified_split(outer, {"a": 0.5, "b": 0.5}, seed=1)["b"]
    assert inner.dataset is data
    assert data.num_reads == 0
    assert labels_of(inner).tolist() == [int(value) % 2 for value in inputs_of(inner)]
