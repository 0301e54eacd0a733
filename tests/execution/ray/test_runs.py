"""Whole runs on a cluster: the results of a run at home, whatever happens to nodes and drivers meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlgym
from mlgym.config import check, load
from mlgym.errors import RunError
from mlgym.events import read_log
from mlgym.execution import Counts, RunOptions, RunSummary, launch
from mlgym.execution.ray_options import RayOptions
from mlgym.execution.run_record import read_record
from mlgym.names import LOG_FILE
from mlgym.tracking import RunFolder
from tests.execution.ray.clusters import LoopbackCluster
from tests.execution.slow_project import CONFIG, LEARNING_RATES, results, results_at_home, slowly, write_project
from tests.server.service import Service
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config with a module beside it, in a folder of its own."""
    return write_project(tmp_path / "project")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """What the run gives in this process."""
    folder = tmp_path_factory.mktemp("home")
    return results_at_home(write_project(folder / "project"), folder)


def launched(
    config: Path, cluster: LoopbackCluster, storage: Path, *, on_event: Callable[[dict[str, Any]], bool], **options: Any
) -> RunSummary:
    """Runs a config on a cluster, slowly while there is the file `slow`, and shows each event."""
    document = load(config, slowly(storage.with_name("slow"), after_batches=20))
    on_ray = RunOptions(
        storage=storage, executor="ray", processes=2, ray=RayOptions(address=cluster.address), **options
    )
    return launch(document, check(document), on_ray, command=["mlgym", "run"], on_event=on_event)


class NodeKiller:
    """Kills the node of the first experiment that has a checkpoint; a watch that ends nothing.

    Experiments are slow until then.
    """

    def __init__(self, cluster: LoopbackCluster, slow: Path) -> None:
        self.cluster = cluster
        self.slow = slow
        self.node_of: dict[int, str] = {}
        self.killed: str | None = None
        self.victims: set[int] = set()

    def __call__(self, event: dict[str, Any]) -> bool:
        payload = event["payload"]
        words = str(payload.get("message", "")).split()
        if words[2:5] == ["runs", "on", "node"]:
            self.node_of[int(words[1])] = words[5]
        if event["event_type"] == "checkpoint_saved" and self.killed is None and len(self.node_of) == 2:
            address = self.node_of[payload["experiment_id"]]
            self.victims = {number for number, node in self.node_of.items() if node == address}
            number = [node.node_ip_address for node in self.cluster.nodes].index(address)
            self.killed = self.cluster.kill_node(number)
            self.slow.unlink()
        return False


def test_a_grid_gives_the_bits_of_home_and_the_users_module_travels(
    cluster: LoopbackCluster, config: Path, home: Counter[str], tmp_path: Path
) -> None:
    """Every result of every experiment is the same on nodes, which got the module, as in this process.

    A hub gets the same log from the driver, and the checkpoints from the nodes. On the cluster the run can be
    reproduced, too, wherever it was made, and both logs have the verdict.
    """
    with Service(tmp_path / "hub") as hub:
        run = mlgym.run(
            config,
            storage=tmp_path / "ray",
            executor="ray",
            processes=2,
            ray={"address": cluster.address},
            rest_endpoint=hub.url,
            checkpoint_place="hub",
            local_checkpoints=False,
            progress=False,
        )
        told = hub.storage / run.run_id
        wait_for(lambda: (told / LOG_FILE).read_bytes() == (run.path / LOG_FILE).read_bytes(), 60)
    assert [len(list(told.glob(f"{number}/checkpoints/*/manifest.json"))) for number in range(3)] == [1, 1, 1]
    assert not list(run.path.glob("*/checkpoints/epoch_*"))
    assert (run.exit_code, run.num_failed) == (0, 0)
    assert results(run.path) == home
    events = [event for _, event in read_log(run.path / "event_storage.log")]
    said = [event["payload"]["message"] for event in events if event["event_type"] == "log"]
    assert sum("runs on node 127.0.0." in message for message in said) == 3
    loaded = [message for message in said if message.startswith("loaded from")]
    assert loaded
    assert all("/working_dir_files/" in message for message in loaded)
    storage = run.path.parent
    (verdict,) = mlgym.reproduce(run.run_id, storage=storage, processes=1, ray={"code": "shared"}, progress=False)
    assert (verdict.verdict, verdict.causes) == ("identical", [])
    again = mlgym.load_run(verdict.new_run_id, storage)
    assert [[one.verdict for one in each.reproductions] for each in (run, again)] == [["identical"]] * 2
    assert read_record(RunFolder(storage, again.run_id)).ray_address == cluster.address


