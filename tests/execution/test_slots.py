"""Which slot the next experiment gets, and how many experiments the memory of a device has room for."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from mlgym.errors import RunError
from mlgym.execution import RunOptions
from mlgym.execution.driver import Places
from mlgym.execution.memory_admission import DeviceMemory, MemoryAdmission, Seen, has_room
from mlgym.execution.nvml import open_nvml, visible_name
from mlgym.execution.slots import Slots

GB = 2**30
TWO = [("cuda:0",), ("cuda:1",), ("cuda:0",), ("cuda:1",)]


def test_kept_devices_are_passed_over() -> None:
    """What is kept for one alone is given to nobody else, in all its slots, until it is released."""
    slots = Slots(TWO)
    slots.take(0)
    assert slots.first_free() == 1
    slots.keep(1)
    assert slots.first_free() == 2
    slots.take(2)
    assert slots.first_free() is None
    assert (slots.is_idle(1), slots.is_idle(0)) == (True, False)
    slots.release(1)
    assert slots.first_free() == 1
    slots.give_back(0)
    assert slots.first_free() == 0


def test_a_group_waits_for_each_of_its_devices() -> None:
    """A group is kept out where one of its devices is kept, and keeps all of its own."""
    slots = Slots([("cuda:0", "cuda:1"), ("cuda:1", "cuda:2"), ("cuda:3",)])
    slots.keep(0)
    assert slots.first_free() == 2


def used(gigabytes: float) -> DeviceMemory:
    """The memory of a device of 80 GB."""
    return DeviceMemory(used_bytes=int(gigabytes * GB), total_bytes=80 * GB)


@pytest.mark.parametrize(
    ("in_use", "others", "largest", "num_running", "settled", "fits"),
    [
        (70, 70, 0, 0, False, True),  # an idle device always gets one, else nothing would ever run
        (10, 0, 10, 1, False, False),  # what the newest one will use is not known yet
        (0, 0, 0, 1, True, False),  # nor is it where nothing was seen
        (10, 0, 10, 1, True, True),
        (60, 0, 10, 6, True, True),  # 7 of 11 GB
        (70, 0, 10, 7, True, False),  # 8 of 11 GB
        (30, 20, 10, 1, True, True),
        (30, 20, 28, 1, True, False),  # 2 of 30.8 GB in the 60 GB that others leave
        (10, 0, 30, 2, True, False),  # the running ones may still grow to 33 GB each
        (75, 0, 10, 2, True, False),  # somebody else came and took what was free
    ],
)
def test_a_further_experiment_must_fit(
    in_use: float, others: float, largest: float, num_running: int, settled: bool, fits: bool
) -> None:
    """With a tenth in reserve for each."""
    seen = Seen(others_bytes=int(others * GB), largest_bytes=int(largest * GB))
    assert has_room(used(in_use), seen, num_running=num_running, settled=settled) is fits


def test_a_device_fills_until_its_memory_is_taken() -> None:
    """Experiments of 20 GB each: the next one starts once the newest has settled, and the fourth never."""
    now, memory = [0.0], {"cuda:0": used(2)}
    admission = MemoryAdmission(memory.__getitem__, clock=lambda: now[0])
    slots = Slots([("cuda:0",)] * 8, admission)
    starts = []
    while now[0] < 300:
        if (free := slots.first_free()) is not None:
            slots.take(free)
            starts.append(now[0])
            memory["cuda:0"] = used(2 + 20 * len(starts))
        now[0] += 5
    assert starts == [0.0, 30.0, 60.0]


def test_without_nvml_a_launch_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library may be missing, or the driver: both are told before a run is made."""
    options = RunOptions(slots_per_device="auto", devices=("cuda:0",))
    with (
        pytest.raises(RunError, match=r"give a number of `slots_per_device`"),
        Places.opened(options, None, None, None),  # type: ignore[arg-type]  # it does not get so far
    ):
        pass
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(RunError, match=r"pip install mlgym\[gpu\]"):
        open_nvml(["cuda:0"])


@pytest.mark.parametrize(
    ("kinds", "variables", "is_refused"),
    [
        (["A", "B"], {}, True),
        (["A", "A"], {}, False),
        (["A", "B"], {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, False),
        (["A", "B"], {"CUDA_VISIBLE_DEVICES": "GPU-8a2b"}, False),
    ],
)
def test_gpus_of_several_kinds_need_numbers_that_cuda_and_the_driver_share(
    kinds: list[str], variables: dict[str, str], is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the memory of another GPU would be measured; a driver that stops to answer is an error with words."""
    monkeypatch.setitem(sys.modules, "pynvml", _driver(kinds))
    if is_refused:
        with pytest.raises(RunError, match=r"several kinds \(A, B\).*CUDA_DEVICE_ORDER=PCI_BUS_ID"):
            open_nvml(["cuda:0"], variables)
    else:
        measure = open_nvml(["cuda:0"], variables)
        with pytest.raises(RunError, match="memory of `cuda:0` cannot be read any more: GPU is lost"):
            measure("cuda:0")


def _driver(kinds: list[str]) -> Any:
    """A driver of GPUs of these kinds, which it has lost."""

    class NVMLError(Exception):
        pass

    def lost(handle: object) -> None:
        raise NVMLError("GPU is lost")

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(kinds),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetName=lambda index: kinds[index],
        nvmlDeviceGetMemoryInfo=lost,
    )


@pytest.mark.parametrize(
    ("device", "shown", "name"),
    [("cuda", None, 0), ("cuda:1", None, 1), ("cuda:1", "3,5", 5), ("cuda:0", "GPU-8a2b, GPU-77", "GPU-8a2b")],
)
def test_devices_are_numbered_as_cuda_shows_them(device: str, shown: str | None, name: int | str) -> None:
    """The driver numbers all GPUs; CUDA those that it shows."""
    assert visible_name(device, {} if shown is None else {"CUDA_VISIBLE_DEVICES": shown}) == name


def test_a_device_that_cuda_does_not_show_is_refused() -> None:
    """It has no memory that could be measured."""
    with pytest.raises(RunError, match="shows 1"):
        visible_name("cuda:1", {"CUDA_VISIBLE_DEVICES": "0"})
