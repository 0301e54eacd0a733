"""A cluster of three nodes on loopback addresses, each a process tree of its own that can be killed."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlgym.execution.executor import Executor
from mlgym.execution.job import Job
from mlgym.execution.ray.capacity import Ask
from mlgym.execution.ray.code_package import UserCode
from mlgym.execution.ray.connecting import connect, use_token_mode
from mlgym.execution.ray.executor import RayExecutor
from mlgym.execution.ray.listening import descendants
from mlgym.execution.ray.node_setup import NodeSetup
from mlgym.execution.ray.security import MODE_VARIABLE, TOKEN_PATH_VARIABLE, TOKEN_VARIABLE
from mlgym.execution.ray.task import node_facts
from mlgym.execution.ray_options import RayOptions
from tests.execution.handlers import Keeping
from tests.execution.handlers import poll_until as poll_until_within

_OBJECT_STORE_BYTES = 80 * 2**20
CPUS = 2
"""Of each node but the head, which runs nothing."""


class LoopbackCluster:
    """Head 127.0.0.2 without cores, and nodes with two each."""

    def __init__(self, folder: Path) -> None:
        """Starts the nodes, once more where the head was too slow for Ray, as on a machine that is busy."""
        self.token = secrets.token_hex(16)
        self._before = {name: os.environ.get(name) for name in (MODE_VARIABLE, TOKEN_VARIABLE, TOKEN_PATH_VARIABLE)}
        os.environ |= {MODE_VARIABLE: "token", TOKEN_VARIABLE: self.token}
        os.environ.pop(TOKEN_PATH_VARIABLE, None)
        self._own = set(descendants(os.getpid()))
        self._hosts = iter(range(3, 100))
        self.nodes: list[Any] = []
        # One at a time: two heads that start beside each other on two cores are both later than Ray waits.
        with (Path(tempfile.gettempdir()) / "mlgym-tests-ray.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self._cluster = self._start()
            except Exception:
                self._end_processes()
                self._cluster = self._start()
            self.grow()
            self.grow()

    @property
    def address(self) -> str:
        """Of the head."""
        return str(self._cluster.address)

    def grow(self) -> None:
        """Adds a node."""
        self.nodes.append(
            self._cluster.add_node(
                num_cpus=CPUS,
                node_ip_address=f"127.0.0.{next(self._hosts)}",
                object_store_memory=_OBJECT_STORE_BYTES,
            )
        )

    def kill_node(self, number: int) -> str:
        """Kills a node with all that runs on it, as a power cut would; gives its address."""
        node = self.nodes.pop(number)
        for pid in descendants(node.all_processes["raylet"][0].process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)
        return str(node.node_ip_address)

    def kill_raylet(self, number: int) -> list[int]:
        """Kills what makes a machine a node, and leaves what runs there; gives the processes that it had."""
        node = self.nodes.pop(number)
        raylet = node.all_processes["raylet"][0].process.pid
        left = descendants(raylet)[1:]
        os.kill(raylet, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)
        return left

    def processes_with(self, text: str) -> list[int]:
        """Gives the processes on its nodes in whose command line a text stands."""
        found = []
        for node in self.nodes:
            for pid in descendants(node.all_processes["raylet"][0].process.pid):
                with suppress(OSError):
                    if text.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.append(pid)
        return found

    def close(self) -> None:
        """Ends everything that belongs to it."""
        with suppress(Exception):
            self._cluster.shutdown()
        self._end_processes()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def _start(self) -> Any:
        from ray.cluster_utils import Cluster

        use_token_mode("token")
        return Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "node_ip_address": "127.0.0.2",
                "object_store_memory": _OBJECT_STORE_BYTES,
                "include_dashboard": False,
                # A node is given up after seconds, not half a minute.
                "_system_config": {
                    "health_check_initial_delay_ms": 1000,
                    "health_check_period_ms": 1000,
                    "health_check_failure_threshold": 3,
                },
            },
        )

    def _end_processes(self) -> None:
        # Only what this cluster has started: other tests have children, too.
        for pid in set(descendants(os.getpid())) - self._own:
            with suppress(ProcessLookupError, OSError):
                if b"ray" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)


NO_CODE = UserCode(folder=Path("/"), imports=(), main_script=None, storage=Path("/nowhere"))
LIGHT: dict[str, Any] = {"preload": ["tests.execution.jobs"], "working_folder": str(Path.cwd())}


class OnCluster:
    """An executor with the handler that keeps what it tells."""

    def __init__(self, cluster: LoopbackCluster, **setup: Any) -> None:
        self.handler = Keeping()
        connection = connect(RayOptions(address=cluster.address, code="shared"), NO_CODE)
        self.executor = RayExecutor(
            self.handler,
            connection,
            capacity=4,
            ask=Ask(cpus=1.0),
            setup=NodeSetup(**{**LIGHT, "facts": node_facts(), **setup}),
        )


def poll_until(executor: Executor, condition: Any) -> None:
    """Polls until the condition holds; the first job on a node starts two processes, on a busy machine slowly."""
    poll_until_within(executor, condition, 120)


def run_all(executor: Executor, handler: Keeping, *jobs: Job) -> None:
    """Submits jobs and waits for their ends."""
    for job in jobs:
        executor.submit(job)
    poll_until(executor, lambda: all(job.job_id in handler.exits for job in jobs))


def is_alive(pid: int) -> bool:
    """Whether a process still does anything; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