def test_experiments_of_a_killed_node_go_on_elsewhere(
    cluster: LoopbackCluster, config: Path, home: Counter[str], tmp_path: Path
) -> None:
    """A node dies with all its workers: every experiment ends with the results of home, and nothing is there twice."""
    killer = NodeKiller(cluster, tmp_path / "slow")
    summary = launched(config, cluster, tmp_path / "ray", on_event=killer)
    cluster.grow()
    assert killer.killed is not None
    assert killer.victims
    assert summary.counts == Counts(succeeded=3)
    attempts = {
        number: one.attempt for number, one in RunFolder(tmp_path / "ray", summary.run_id).state().experiments.items()
    }
    assert attempts == {number: int(number in killer.victims) for number in range(3)}
    assert results(summary.path) == home


def test_without_retries_they_fail_and_the_others_do_not(
    cluster: LoopbackCluster, config: Path, tmp_path: Path
) -> None:
    """The control: told not to go on elsewhere, the experiments of the killed node fail, and say why."""
    killer = NodeKiller(cluster, tmp_path / "slow")
    summary = launched(config, cluster, tmp_path / "ray", on_event=killer, node_retries=0)
    cluster.grow()
    state = RunFolder(tmp_path / "ray", summary.run_id).state()
    failed = {number for number, one in state.experiments.items() if one.status == "failed"}
    assert failed == killer.victims
    assert all(f"was lost with its node: {killer.killed}" in str(state.experiments[each].error) for each in failed)
    assert summary.counts == Counts(succeeded=3 - len(failed), failed=len(failed))


def test_a_killed_driver_leaves_nothing_running_and_its_run_goes_on(
    cluster: LoopbackCluster, config: Path, home: Counter[str], tmp_path: Path
) -> None:
    """The cluster ends the experiments of a driver that is gone; `resume` finishes them with the results of home."""
    storage = tmp_path / "ray"
    slow = tmp_path / "slow"
    command = ["run", str(config), *slowly(slow, after_batches=45)]
    command += ["--executor", "ray", "-p", "2", "--address", cluster.address]
    driver = subprocess.Popen(
        [sys.executable, "-m", "mlgym", *command, "--storage", str(storage), "--run-id", "run"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    folder = RunFolder(storage, "run")
    wait_for(lambda: any((storage / "run").glob("*/checkpoints/epoch_2-*")), 120)
    workers = cluster.processes_with("mlgym")
    assert len(workers) >= 2
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    wait_for(lambda: not cluster.processes_with("mlgym.execution"))
    slow.unlink()
    before = folder.state()
    assert before.status == "crashed"
    resumed = mlgym.resume("run", storage=storage, progress=False)
    assert (resumed.exit_code, resumed.num_failed) == (0, 0)
    assert results(folder.path) == home


def test_an_experiment_on_two_devices_is_reserved_together(
    cluster: LoopbackCluster, config: Path, tmp_path: Path
) -> None:
    """Two processes of one experiment run on one node, and give what they give at home."""
    config.write_text(CONFIG.replace(LEARNING_RATES, "1e-2"))
    ways: list[dict[str, Any]] = [
        {"executor": "processes"},
        {"executor": "ray", "ray": {"address": cluster.address}},
    ]
    found = []
    for number, way in enumerate(ways):
        run = mlgym.run(config, storage=tmp_path / str(number), devices_per_experiment=2, progress=False, **way)
        assert (run.exit_code, run.num_failed) == (0, 0), [one.error for one in run.state.experiments.values()]
        found.append(results(run.path))
    assert found[0] == found[1]


def test_what_no_node_can_hold_is_refused_before_anything_is_written(
    cluster: LoopbackCluster, config: Path, tmp_path: Path
) -> None:
    """Ray would wait for ever: the error says what was asked and what each node has."""
    expected = r"needs 8 CPUs on one node\. The cluster has .*127\.0\.0\.\d+: 2 CPUs"
    with pytest.raises(RunError, match=expected):
        mlgym.run(
            config,
            storage=tmp_path / "ray",
            executor="ray",
            ray={"address": cluster.address},
            devices_per_experiment=8,
            progress=False,
        )
    assert not (tmp_path / "ray").exists()


def test_a_run_without_a_token_or_with_a_wrong_one_does_not_start(
    cluster: LoopbackCluster, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has no token is told where it belongs; who has another one gets no further than the head."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for token, expected in (
        (None, "there is no token for the Ray cluster"),
        ("0" * 32, "does not take the token that this process has"),
    ):
        if token is None:
            monkeypatch.delenv("RAY_AUTH_TOKEN")
        else:
            monkeypatch.setenv("RAY_AUTH_TOKEN", token)
        with pytest.raises(RunError, match=expected):
            mlgym.run(
                config,
                storage=tmp_path / "ray",
                executor="ray",
                ray={"address": cluster.address},
                progress=False,
            )
    assert not (tmp_path / "ray").exists()
