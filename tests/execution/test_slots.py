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
from mlgym.execution.slots import Admission, Slots

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


def test_a_device_is_asked_once_for_all_its_slots() -> None:
    """Its driver takes its time, and the question comes with each event of an experiment."""
    asked: list[str] = []

    class Full(Admission):
        def admits(self, device: str, num_running: int) -> bool:
            asked.append(device)
            return False

        def started(self, device: str) -> None:
            pass

    assert Slots(TWO * 32, Full()).first_free() is None
    assert asked == ["cuda:0", "cuda:1"]


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


def _driver(kinds: list[str], uses: dict[str, int] | None = None, *, is_cut_up: bool = False) -> Any:
    """A driver of GPUs of these kinds and uses in bytes, or of such that it has lost."""
    uuids = [*(uses or {"GPU-8a2b": 0, "GPU-77": 0})]

    class NVMLError(Exception):
        pass

    def memory(handle: str) -> object:
        if uses is None:
            raise NVMLError("GPU is lost")
        return SimpleNamespace(used=uses[handle], total=80 * GB)

    def by_uuid(uuid: str) -> str:
        if uuid not in uuids:
            raise NVMLError(f"no {uuid}")
        return uuid

    def mig_mode(handle: str) -> list[int]:
        if not is_cut_up:
            raise NVMLError("not supported")
        return [1, 1]

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(kinds),
        nvmlDeviceGetHandleByIndex=lambda index: uuids[index],
        nvmlDeviceGetHandleByUUID=by_uuid,
        nvmlDeviceGetUUID=lambda handle: handle,
        nvmlDeviceGetName=lambda handle: kinds[uuids.index(handle)],
        nvmlDeviceGetMigMode=mig_mode,
        nvmlDeviceGetMemoryInfo=memory,
    )


@pytest.mark.parametrize(
    ("device", "shown", "name"),
    [("cuda", None, 0), ("cuda:1", None, 1), ("cuda:1", "3,5", 5), ("cuda:0", "GPU-8a2b, GPU-77", "GPU-8a2b")],
)
def test_devices_are_numbered_as_cuda_shows_them(device: str, shown: str | None, name: int | str) -> None:
    """The driver numbers all GPUs; CUDA those that it shows."""
    assert visible_name(device, {} if shown is None else {"CUDA_VISIBLE_DEVICES": shown}) == name


@pytest.mark.parametrize(
    ("shown", "count"), [("0", 1), ("0,-1,1", 1), ("3,GPU-8a2b", 1), ("MIG-1,GPU-2", 1), ("-1", 0), ("", 0), ("1,1", 0)]
)
def test_a_device_that_cuda_does_not_show_is_refused(shown: str, count: int) -> None:
    """It has no memory that could be measured; what follows a name of another form is not shown."""
    with pytest.raises(RunError, match=f"shows {count} "):
        visible_name("cuda:1", {"CUDA_VISIBLE_DEVICES": shown})


def test_devices_are_found_by_the_beginning_of_their_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA takes as much of it as no other device has; the driver alone would want all of it."""
    monkeypatch.setitem(sys.modules, "pynvml", _driver(["A", "A"], uses={"GPU-8a2b-1": 1, "GPU-77c0-2": 2}))
    measure = open_nvml(["cuda:0", "cuda:1"], {"CUDA_VISIBLE_DEVICES": "GPU-77,GPU-8a2b-1"})
    assert [measure(device).used_bytes for device in ("cuda:0", "cuda:1")] == [2, 1]
    with pytest.raises(RunError, match=r"cannot be read .*GPU-9f"):
        open_nvml(["cuda:0"], {"CUDA_VISIBLE_DEVICES": "GPU-9f"})


@pytest.mark.parametrize("variables", [{}, {"CUDA_VISIBLE_DEVICES": "GPU-8a2b-1"}])
def test_a_gpu_that_is_cut_up_is_refused(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of the whole GPU is not that of the instance that CUDA shows; an instance's own is measured."""
    monkeypatch.setitem(sys.modules, "pynvml", _driver(["A"], uses={"GPU-8a2b-1": 1, "MIG-5": 3}, is_cut_up=True))
    with pytest.raises(RunError, match=r"`cuda` is a GPU that is cut up into MIG instances.*by its UUID"):
        open_nvml(["cuda"], variables)
    assert open_nvml(["cuda"], {"CUDA_VISIBLE_DEVICES": "MIG-5"})("cuda").used_bytes == 3
