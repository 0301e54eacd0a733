"""How a run is executed: options, the places where experiments run, and the code that workers load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from mlgym.errors import RunError
from mlgym.execution.environment import usable_cores
from mlgym.execution.job import DEFAULT_ENTRY
from mlgym.execution.scheduler import device_slots
from mlgym.execution.server_process import PRELOAD, PRELOAD_IF_INSTALLED
from mlgym.names import DEFAULT_STORAGE
from mlgym.tracking.delivery import Hubs
from mlgym.tracking.places import HUB

ExecutorKind: TypeAlias = Literal["inline", "processes"]
Determinism: TypeAlias = Literal["bitwise", "fast"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is launched; none of it but `threads` and `determinism` changes a number.

    Args:
        storage: the folder of all runs.
        run_id: the run's id; by default the time of day.
        executor: `processes` (a process per experiment) or `inline` (this process, for debugging).
        processes: experiments at the same time, >= 1; None for one per core, or per slot of other devices.
        devices: names such as `cpu` or `cuda:1`.
        slots_per_device: experiments at the same time on one device, >= 1.
        threads: threads of one operation in each experiment, >= 1; `auto` shares out the cores, and digests then
            depend on the number of processes and of cores.
        time_limit_s: longest time of one experiment, in s, > 0; None for none.
        grace_s: from asking an experiment to end to killing it, in s, >= 0.
        text_logging_path: folder for text files with the output of each experiment; None for none.
        determinism: `bitwise` refuses operations without a reproducible algorithm, `fast` allows them.
        hubs: where the run is sent while it goes on.
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
    slots_per_device: int = 1
    threads: int | Literal["auto"] = 1
    time_limit_s: float | None = None
    grace_s: float = 30.0
    text_logging_path: Path | None = None
    determinism: Determinism = "bitwise"
    hubs: Hubs = field(default_factory=Hubs)
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

    def slots(self) -> list[str]:
        """Gives the device of each experiment that may run at the same time.

        Raises:
            RunError: a number is out of range, or there are more processes than slots.
        """
        if self.executor == "inline":
            return list(self.devices[:1])
        on_cpu = all(device == "cpu" for device in self.devices)
        processes = usable_cores() if self.processes is None and on_cpu else self.processes
        return device_slots(self.devices, self.slots_per_device, processes)

    def num_threads(self, num_slots: int) -> int:
        """Gives the threads of one operation where so many experiments run at the same time.

        Raises:
            RunError: `threads` is out of range.
        """
        if self.threads == "auto":
            return max(1, usable_cores() // num_slots)
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
