"""Clusters that nobody has started before: this run's own, and one that takes everybody."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlgym.errors import RunError
from mlgym.execution import marked
from mlgym.execution.ray.capacity import Ask
from mlgym.execution.ray.connecting import connect
from mlgym.execution.ray.executor import RayExecutor
from mlgym.execution.ray.node_setup import NodeSetup
from mlgym.execution.ray.security import MODE_VARIABLE, TOKEN_PATH_VARIABLE, TOKEN_VARIABLE, refuse_open_cluster
from mlgym.execution.ray_options import RayOptions
from tests.execution.handlers import Keeping, make_job
from tests.execution.ray.clusters import LIGHT, NO_CODE, poll_until, run_all
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OPEN_CLUSTER = """
import ray
context = ray.init(
    address="local", num_cpus=1, include_dashboard=False, log_to_driver=False,
    object_store_memory=80 * 2**20, _node_ip_address="127.0.0.2",
)
print(context.address_info["gcs_address"], flush=True)
input()
ray.shutdown()
"""
# Waits in an experiment of its own cluster until it is killed.
DRIVER = """
import sys
from pathlib import Path
from tests.execution.handlers import make_job
from tests.execution.ray.clusters import poll_until
from tests.execution.ray.test_own_cluster import own_executor
executor = own_executor()[0]
executor.submit(make_job("leave_children", Path(sys.argv[1]), children=sys.argv[1] + "/children", wait=True))
poll_until(executor, lambda: False)
"""


@pytest.fixture(autouse=True)
def _has_ray() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mlgym[ray]'")


def own_executor() -> tuple[RayExecutor, Keeping]:
    """An executor on a cluster of this process's own."""
    handler = Keeping()
    cluster = connect(RayOptions(), NO_CODE, num_cpus=1)
    return RayExecutor(handler, cluster, capacity=1, ask=Ask(cpus=1), setup=NodeSetup(**LIGHT)), handler


def variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("RAY_")}


def test_an_own_cluster_is_behind_a_token_says_what_is_open_and_leaves_nothing(tmp_path: Path) -> None:
    """It refuses strangers, tells the ports that others reach, and is gone with folder, processes and variables."""
    before, sigterm = variables(), signal.getsignal(signal.SIGTERM)
    executor, told = own_executor()
    try:
        token = Path(os.environ[TOKEN_PATH_VARIABLE])
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        # Ray opens its own folder to everybody.
        assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
        assert signal.getsignal(signal.SIGTERM) is sigterm
        refuse_open_cluster(executor._cluster.address)
        run_all(executor, told, make_job("succeed", tmp_path))
        assert told.exits["run-0"].code == 0
        (warning,) = [message for level, message in told.notes if level == "warning"]
        port = executor._cluster.address.rpartition(":")[2]
        assert "listens on all network interfaces" in warning
        assert port in warning
        mark = f"{TOKEN_PATH_VARIABLE}={token}".encode()
        assert marked.members(mark)
    finally:
        executor.close()
    wait_for(lambda: not marked.members(mark) and not token.parent.exists())
    assert variables() == before


def test_a_killed_driver_takes_its_own_cluster_with_it(tmp_path: Path) -> None:
    """Nothing of it is left, though Ray alone would leave processes for minutes, and its folder."""
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], stdin=subprocess.DEVNULL)
    try:
        wait_for((tmp_path / "children").exists, 200)
        experiment = (tmp_path / "children").read_text().split()[0]
        started_with = Path(f"/proc/{experiment}/environ").read_bytes().split(b"\0")
        mark = next(each for each in started_with if each.startswith(TOKEN_PATH_VARIABLE.encode()))
        assert len(marked.members(mark)) > 3
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    wait_for(lambda: not marked.members(mark))
    wait_for(lambda: not Path(mark.decode().partition("=")[2]).parent.exists())


def test_a_cluster_that_takes_everybody_is_refused_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what that means; with `insecure` the same cluster runs a job."""
    monkeypatch.setenv(TOKEN_VARIABLE, "x" * 32)
    monkeypatch.delenv(MODE_VARIABLE, raising=False)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with subprocess.Popen(
        [sys.executable, "-c", OPEN_CLUSTER],
        env={**environment, MODE_VARIABLE: "disabled"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        assert other.stdout is not None
        address = other.stdout.readline().strip()
        with pytest.raises(RunError, match=r"takes everybody who reaches it.*--insecure-cluster"):
            connect(RayOptions(address=address), NO_CODE)
        handler = Keeping()
        cluster = connect(RayOptions(address=address, insecure=True, code="shared"), NO_CODE)
        executor = RayExecutor(handler, cluster, capacity=1, ask=Ask(cpus=1), setup=NodeSetup(**LIGHT))
        try:
            run_all(executor, handler, make_job("succeed", tmp_path))
            assert handler.exits["run-0"].code == 0
            executor.submit(make_job("sleep", tmp_path, 1))
            poll_until(executor, lambda: "run-1" in handler.started)
        finally:
            executor.close()
        assert handler.exits["run-1"].signal_name == "SIGKILL"
        other.communicate("\n")
