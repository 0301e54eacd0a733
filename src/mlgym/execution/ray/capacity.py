"""What an experiment asks of a cluster, and whether the cluster has it; plain numbers, no Ray.

A placement group that no node can hold waits in Ray for ever, and without an error: it is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor

from mlgym.errors import RunError


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What one experiment needs of one node.

    Args:
        cpus: cores, > 0.
        gpus: GPUs, >= 0; a fraction where several experiments share one.
        devices: GPUs or processes that train it together, >= 1; more than one are reserved together.
    """

    cpus: float
    gpus: float = 0.0
    devices: int = 1

    def __str__(self) -> str:
        return _resources(self.cpus, self.gpus)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A living node of a cluster, and all that it has, free or not."""

    address: str
    cpus: float
    gpus: float

    def holds(self, ask: Ask) -> int:
        """Gives how many experiments fit on it."""
        by_cpu = floor(self.cpus / ask.cpus + 1e-9)
        if not ask.gpus:
            return by_cpu
        # Shares of a GPU do not add up across GPUs.
        by_gpu = floor(self.gpus / ask.gpus) if ask.gpus >= 1 else floor(self.gpus) * floor(1 / ask.gpus + 1e-9)
        return min(by_cpu, by_gpu)

    def __str__(self) -> str:
        return f"{self.address}: {_resources(self.cpus, self.gpus)}"


def num_places(nodes: Iterable[Node], ask: Ask) -> int:
    """Gives how many experiments fit on a cluster at the same time."""
    return sum(node.holds(ask) for node in nodes)


def unplaceable(nodes: Sequence[Node], ask: Ask) -> RunError:
    """Gives the error of an experiment that no node can hold: what it asks for, and what there is."""
    has = "; ".join(str(node) for node in sorted(nodes, key=lambda node: node.address)) or "no living nodes"
    return RunError(
        f"no node of the Ray cluster can hold an experiment, which needs {ask} on one node. The cluster has {has}. "
        "Ask for fewer devices or threads per experiment, add nodes, or, where the cluster grows on demand, wait for "
        "it with `--cluster-wait-s`"
    )


def _resources(cpus: float, gpus: float) -> str:
    return f"{_counted(cpus, 'CPU')} and {_counted(gpus, 'GPU')}" if gpus else _counted(cpus, "CPU")


def _counted(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number <= 1 else 's'}" if number else f"no {noun}s"
