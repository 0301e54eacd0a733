"""Which devices an experiment gets: names, groups of them, and how a group is written in a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from mlgym.errors import RunError

Slot: TypeAlias = tuple[str, ...]
"""The devices of one experiment, in the order of its ranks; one process computes on each."""

GROUP_KINDS: Final = {"cpu": "gloo", "cuda": "nccl"}
"""Kinds of devices that several processes can share an experiment on, and what connects them."""
MOST_SLOTS_PER_DEVICE: Final = 32
"""As many experiments are put on one device at most where its memory decides."""


def kind_of(device: str) -> str:
    """Gives `cuda` for `cuda:1`."""
    return device.partition(":")[0]


def backend_of(devices: Sequence[str], devices_per_experiment: int) -> str | None:
    """Gives what connects the processes of an experiment: `gloo` or `nccl`; None where each has one."""
    return GROUP_KINDS.get(kind_of(devices[0])) if devices_per_experiment > 1 else None


def label_of(devices: Sequence[str]) -> str:
    """Gives the devices of an experiment in a line: `cuda:1`, `cpu x2`, `cuda:0,cuda:1`.

    What repeats, as on each of several machines, is written once.
    """
    size = len(devices)
    period = next(each for each in range(1, size + 1) if list(devices) == list(devices[:each]) * (size // each))
    text = ",".join(devices[:period])
    return text if period == size else f"{text} x{size // period}"


def kind_and_number(label: str) -> tuple[str, int]:
    """Gives back from such a line what kind of devices it names, and how many."""
    text, _, times = label.partition(" x")
    return kind_of(text), len(text.split(",")) * (int(times) if times.isdecimal() else 1)


def device_slots(
    devices: Sequence[str], slots_per_device: int, processes: int | None, devices_per_experiment: int = 1
) -> list[Slot]:
    """Gives the devices of each slot, neighbouring slots on different devices.

    Args:
        devices: names such as `cpu` or `cuda:1`; at least one.
        slots_per_device: experiments at the same time on one device, >= 1.
        processes: experiments at the same time in all, >= 1; None for as many as there are slots. On the CPU alone
            there may be more of them than slots.
        devices_per_experiment: devices that an experiment gets, >= 1.

    Raises:
        RunError: a number is out of range, the devices make no whole groups, or more experiments are asked for than
            there are slots.
    """
    if not devices:
        raise RunError("`devices` must name at least one device, such as `cpu`")
    numbers = {
        "slots_per_device": slots_per_device,
        "processes": processes,
        "devices_per_experiment": devices_per_experiment,
    }
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise RunError(f"`{name}` must be at least 1, but is {number}")
    groups = _groups(devices, devices_per_experiment)
    slots = groups * slots_per_device
    if processes is None:
        return slots
    if processes > len(slots):
        if any(device != "cpu" for device in devices):
            by = f" in groups of {devices_per_experiment}" if devices_per_experiment > 1 else ""
            raise RunError(
                f"{processes} processes do not fit on {len(devices)} devices{by} with {slots_per_device} slots each; "
                "raise `slots_per_device`"
            )
        return [groups[0]] * processes
    return slots[:processes]


def rank_devices(devices: Sequence[str], size: int, local_size: int) -> Slot:
    """Gives the device of each of the processes that were started together, on machines that are alike.

    Args:
        devices: those of one machine, a process on each; `cpu` or `cuda` alone for all that there are; or, as a run
            has them recorded, those of all processes.
        size: how many processes there are.
        local_size: how many of them are on each machine.

    Raises:
        RunError: the devices do not fit the processes.
    """
    local = list(devices)
    if len(local) == size > local_size:
        return tuple(local)
    if local in (["cpu"], ["cuda"]) and local_size > 1:
        local = ["cpu"] * local_size if local == ["cpu"] else [f"cuda:{number}" for number in range(local_size)]
    if len(local) != local_size or size % local_size:
        raise RunError(
            f"{local_size} processes of one experiment were started on this machine, {size} in all, but `devices` is "
            f"{', '.join(devices)}: name one for each process of a machine, or `cpu` or `cuda` alone"
        )
    return tuple(local * (size // local_size))


def _groups(devices: Sequence[str], size: int) -> list[Slot]:
    """Gives the devices in groups of neighbours; `cpu` stands for as many processes as an experiment needs."""
    if size == 1:
        return [(device,) for device in devices]
    if all(device == "cpu" for device in devices):
        return [("cpu",) * size]
    kinds = {kind_of(device) for device in devices}
    if len(kinds) > 1 or not kinds <= GROUP_KINDS.keys():
        raise RunError(
            f"an experiment cannot run on {', '.join(devices)} together: devices of one experiment are all CPUs or all "
            "CUDA devices"
        )
    if len(devices) % size:
        fitting = len(devices) // size * size
        remedy = f"name {fitting} or {fitting + size} devices" if fitting else f"name {size} devices"
        raise RunError(
            f"`devices_per_experiment` is {size}, but `devices` names {len(devices)} ({', '.join(devices)}): {remedy}, "
            "or ask for fewer an experiment"
        )
    if len(set(devices)) < len(devices):
        raise RunError(f"`devices` names one twice ({', '.join(devices)}), but each rank needs its own")
    return [tuple(devices[start : start + size]) for start in range(0, len(devices), size)]
