"""Who is who among the processes of an experiment, and what they agree on: what one process can tell."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import distributed

from mlgym.errors import Interrupted, TrainingError
from mlgym.training import World
from mlgym.training.agreement import Agreement
from mlgym.training.exchange import (
    give_to_all,
    largest,
    packed,
    summed_in_order,
    told_by_main,
    told_to_main,
    unpacked,
)
from mlgym.training.losses import EpochLosses, in_rank_order, of_rank
from tests.waiting import wait_for


@pytest.fixture
def group() -> Iterator[World]:
    """A group of one."""
    world = World.single()
    with world.group("cpu", alone=True):
        yield world
    assert not distributed.is_initialized()


def test_the_environment_says_who_is_who() -> None:
    """As torchrun sets it; nothing at all is a single process."""
    told = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    assert World.from_environment(told) == World(3, 4, 1)
    assert not World.from_environment(told).is_main
    assert World.from_environment({}) == World.single() == World(0, 1, 0)
    assert World.single().is_main


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "`RANK` in the environment must be a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "-1", "LOCAL_RANK": "0"}, "but is `-1`"),
        ({"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0"}, "ranks go from 0 to 1"),
    ],
)
def test_an_environment_that_makes_no_sense(told: dict[str, str], said: str) -> None:
    """Says which variable, and what it should be."""
    with pytest.raises(TrainingError, match=said):
        World.from_environment(told)


def test_devices_that_nothing_connects() -> None:
    """`mps` has no way to other processes."""
    with pytest.raises(TrainingError, match="cannot train together on `mps`"):
        World.single().open("mps")


def test_a_single_process_joins_no_group() -> None:
    """It needs none, and making one takes time."""
    with World.single().group("cpu"):
        assert not distributed.is_initialized()


@pytest.mark.parametrize(
    ("backends", "error", "left"),
    [
        ("cpu:gloo,cuda:nccl", TrainingError("one rank's own"), []),
        ("cpu:gloo,cuda:nccl", Interrupted(), ["together"]),
        ("cpu:gloo,cuda:nccl", None, ["together"]),
        ("gloo", TrainingError("one rank's own"), ["together"]),
    ],
)
def test_a_failure_does_not_wait_for_the_others(
    backends: str, error: Exception | None, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All ranks leave a group of NCCL together, or wait for each other: one that fails tells why and leaves it be."""
    monkeypatch.setattr(distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(distributed, "get_backend_config", lambda: backends)
    done: list[str] = []
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: done.append("together"))
    with suppress(TrainingError, Interrupted), World(1, 2, 1).group("cpu"):
        monkeypatch.setattr(distributed, "is_initialized", lambda: True)
        if error is not None:
            raise error
    assert done == left


def test_a_group_that_is_given_up_is_aborted_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some versions of NCCL wait for the others even there; as a control, other backends are left as ever."""
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr("mlgym.training.world._ABORT_S", 0.01)
    done: list[str] = []
    ever = threading.Event()

    def hang() -> None:
        done.append("abort")
        ever.wait()

    monkeypatch.setattr(distributed.distributed_c10d, "_abort_process_group", hang)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: done.append("together"))
    for backends in ("cpu:gloo,cuda:nccl", "gloo"):
        monkeypatch.setattr(distributed, "get_backend_config", lambda backends=backends: backends)
        World(1, 2, 1).abandon()
        wait_for(lambda: done)  # its thread may come late
    ever.set()
    assert done == ["abort", "together"]


def test_messages_are_states(group: World) -> None:
    """Nested states of any dtype arrive as they are, without pickle."""
    state: dict[str, Any] = {
        "half": torch.arange(3, dtype=torch.bfloat16),
        "none": None,
        "rate": float("nan"),
        "place": (1, [torch.tensor(True), "text"]),
    }
    for arrived in (unpacked(packed(state)), told_by_main(state), unpacked(told_to_main(packed(state))[0][0])):
        assert torch.equal(arrived["half"], state["half"])
        assert arrived["place"] == state["place"]
        assert arrived["rate"] != arrived["rate"]
    assert largest(3, -2) == [3, -2]


def test_giving_to_all_keeps_what_the_main_process_has(group: World) -> None:
    """Tensors of any dtype and layout, none among them too."""
    tensors = [torch.tensor(True), torch.randn(3, 4).T, torch.zeros(0), torch.tensor(7)]
    before = [tensor.clone() for tensor in tensors]
    give_to_all(tensors)
    give_to_all([])
    assert all(map(torch.equal, tensors, before))


def test_sums_go_rank_after_rank() -> None:
    """Floating-point sums depend on their order; those without samples are left out."""
    pieces = torch.tensor([[1e8, 1.0], [1.0, 2.0], [-1e8, float("nan")]])
    assert summed_in_order(pieces, 3)[0].item() == 0.0
    assert summed_in_order(pieces.flip(0), 3)[0].item() == 0.0
    assert summed_in_order(pieces[[0, 2, 1]], 3)[0].item() == 1.0
    assert summed_in_order(pieces, 2)[1].item() == 3.0


def test_losses_in_the_order_of_one_process() -> None:
    """Batch by batch and rank after rank, without those who had no samples; and back."""
    rows = torch.tensor([[1.0, 3.0, 5.0], [2.0, 4.0, -1.0]])
    counts = [[4, 4], [4, 4], [3, 0]]
    whole = in_rank_order(rows, counts)
    assert whole.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert EpochLosses(whole).mean() == 3.0
    assert of_rank(whole, counts, counts, 0).tolist() == [1.0, 3.0, 5.0]
    assert of_rank(whole, counts, counts, 1)[:2].tolist() == [2.0, 4.0]


def test_losses_of_another_number_of_processes() -> None:
    """Each batch has its mean over samples."""
    whole, were, are = torch.tensor([1.0, 2.0, 3.0]), [[4, 4], [3, 0]], [[8], [3]]
    assert of_rank(whole, were, are, 0).tolist() == [1.5, 3.0]
    assert of_rank(torch.empty(0), [], [], 1).tolist() == []


def test_alone_nobody_is_asked() -> None:
    """Without a group, what one process wants is what is done."""
    agreement = Agreement(World.single())
    assert agreement.on(True, False) == [True, False]
    assert agreement.at(3, False, True) == [False, True]
    assert agreement.as_main(lambda: "decided") == "decided"


def test_asking_becomes_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """From one step on it doubles, up to what half a second is enough for, and the slowest process decides."""
    clock = [0.0]
    monkeypatch.setattr("mlgym.training.agreement.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("mlgym.training.agreement.largest", lambda *numbers: list(numbers))
    agreement = Agreement(World(0, 2, 0))
    agreement.begin(100)
    asked = []
    for step in range(101, 400):
        clock[0] += 1 / 128
        if step == agreement.next_step:
            asked.append(step)
            agreement.at(step, False)
    assert asked == [101, 103, 107, 115, 131, 163, 227, 291, 355]
    monkeypatch.setattr("mlgym.training.agreement.largest", lambda *numbers: [1, -3])
    assert agreement.at(419, False) == [True]
    assert agreement.next_step == 422
