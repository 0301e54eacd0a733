"""Whether experiments fit on a cluster is known before any is submitted."""

from __future__ import annotations

import pytest

from mlgym.execution.ray.capacity import Ask, Node, num_places, unplaceable


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
