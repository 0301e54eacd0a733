"""The executor when a cluster, or what it is asked for, is not as it should be: said once, with the node."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgym.errors import RunError
from mlgym.execution.ray.task import node_facts
from tests.execution.handlers import make_job
from tests.execution.ray.clusters import LoopbackCluster, OnCluster, is_alive, poll_until, run_all
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_lost_node_is_told_and_what_it_told_before_is_kept(cluster: LoopbackCluster, tmp_path: Path) -> None:
    """Jobs on a node that dies end as lost, with all that they had told; those on others go on."""
    made = OnCluster(cluster)
    cluster.grow()
    try:
        for number in range(4):
            made.executor.submit(make_job("sleep", tmp_path, number))
        poll_until(made.executor, lambda: all(made.handler.types(f"run-{number}") for number in range(4)))
        address = cluster.kill_node(0)
        there = {
            f"run-{message.split()[1]}" for _, message in made.handler.notes if f"runs on node {address}" in message
        }
        assert there
        poll_until(made.executor, lambda: there <= made.handler.exits.keys())
        assert set(made.handler.exits) == there
        for job_id in there:
            assert made.handler.exits[job_id].lost
            assert f"was lost with its node: {address}" in str(made.handler.exits[job_id].reason)
            assert made.handler.types(job_id) == ["job_status:RUNNING"]
    finally:
        made.executor.close()


def test_what_a_node_started_ends_with_its_raylet(cluster: LoopbackCluster, tmp_path: Path) -> None:
    """A machine that is no node any more stops computing, since the experiment goes on elsewhere."""
    made = OnCluster(cluster)
    cluster.grow()
    try:
        for number in range(2):
            made.executor.submit(make_job("ignore_stop", tmp_path, number))
        poll_until(made.executor, lambda: len(made.handler.started) == 2)
        address = next(message.split()[5] for _, message in made.handler.notes if "runs on node" in message)
        left = cluster.kill_raylet([node.node_ip_address for node in cluster.nodes].index(address))
        assert left
        wait_for(lambda: not any(is_alive(pid) for pid in left))
    finally:
        made.executor.close()


def test_a_node_that_does_not_see_the_run_folder_says_so(cluster: LoopbackCluster, tmp_path: Path) -> None:
    """Checkpoints must not be written where nobody looks: the run ends, and names node and folder."""
    made = OnCluster(cluster)
    try:
        made.executor.submit(make_job("succeed", tmp_path / "elsewhere"))
        with pytest.raises(RunError, match=r"node 127\.0\.0\.\d+ .*does not see the run folder .*elsewhere"):
            poll_until(made.executor, lambda: False)
        assert "does not see the run folder" in str(made.handler.exits["run-0"].reason)
        with pytest.raises(RunError, match="does not see the run folder"):
            made.executor.submit(make_job("succeed", tmp_path))
    finally:
        made.executor.close()


def test_a_module_that_a_node_cannot_import_is_named_with_the_node(cluster: LoopbackCluster, tmp_path: Path) -> None:
    """What fails to be imported there is said with the node, not as a thousand failed experiments."""
    made = OnCluster(cluster, imports=["no_such_components"], folder=str(tmp_path))
    try:
        made.executor.submit(make_job("succeed", tmp_path))
        with pytest.raises(RunError, match=r"node 127\.0\.0\.\d+ .*`no_such_components` cannot be imported"):
            poll_until(made.executor, lambda: False)
    finally:
        made.executor.close()


def test_other_versions_on_a_node_are_told_once(cluster: LoopbackCluster, tmp_path: Path) -> None:
    """A node that may give other bits is in the log."""
    made = OnCluster(cluster, facts={**node_facts(), "torch": "2.10.0"})
    try:
        for number in range(2):
            run_all(made.executor, made.handler, make_job("succeed", tmp_path, number))
        warned = [message for level, message in made.handler.notes if level == "warning"]
        assert len(warned) == len({message.split()[1] for message in warned})
        assert all("(here 2.10.0)" in message for message in warned)
        assert warned
    finally:
        made.executor.close()


def test_close_ends_what_runs_and_can_be_called_twice(cluster: LoopbackCluster, tmp_path: Path) -> None:
    """Nothing is left on the cluster, and every job has its end."""
    made = OnCluster(cluster)
    children = tmp_path / "children"
    made.executor.submit(make_job("leave_children", tmp_path, children=str(children), wait=True))
    poll_until(made.executor, children.exists)
    made.executor.close()
    made.executor.close()
    assert made.handler.exits["run-0"].signal_name == "SIGKILL"
    wait_for(lambda: not any(is_alive(int(pid)) for pid in children.read_text().split()))
