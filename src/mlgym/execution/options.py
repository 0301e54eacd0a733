"""How a run is executed: options, the places where experiments run, and the code that workers load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from mlgym.errors import RunError
from mlgym.execution.devices import MOST_SLOTS_PER_DEVICE, Slot, device_slots, kind_of, rank_devices
from mlgym.execution.environment import usable_cores
from mlgym.execution.group.together import leader
from mlgym.execution.job import DEFAULT_ENTRY
from mlgym.execution.processes.server_process import PRELOAD, PRELOAD_IF_INSTALLED
from mlgym.execution.ray_options import RayOptions
from mlgym.execution.slurm.settings import DEFAULT_SLOTS as SLURM_SLOTS
from mlgym.names import DEFAULT_STORAGE
from mlgym.tracking.delivery import Hubs
from mlgym.tracking.places import HUB

ExecutorKind: TypeAlias = Literal["inline", "processes", "ray", "slurm"]
Determinism: TypeAlias = Literal["bitwise", "fast"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is launched; none of it but `threads` and `determinism` changes a number.

    Args:
        storage: the folder of all runs.
        run_id: the run's id; by default the time of day.
        executor: `processes` (a process per experiment), `inline` (this process, for debugging), `ray` or `slurm` (a
            cluster).
        processes: experiments at the same time, >= 1; None for one per core, or per slot of other devices.
        devices: names such as `cpu` or `cuda:1`.
        slots_per_device: experiments at the same time on one device, >= 1; `auto` for as many as its memory has room
            for.
        devices_per_experiment: devices that each experiment is trained on together, >= 1, with a process on each; on
            the CPU, processes.
        threads: threads of one operation in each experiment, >= 1; `auto` shares out the cores, and digests then
            depend on the number of processes and of cores.
        time_limit_s: longest time of one experiment, in s, > 0; None for none.
        grace_s: from asking an experiment to end to killing it, in s, >= 0.
        text_logging_path: folder for text files with the output of each experiment; None for none.
        determinism: `bitwise` refuses operations without a reproducible algorithm, `fast` allows them.
        hubs: where the run is sent while it goes on.
        retries: how often an experiment that failed is tried again, from its newest checkpoint, >= 0.
        node_retries: how often an experiment goes on elsewhere, from its newest checkpoint, when what it ran on is
            lost, such as a node of a cluster, >= 0; not counted among `retries`.
        ray: the cluster of the executor `ray`.
        slurm: options of the executor `slurm` by key, as `--slurm` takes them; see `SlurmSettings`.
        checkpoint_place: where checkpoints stand beside the run folder: a URL of `fsspec`, or `hub` for the REST
            endpoint of `hubs`; None for the run folder alone.
        local_checkpoints: whether checkpoints that stand there stay in the run folder, too.
        reproduces: the run whose results this one is to reproduce, for the record; None for none.
    """

    storage: Path = Path(DEFAULT_STORAGE)
    run_id: str | None = None
    executor: ExecutorKind = "processes"
    processes: int | None = None
    devices: Sequence[str] = ("cpu",)
    slots_per_device: int | Literal["auto"] = 1
    devices_per_experiment: int = 1
    threads: int | Literal["auto"] = 1
    time_limit_s: float | None = None
    grace_s: float = 30.0
    text_logging_path: Path | None = None
    determinism: Determinism = "bitwise"
    hubs: Hubs = field(default_factory=Hubs)
    retries: int = 0
    node_retries: int = 3
    ray: RayOptions = field(default_factory=RayOptions)
    slurm: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    checkpoint_place: str | None = None
    local_checkpoints: bool = True
    reproduces: str | None = None

    @property
    def deterministic(self) -> bool:
        """Whether every operation must give the same bits each time."""
        return self.determinism == "bitwise"

    @property
    def delivery(self) -> Hubs:
        """Where the run is sent; checkpoints only where the experiments do not bring them there themselves."""
        return replace(self.hubs, with_checkpoints=self.checkpoint_place != HUB)

    def slots(self) -> list[Slot]:
        """Gives the devices of each experiment that may run at the same time.

        Raises:
            RunError: a number is out of range, devices make no whole groups, or there are more processes than slots.
        """
        size = self.devices_per_experiment
        if self.executor == "inline":
            return [self._inline_slot()]
        if self.executor == "slurm":
            # A task has devices of its own, which have the same names in each.
            return device_slots(self.devices, 1, None, size)[:1] * (self.processes or SLURM_SLOTS)
        return device_slots(self.devices, self._slots_per_device(), self._num_experiments(), size)

    def _inline_slot(self) -> Slot:
        """Gives the devices of the one experiment at a time that this process runs, with others or alone."""
        led, size = leader(), self.devices_per_experiment
        if led is not None:
            return rank_devices(self.devices, led.standing.size, led.standing.local_size)
        if size > 1:
            raise RunError(
                f"`devices_per_experiment` is {size}, but `inline` is this process alone: leave `--executor inline` "
                f"out, or start it by `torchrun --nproc-per-node {size} -m mlgym run ...`"
            )
        return device_slots(self.devices, 1, None, size)[0]

    def _slots_per_device(self) -> int:
        if self.slots_per_device != "auto":
            return self.slots_per_device
        if any(kind_of(device) != "cuda" for device in self.devices):
            raise RunError(
                f"`slots_per_device` is `auto`, which needs GPUs whose memory NVML tells, but `devices` is "
                f"{', '.join(self.devices)}: give a number, or name CUDA devices"
            )
        return MOST_SLOTS_PER_DEVICE

    def _num_experiments(self) -> int | None:
        """Gives how many experiments may run at the same time; None for one per slot."""
        if self.processes is not None or any(device != "cpu" for device in self.devices):
            return self.processes
        if self.devices_per_experiment == 1:
            return usable_cores()
        threads = self.threads if self.threads != "auto" else 1
        return max(1, usable_cores() // max(1, self.devices_per_experiment * threads))

    def num_threads(self, num_slots: int) -> int:
        """Gives the threads of one operation where so many experiments run at the same time.

        Raises:
            RunError: `threads` is out of range.
        """
        if self.threads == "auto":
            return max(1, usable_cores() // (num_slots * self.devices_per_experiment))
        if self.threads < 1:
            raise RunError(f"`threads` must be at least 1 or `auto`, but is {self.threads}")
        return self.threads


@dataclass(frozen=True, kw_only=True)
class WorkerCode:
    """What workers import before they start and call when they do.

    Args:
        entry: `module:function` that runs a job.
        preload: modules that must be there.
        preload_if_installed: modules that may be missing; those that the config's components import late are added.
    """

    entry: str = DEFAULT_ENTRY
    preload: Sequence[str] = PRELOAD
    preload_if_installed: Sequence[str] = PRELOAD_IF_INSTALLED
