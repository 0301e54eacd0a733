"""The shares that several processes have of batches: together exactly the batches of one, in their order."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mlgym.components.data import (
    AdaptedLoader,
    EveryNth,
    Loader,
    SliceOfEach,
    TensorData,
    as_loader,
    data_loaders,
    sharded,
)
from mlgym.errors import TrainingError

NUM_SAMPLES = 21


def make_data() -> TensorData:
    """Gives samples (21, 3) that name themselves: the target is the number of the sample."""
    targets = torch.arange(NUM_SAMPLES)
    return TensorData(targets[:, None].float().expand(-1, 3).contiguous(), targets)


class Jittered(Dataset[Any]):
    """Reads sample by sample, with random augmentation."""

    def __len__(self) -> int:
        return NUM_SAMPLES

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.full((3,), float(index)) + torch.rand(3), torch.tensor(index)


def make_loader(kind: str, batch_size: int = 8, *, drop_last: bool = False) -> Loader:
    """Gives a loader of each kind over the same samples."""
    dataset: Dataset[Any] = make_data() if kind != "by sample" else Jittered()
    if kind == "brought along":
        return AdaptedLoader(DataLoader(dataset, batch_size, shuffle=True, drop_last=drop_last), seed=3)
    return data_loaders({"train": dataset}, batch_size, seed=5, drop_last=drop_last)["train"]


KINDS = ["in memory", "by sample", "brought along"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("batch_size", "size"), [(8, 2), (8, 4), (8, 3), (7, 2), (6, 4)])
@pytest.mark.parametrize("start_batch", [0, 1])
def test_slices_are_the_batches(kind: str, batch_size: int, size: int, start_batch: int) -> None:
    """Slices put together are each batch of one process, in its order, whatever starts where; nobody has padding.

    Of a full batch each process has some: slices of ceil(6 / 4) samples would leave the last of four without any.
    """
    whole = list(make_loader(kind, batch_size).epoch(2, start_batch))
    shards = [SliceOfEach(rank, size) for rank in range(size)]
    shares = [list(sharded(make_loader(kind, batch_size), shard).epoch(2, start_batch)) for shard in shards]
    assert [len(share) for share in shares] == [len(whole)] * size
    for number, (inputs, targets) in enumerate(whole):
        counts = shards[0].counts(batch_size, len(targets))
        assert sum(counts) == len(targets)
        assert all(counts) or len(targets) < batch_size
        given = [share[number] for share, count in zip(shares, counts, strict=True) if count]
        assert [len(part[1]) for part in given] == [count for count in counts if count]
        assert torch.equal(torch.cat([part[1] for part in given]), targets)
        assert torch.equal(torch.cat([part[0] for part in given]), inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_without_samples_gets_a_stand_in(kind: str) -> None:
    """Of a last batch of one sample the second process has none: it reads the first one's, as many at most."""
    loader = sharded(make_loader(kind, batch_size=4), SliceOfEach(1, 2))
    *_, (_, last) = loader.epoch(0)
    *_, (_, whole) = make_loader(kind, batch_size=4).epoch(0)
    assert SliceOfEach(0, 2).counts(4, 1) == [1, 0]
    assert torch.equal(last, whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2, 4])
def test_whole_batches_in_turn(kind: str, size: int) -> None:
    """For evaluation each process has whole batches; all have equally many, with the first one as stand-in."""
    loader = make_loader(kind)
    whole = list(loader.each_once().epoch(0))
    shares = [list(sharded(make_loader(kind).each_once(), EveryNth(rank, size)).epoch(0)) for rank in range(size)]
    in_turn = [batch for together in zip(*shares, strict=True) for batch in together]
    assert len(in_turn) == -(-len(whole) // size) * size
    expected = whole + [whole[0]] * (len(in_turn) - len(whole))
    for given, batch in zip(in_turn, expected, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(given, batch, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_drop_last_is_as_before(kind: str) -> None:
    """What one process leaves out, several leave out."""
    loader = make_loader(kind, drop_last=True)
    share = list(sharded(loader, SliceOfEach(1, 2)).epoch(0))
    assert [len(targets) for _, targets in share] == [4, 4]


def test_workers_read_shares() -> None:
    """Processes of a loader read the share of theirs, with the augmentation of one process."""
    loaders = [
        data_loaders({"train": Jittered()}, 8, seed=5, num_workers=num_workers)["train"] for num_workers in (0, 2)
    ]
    one, two = (list(sharded(loader, SliceOfEach(1, 2)).epoch(1)) for loader in loaders)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(one, two, strict=True))


def test_a_weighted_draw_is_augmented_as_in_one_process() -> None:
    """A sample that is drawn twice is augmented twice, also where different processes read it."""
    dataset = TensorData(torch.arange(12.0)[:, None], torch.tensor([0] * 11 + [1]))

    class Noisy(Dataset[Any]):
        targets = dataset.targets

        def __len__(self) -> int:
            return 12

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            return torch.rand(2), torch.tensor(index)

    def loader() -> Loader:
        return data_loaders({"train": Noisy()}, 4, seed=0, sampler="weighted_random")["train"]

    whole = list(loader().epoch(0))
    shares = [list(sharded(loader(), SliceOfEach(rank, 2)).epoch(0)) for rank in range(2)]
    for number, (inputs, _) in enumerate(whole):
        assert torch.equal(torch.cat([share[number][0] for share in shares]), inputs)


def test_batches_of_any_form_are_cut() -> None:
    """Mappings, named tuples, lists of text: what goes by sample is cut, and what does not stays."""
    Pair = namedtuple("Pair", ["words", "weights"])

    class Forms:
        batch_size = 4
        dataset = range(4)

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[Any]:
            yield {"x": torch.arange(4), "pair": Pair(["a", "b", "c", "d"], torch.arange(4)), "rate": torch.tensor(2)}

    (batch,) = sharded(as_loader(Forms()), SliceOfEach(1, 2)).epoch(0)
    assert batch["x"].tolist() == [2, 3]
    assert batch["pair"].words == ["c", "d"]
    assert batch["pair"].weights.tolist() == [2, 3]
    assert batch["rate"].item() == 2


def test_batches_of_unknown_size_are_refused() -> None:
    """Shares are agreed on by numbers that all know; a batch that has others is an error and no silent shift."""

    class Bulky:
        batch_size = 4
        dataset = range(8)

        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Iterator[Any]:
            yield from (torch.arange(5), torch.arange(3))

    with pytest.raises(TrainingError, match="has 5 samples where"):
        list(sharded(as_loader(Bulky()), SliceOfEach(0, 2)).epoch(0))
