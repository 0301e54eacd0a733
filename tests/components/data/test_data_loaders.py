"""The component that makes the loaders of all splits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from mlgym.components.data import TableData, TensorData, TensorLoader, WorkerLoader, data_loaders
from mlgym.errors import DataError


def make_data(num_samples: int = 20) -> TensorData:
    return TensorData(torch.arange(float(num_samples))[:, None], torch.arange(num_samples) % 2)


class Lazy(Dataset[Any]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return torch.ones(3), index


def order_of(loader: Any, epoch: int = 0) -> list[float]:
    return [value for inputs, _ in loader.epoch(epoch) for value in inputs[:, 0].tolist()]


def test_training_is_shuffled_and_evaluation_is_not() -> None:
    """By default only `train` is drawn at random."""
    loaders = data_loaders({"train": make_data(), "val": make_data()}, 8, seed=1)
    assert list(loaders) == ["train", "val"]
    assert order_of(loaders["val"]) == list(range(20))
    assert order_of(loaders["train"]) != list(range(20))
    assert order_of(loaders["train"], 0) != order_of(loaders["train"], 1)


def test_kinds_of_loaders() -> None:
    """Tensors in memory take the fast path unless a collation or the config says otherwise."""
    pair = TensorDataset(torch.ones(5, 2), torch.ones(5))
    loaders = data_loaders({"train": make_data(), "torch": pair, "lazy": Lazy()}, 4, seed=1)
    assert [type(loader) for loader in loaders.values()] == [TensorLoader, TensorLoader, WorkerLoader]
    assert type(data_loaders({"train": make_data()}, 4, seed=1, fast_path=False)["train"]) is WorkerLoader
    assert type(data_loaders({"train": make_data()}, 4, seed=1, collate=list)["train"]) is WorkerLoader


def test_fast_path_gives_the_same_batches() -> None:
    """With and without the fast path the batches have the same bits."""
    fast = data_loaders({"train": make_data()}, 8, seed=1)["train"]
    slow = data_loaders({"train": make_data()}, 8, seed=1, fast_path=False)["train"]
    for one, other in zip(fast.epoch(2), slow.epoch(2), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_collation_by_the_user() -> None:
    """A collation gets the list of samples."""
    loaders = data_loaders({"val": make_data(5)}, 4, seed=1, collate=len)
    assert list(loaders["val"].epoch(0)) == [4, 1]


def test_batch_size_for_each_split() -> None:
    """One size for all or one for each; a split without one is an error."""
    datasets: dict[str, Any] = {"train": make_data(), "val": make_data()}
    loaders = data_loaders(datasets, {"train": 5, "val": 20}, seed=1)
    assert [len(loader) for loader in loaders.values()] == [4, 1]
    with pytest.raises(DataError, match="no entry for the split val"):
        data_loaders(datasets, {"train": 5}, seed=1)
    with pytest.raises(DataError, match="did you mean `val`"):
        data_loaders(datasets, {"train": 5, "val": 2, "vall": 3}, seed=1)


def test_drop_last_concerns_training_alone() -> None:
    """Evaluation sees every sample."""
    loaders = data_loaders({"train": make_data(), "val": make_data()}, 8, seed=1, drop_last=True)
    assert [loader.num_samples for loader in loaders.values()] == [16, 20]


def test_shuffled_splits_have_their_own_streams() -> None:
    """Two shuffled splits of one size have different orders."""
    loaders = data_loaders({"train": make_data(), "extra": make_data()}, 8, seed=1, shuffle=("train", "extra"))
    assert order_of(loaders["train"]) != order_of(loaders["extra"])


def test_sequential_training() -> None:
    """`sampler: sequential` keeps the order, also of `train`."""
    loader = data_loaders({"train": make_data()}, 8, seed=1, sampler="sequential")["train"]
    assert order_of(loader) == list(range(20))


def test_weighted_sampling_balances_classes() -> None:
    """A rare class is drawn as often as a frequent one."""
    data = TensorData(torch.ones(1000, 1), (torch.arange(1000) < 50).long())
    loader = data_loaders({"train": data}, 100, seed=1, sampler="weighted_random")["train"]
    drawn = torch.cat([targets for epoch in range(5) for _, targets in loader.epoch(epoch)])
    assert float(drawn.float().mean()) == pytest.approx(0.5, abs=0.03)
    several = TensorData(torch.ones(1000, 1), {"size": torch.ones(1000), "kind": torch.arange(1000) < 50})
    named = data_loaders({"train": several}, 100, seed=1, sampler="weighted_random", target="kind")["train"]
    assert torch.cat([targets["kind"] for _, targets in named.epoch(0)]).tolist() == drawn[:1000].bool().tolist()
    with pytest.raises(DataError, match=r"several targets .size, kind.; say which one with `target: NAME`"):
        data_loaders({"train": several}, 100, seed=1, sampler="weighted_random")
    values = TensorData(torch.ones(3, 1), torch.ones(3, 1))
    with pytest.raises(DataError, match="one class index"):
        data_loaders({"train": values}, 1, seed=1, sampler="weighted_random")


@pytest.mark.parametrize(
    ("datasets", "options", "text"),
    [
        ({"val": TensorData(torch.ones(0, 1), torch.ones(0))}, {}, "`val` has no samples"),
        ({"train": make_data(3)}, {"drop_last": True}, "no batch is left"),
        ({"train": make_data()}, {"shuffle": ("trian",)}, "did you mean `train`"),
        ({"train": TableData({}, {"c": []}, torch.ones(2), features=["c"])}, {}, "encode_features"),  # type: ignore[dict-item]  # no loader
    ],
    ids=["empty", "drop_last", "shuffle", "table"],
)
def test_what_cannot_be_loaded(datasets: Any, options: Any, text: str) -> None:
    """Each mistake is named with the split and the way out."""
    with pytest.raises(DataError, match=text):
        data_loaders(datasets, 8, seed=1, **options)


def test_no_training_split_is_fine() -> None:
    """The default of `shuffle` does not ask for a split `train`."""
    assert order_of(data_loaders({"test": make_data()}, 8, seed=1)["test"]) == list(range(20))
