"""Whether experiments fit on a cluster is known before any is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlgym.errors import RunError
from mlgym.execution.ray import executor
from mlgym.execution.ray.capacity import Ask, Node, num_places, unplaceable
from mlgym.execution.ray.executor import RayExecutor
from mlgym.execution.ray.node_setup import NodeSetup
from tests.execution.handlers import Keeping, make_job


def node(cpus: float, gpus: float = 0, address: str = "10.0.0.1") -> Node:
    return Node(address=address, cpus=cpus, gpus=gpus)


@pytest.mark.parametrize(
    ("ask", "nodes", "places"),
    [
        (Ask(cpus=1), [node(0), node(2), node(3)], 5),
        (Ask(cpus=2), [node(1), node(1)], 0),  # two halves are no whole
        (Ask(cpus=1, gpus=1), [node(8, 2), node(1, 4), node(64)], 3),
        (Ask(cpus=1, gpus=0.5), [node(8, 2)], 4),
        (Ask(cpus=1, gpus=1 / 3), [node(8, 2)], 6),
        (Ask(cpus=1, gpus=0.4), [node(8, 2)], 4),  # what is left of two GPUs is no third place
        (Ask(cpus=4, gpus=4, devices=4), [node(8, 8), node(4, 3)], 2),
        (Ask(cpus=1), [], 0),
    ],
)
def test_places_are_counted_by_node(ask: Ask, nodes: list[Node], places: int) -> None:
    """An experiment runs on one node, and a share of a GPU is of one GPU."""
    assert num_places(nodes, ask) == places


def test_the_error_says_what_is_asked_and_what_there_is() -> None:
    """Both, node by node, and what to do."""
    error = str(unplaceable([node(2, address="b"), node(1, 2, "a")], Ask(cpus=4, gpus=4)))
    assert "needs 4 CPUs and 4 GPUs on one node. The cluster has a: 1 CPU and 2 GPUs; b: 2 CPUs." in error
    assert "--cluster-wait-s" in error
    assert "The cluster has no living nodes" in str(unplaceable([], Ask(cpus=1)))


class Bare:
    """A cluster whose head lives on and whose nodes are all gone."""

    address = "10.0.0.1:6379"

    def submit(self, *_: object) -> object:
        return object()

    def nodes(self) -> list[Node]:
        return []

    def head_answers(self) -> bool:
        return True

    def take_told(self) -> list[Any]:
        return []

    def wait(self, *_: object) -> list[Any]:
        return []

    def order(self, *_: object) -> None: ...

    def cancel(self, *_: object, **__: object) -> None: ...

    def close(self) -> None: ...


def test_a_cluster_may_be_without_a_node_as_long_as_one_was_to_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that grows on demand needs minutes for another node; a minute is what any of them gets."""
    monkeypatch.setattr(executor, "_CHECK_EVERY_S", 0.0)
    monkeypatch.setattr(executor, "_CLOSE_S", 0.0)
    clock = [0.0]
    monkeypatch.setattr("mlgym.execution.ray.executor.time.monotonic", lambda: clock[0])
    for wait_s, patience_s in ((0.0, 60.0), (600.0, 600.0)):
        clock[0] = 0.0
        cluster: Any = Bare()
        waiting = RayExecutor(Keeping(), cluster, capacity=1, ask=Ask(cpus=1), setup=NodeSetup(), wait_s=wait_s)
        waiting.submit(make_job("succeed", tmp_path))
        clock[0] = patience_s - 1
        waiting.poll(0)
        clock[0] = patience_s + 1
        with pytest.raises(RunError, match="no node of the Ray cluster can hold an experiment"):
            waiting.poll(0)
