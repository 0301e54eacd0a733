"""From the options of a run to its place on a cluster, and to the executor there."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlgym.config import Document
from mlgym.errors import RunError
from mlgym.execution.devices import GROUP_KINDS, Slot, kind_of
from mlgym.execution.environment import usable_cores
from mlgym.execution.executor import Handler
from mlgym.execution.options import RunOptions
from mlgym.execution.processes.server_process import ServerSettings
from mlgym.execution.ray.capacity import Ask, num_places, unplaceable
from mlgym.execution.ray.cluster import Cluster
from mlgym.execution.ray.code_package import UserCode
from mlgym.execution.ray.connecting import connect
from mlgym.execution.ray.executor import RayExecutor
from mlgym.execution.ray.node_setup import NodeSetup, travelling_variables
from mlgym.execution.ray.task import node_facts

_LOOK_EVERY_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class RayPlaces:
    """A run's places on a cluster that it is connected to.

    Args:
        cluster: the connection.
        ask: what one experiment needs.
        slots: the devices of each experiment that may run at the same time, as its processes name them.
        code: what experiments import.
        wait_s: how long to wait for a node that could hold an experiment, in s.
    """

    cluster: Cluster
    ask: Ask
    slots: Sequence[Slot]
    code: UserCode
    wait_s: float = 0.0

    def executor(self, handler: Handler, settings: ServerSettings) -> RayExecutor:
        """Gives an executor on the cluster; closing it ends the connection.

        Args:
            handler: is told what happens.
            settings: of the fork servers on the nodes, as they would be here.
        """
        folder, main_script = self.code.folder, self.code.main_script
        if self.cluster.code == "upload":
            folder, main_script = self.code.on_node()
        setup = NodeSetup(
            imports=list(settings.imports),
            preload=list(settings.preload),
            preload_if_installed=list(settings.preload_if_installed),
            threads=settings.threads,
            example=settings.example,
            code=self.cluster.code,
            folder=str(folder),
            main_script=None if main_script is None else str(main_script),
            working_folder=str(Path.cwd()),
            variables=travelling_variables(os.environ),
            facts=node_facts(),
        )
        return RayExecutor(
            handler, self.cluster, capacity=len(self.slots), ask=self.ask, setup=setup, wait_s=self.wait_s
        )

    def close(self) -> None:
        """Ends the connection; can be called twice."""
        self.cluster.close()


def ray_places(options: RunOptions, document: Document, main_script: Path | None) -> RayPlaces:
    """Connects to the cluster that options ask for, and gives what it has room for.

    Args:
        options: of the run.
        document: its config.
        main_script: the driver's script, where the config uses components of it.

    Raises:
        RunError: the options make no sense on a cluster, there is none, or no node of it can hold an experiment.
    """
    ask, devices = _ask(options), _devices(options)
    code = UserCode(
        folder=document.folder.absolute(),
        imports=list(document.imports),
        main_script=main_script,
        storage=options.storage.absolute(),
    )
    cluster = connect(options.ray, code, num_cpus=_own_cpus(options, ask))
    try:
        room = _wait_for_room(cluster, ask, options.ray.wait_s)
    except BaseException:
        cluster.close()
        raise
    slots = [devices] * (options.processes or room)
    return RayPlaces(cluster=cluster, ask=ask, slots=slots, code=code, wait_s=options.ray.wait_s)


def _ask(options: RunOptions) -> Ask:
    if options.threads == "auto":
        raise RunError("`threads` cannot be `auto` on a Ray cluster, whose nodes may differ: give a number")
    if options.processes is not None and options.processes < 1:
        raise RunError(f"`processes` must be at least 1, but is {options.processes}")
    size = options.devices_per_experiment
    if size < 1:
        raise RunError(f"`devices_per_experiment` must be at least 1, but is {size}")
    return Ask(cpus=float(max(1, options.threads) * size), gpus=_gpus(options), devices=size)


def _gpus(options: RunOptions) -> float:
    if all(kind_of(device) == "cpu" for device in options.devices):
        return 0.0
    share = options.slots_per_device
    if share == "auto":
        raise RunError("`slots_per_device` cannot be `auto` on a Ray cluster, which shares GPUs out: give a number")
    if share > 1 and options.devices_per_experiment > 1:
        raise RunError(
            "experiments on several devices cannot share them on a Ray cluster: leave out `slots_per_device`"
        )
    return float(options.devices_per_experiment) if options.devices_per_experiment > 1 else 1.0 / share


def _devices(options: RunOptions) -> Slot:
    """Gives the devices of an experiment by the names that they have for its processes."""
    kinds = {kind_of(device) for device in options.devices}
    if len(kinds) != 1 or not kinds <= GROUP_KINDS.keys() or any(":" in device for device in options.devices):
        raise RunError(
            f"`devices` is {', '.join(options.devices)}, but on a Ray cluster it is `cpu` or `cuda` alone: which of "
            "its GPUs an experiment gets is for the cluster to say"
        )
    size = options.devices_per_experiment
    return ("cpu",) * size if kinds == {"cpu"} else tuple(f"cuda:{rank}" for rank in range(size))


def _own_cpus(options: RunOptions, ask: Ask) -> int:
    """Gives the cores of a cluster of this run's own: as many as its experiments ask for, as at home."""
    return int(options.processes * ask.cpus) if options.processes else max(usable_cores(), int(ask.cpus))


def _wait_for_room(cluster: Cluster, ask: Ask, wait_s: float) -> int:
    """Gives how many experiments fit at the same time, as soon as one does."""
    give_up_at = time.monotonic() + wait_s
    while True:
        nodes = cluster.nodes()
        room = num_places(nodes, ask)
        if room:
            return room
        if time.monotonic() >= give_up_at:
            raise unplaceable(nodes, ask)
        time.sleep(_LOOK_EVERY_S)
