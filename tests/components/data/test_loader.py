"""The loader of data in memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mlgym.components.data import Order, TensorData, TensorLoader


def make_loader(
    num_features: int = 16, *, batch_size: int = 16, num_samples: int = 100, **options: Any
) -> TensorLoader:
    inputs = torch.arange(num_samples * num_features, dtype=torch.float32).view(num_samples, num_features)
    data = TensorData(inputs, torch.arange(num_samples))
    return TensorLoader(data, Order(num_samples, "random", 5), batch_size=batch_size, **options)


# 16 features x 16 samples are fetched in chunks, 3 features or 5 samples one batch at a time.
@pytest.mark.parametrize(("num_features", "batch_size"), [(16, 16), (3, 16), (16, 5), (16, 1000)])
def test_batches_are_the_order_cut_up(num_features: int, batch_size: int) -> None:
    """Inputs and targets of each batch are those of the order, the last batch has what is left."""
    loader = make_loader(num_features, batch_size=batch_size)
    order = torch.from_numpy(Order(100, "random", 5).indices(2))
    batches = list(loader.epoch(2))
    assert len(batches) == len(loader)
    for (inputs, targets), wanted in zip(batches, order.split(batch_size), strict=True):
        assert torch.equal(targets, wanted)
        assert torch.equal(inputs[:, 0], wanted * float(num_features))


@pytest.mark.parametrize("num_features", [16, 3])
@pytest.mark.parametrize("start", [0, 1, 4, 6, 7])
def test_start_batch_skips(num_features: int, start: int) -> None:
    """An epoch that is taken up later gives the rest of the same batches, also none."""
    loader = make_loader(num_features)
    everything = list(loader.epoch(1))
    rest = list(loader.epoch(1, start))
    assert len(rest) == len(everything) - start
    for one, other in zip(everything[start:], rest, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


@pytest.mark.parametrize("num_features", [16, 3])
def test_batches_are_aligned(num_features: int) -> None:
    """Every batch starts at a multiple of 64 bytes, as a fresh tensor does; kernels give other bits elsewhere."""
    for inputs, targets in make_loader(num_features).epoch(0):
        assert inputs.data_ptr() % 64 == 0
        assert targets.data_ptr() % 64 == 0


def test_odd_addresses_give_other_bits() -> None:
    """Control: the same numbers at an odd address do give other bits in some product."""
    torch.manual_seed(0)
    layer, inputs, memory = torch.nn.Linear(30, 7), torch.rand(32, 30), torch.empty(32 * 30 + 64)
    results = []
    for offset in (0, 1, 3, 13):
        moved = memory[offset : offset + 32 * 30].view(32, 30)
        results.append(layer(moved.copy_(inputs)))
    if all(torch.equal(results[0], result) for result in results):
        pytest.skip("the kernels of this machine do not care about addresses")


def test_drop_last() -> None:
    """A last batch that is not full is left out, and its samples are not counted."""
    loader = make_loader(drop_last=True)
    assert [len(targets) for _, targets in loader.epoch(0)] == [16] * 6
    assert (len(loader), loader.num_samples) == (6, 96)
    assert (len(make_loader()), make_loader().num_samples) == (7, 100)


def test_writing_into_a_batch_leaves_the_data_alone() -> None:
    """A model that works in place does not change the dataset."""
    loader = make_loader()
    for inputs, _ in loader.epoch(0):
        inputs.zero_()
    assert sum(float(inputs.sum()) for inputs, _ in loader.epoch(0)) > 0


def test_names_survive() -> None:
    """Data with named tensors gives batches with named tensors, chunked or not."""
    data = TensorData({"a": torch.arange(40.0), "b": torch.ones(40, 4)}, {"y": torch.arange(40)})
    for batch_size in (16, 7):
        batches = list(TensorLoader(data, Order(40), batch_size=batch_size).epoch(0))
        assert torch.equal(torch.cat([inputs["a"] for inputs, _ in batches]), torch.arange(40.0))
        assert torch.equal(torch.cat([targets["y"] for _, targets in batches]), torch.arange(40))
        assert batches[0][0]["b"].shape == (batch_size, 4)


def test_loading_draws_no_random_number() -> None:
    """The global generator is the same after an epoch."""
    before = torch.get_rng_state()
    list(make_loader().epoch(0))
    assert torch.equal(before, torch.get_rng_state())


def test_to_moves_the_data() -> None:
    """Batches lie on the device that the loader was moved to."""
    loader = make_loader()
    loader.to(torch.device("meta"))
    inputs: Any = loader._data.inputs
    assert inputs.device.type == "meta"
