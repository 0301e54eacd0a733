"""Devices of experiments: slots, groups, and how a group is written in a line."""

from __future__ import annotations

import pytest

from mlgym.errors import RunError
from mlgym.execution import RunOptions
from mlgym.execution.devices import device_slots, kind_and_number, label_of
from mlgym.execution.environment import usable_cores


def test_slots_follow_devices_and_numbers() -> None:
    """Neighbouring slots lie on different devices; on the CPU there are as many as wanted; nonsense is refused."""
    two = ["cuda:0", "cuda:1"]
    assert device_slots(two, 2, None) == [("cuda:0",), ("cuda:1",), ("cuda:0",), ("cuda:1",)]
    assert device_slots(two, 2, 3) == [("cuda:0",), ("cuda:1",), ("cuda:0",)]
    assert device_slots(["cpu"], 1, 4) == [("cpu",)] * 4
    with pytest.raises(RunError, match="4 processes do not fit on 2 devices with 1 slots each"):
        device_slots(two, 1, 4)
    for wrong in (([], 1, 1), (["cpu"], 0, 1), (["cpu"], 1, 0), (["cpu"], 1, None, 0)):
        with pytest.raises(RunError, match="at least"):
            device_slots(*wrong)


def test_groups_are_neighbours() -> None:
    """Four GPUs make two groups of two; the CPU stands for as many processes as wanted."""
    four = [f"cuda:{number}" for number in range(4)]
    assert device_slots(four, 1, None, 2) == [("cuda:0", "cuda:1"), ("cuda:2", "cuda:3")]
    assert device_slots(four, 2, None, 4) == [tuple(four)] * 2
    assert device_slots(["cpu"], 1, 3, 2) == [("cpu", "cpu")] * 3


@pytest.mark.parametrize(
    ("devices", "size", "says"),
    [
        (["cuda:0", "cuda:1", "cuda:2"], 2, "name 2 or 4 devices"),
        (["cuda:0"], 2, "name 2 devices, or ask for fewer"),
        (["cpu", "cuda:0"], 2, "all CPUs or all CUDA"),
        (["mps", "mps"], 2, "all CPUs or all CUDA"),
        (["cuda:0", "cuda:0"], 2, "one twice"),
    ],
)
def test_what_makes_no_groups_is_refused_with_a_remedy(devices: list[str], size: int, says: str) -> None:
    """A launch fails at once, not each of its experiments."""
    with pytest.raises(RunError, match=says):
        device_slots(devices, 1, None, size)


def test_options_share_out_the_cores() -> None:
    """On the CPU, experiments of several processes do not ask for more cores than there are, but for one of them."""
    cores = usable_cores()
    assert len(RunOptions(devices_per_experiment=2).slots()) == max(1, cores // 2)
    assert len(RunOptions(devices_per_experiment=2, threads=cores).slots()) == 1
    assert len(RunOptions(devices_per_experiment=2, processes=3).slots()) == 3
    assert RunOptions(devices_per_experiment=cores, threads="auto").num_threads(1) == 1


def test_a_number_of_slots_by_memory_needs_gpus() -> None:
    """The CPU has no memory of its own that NVML could tell."""
    with pytest.raises(RunError, match="needs GPUs"):
        RunOptions(slots_per_device="auto").slots()


@pytest.mark.parametrize(
    ("devices", "label", "back"),
    [
        (["cpu"], "cpu", ("cpu", 1)),
        (["cuda:1"], "cuda:1", ("cuda", 1)),
        (["cpu"] * 4, "cpu x4", ("cpu", 4)),
        (["cuda:0", "cuda:1"], "cuda:0,cuda:1", ("cuda", 2)),
        (["cuda:0", "cuda:1"] * 2, "cuda:0,cuda:1 x2", ("cuda", 4)),
    ],
)
def test_a_group_is_written_in_a_line(devices: list[str], label: str, back: tuple[str, int]) -> None:
    """What is written says what kind and how many, which is what a continuation must know."""
    assert label_of(devices) == label
    assert kind_and_number(label) == back
