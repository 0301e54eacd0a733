"""The memory of NVIDIA GPUs as their driver tells it, through `nvidia-ml-py`; no CUDA is initialised by it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlgym.errors import RunError
from mlgym.execution.memory_admission import DeviceMemory

_REMEDY = "give a number of `slots_per_device` instead of `auto`"


def open_nvml(devices: Sequence[str], variables: Mapping[str, str] = os.environ) -> Callable[[str], DeviceMemory]:
    """Gives a function that measures the memory of a device.

    Args:
        devices: the devices that it will be asked for, such as `cuda:1`, in the numbers of CUDA.
        variables: the environment, for `CUDA_VISIBLE_DEVICES`.

    Raises:
        RunError: the library or the driver is missing, or it is not known which GPU one of the devices is; the function
            raises it where the driver does not answer any more.
    """
    try:
        import pynvml
    except ImportError:
        raise RunError(
            "the memory of GPUs is read by `nvidia-ml-py`, which is not installed: `pip install mlgym[gpu]`, or "
            f"{_REMEDY}"
        ) from None
    try:
        pynvml.nvmlInit()
        _refuse_other_numbers(pynvml, devices, variables)
        handles = {device: _handle(pynvml, device, variables) for device in devices}
    except pynvml.NVMLError as error:
        raise RunError(f"the memory of GPUs cannot be read ({error}): {_REMEDY}") from None

    def measure(device: str) -> DeviceMemory:
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(handles[device])
        except pynvml.NVMLError as error:
            raise RunError(f"the memory of `{device}` cannot be read any more: {error}") from None
        return DeviceMemory(used_bytes=memory.used, total_bytes=memory.total)

    return measure


def _refuse_other_numbers(pynvml: Any, devices: Sequence[str], variables: Mapping[str, str]) -> None:
    """Refuses numbers of which CUDA and the driver need not mean the same GPU: those of GPUs of several kinds."""
    if variables.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return
    if all(isinstance(visible_name(device, variables), str) for device in devices):
        return
    kinds = {
        pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index))
        for index in range(pynvml.nvmlDeviceGetCount())
    }
    if len(kinds) > 1:
        raise RunError(
            f"this machine has GPUs of several kinds ({', '.join(sorted(map(str, kinds)))}), which CUDA numbers from "
            f"the fastest one on, and the driver by their slots: set CUDA_DEVICE_ORDER=PCI_BUS_ID, or {_REMEDY}"
        )


def _handle(pynvml: Any, device: str, variables: Mapping[str, str]) -> Any:
    name = visible_name(device, variables)
    handle = pynvml.nvmlDeviceGetHandleByIndex(name) if isinstance(name, int) else _handle_by_uuid(pynvml, name)
    if not str(name).startswith("MIG-") and _is_cut_up(pynvml, handle):
        raise RunError(
            f"`{device}` is a GPU that is cut up into MIG instances, of which CUDA shows one, but the driver tells the "
            f"memory of all: name an instance by its UUID in CUDA_VISIBLE_DEVICES (`nvidia-smi -L`), or {_REMEDY}"
        )
    return handle


def _handle_by_uuid(pynvml: Any, uuid: str) -> Any:
    """Gives a device by as much of its UUID as CUDA needs, which is the beginning that no other one has."""
    handles = (pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount()))
    found = [handle for handle in handles if pynvml.nvmlDeviceGetUUID(handle).startswith(uuid)]
    return found[0] if len(found) == 1 else pynvml.nvmlDeviceGetHandleByUUID(uuid)


def _is_cut_up(pynvml: Any, handle: Any) -> bool:
    try:
        return bool(pynvml.nvmlDeviceGetMigMode(handle)[0])
    except pynvml.NVMLError:
        return False  # most GPUs do not have that


def visible_name(device: str, variables: Mapping[str, str]) -> int | str:
    """Gives what the driver calls a device: its number, or its UUID where the environment names it by that.

    Args:
        device: such as `cuda:1`, the second of those that CUDA shows; `cuda` is the first.
        variables: the environment.

    Raises:
        RunError: CUDA does not show so many.
    """
    number = int(device.partition(":")[2] or 0)
    shown = variables.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return number
    names = _shown_names(shown)
    if number >= len(names):
        raise RunError(f"device `{device}` is not there: CUDA_VISIBLE_DEVICES shows {len(names)} (`{shown}`)")
    return int(names[number]) if names[number].isdecimal() else names[number]


def _shown_names(shown: str) -> list[str]:
    """Gives what CUDA takes of CUDA_VISIBLE_DEVICES: all up to one of another form, and nothing where one repeats."""
    names = [name.strip() for name in shown.split(",")]
    form = next((prefix for prefix in ("GPU-", "MIG-") if names[0].startswith(prefix)), None)
    taken = list(itertools.takewhile(lambda name: name.isdecimal() if form is None else name.startswith(form), names))
    return taken if len(set(taken)) == len(taken) else []
