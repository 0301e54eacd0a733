"""What runs on a node: the task of one job.

The task runs no experiment itself. It keeps a fork server beside it, as a driver does at home, has the job forked from
that, and passes on what comes: so an experiment gets a fresh process, a limit on nothing but itself, an exit code, a
signal and its last lines exactly as elsewhere. Ray's worker process stays free of the user's code, and may be used
again.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from mlgym.errors import RunError
from mlgym.execution.environment.hardware import cpu_model
from mlgym.execution.environment.packages import package_versions
from mlgym.execution.job import Job, decode_job
from mlgym.execution.processes.executor import ProcessExecutor
from mlgym.execution.processes.server_process import ServerSettings
from mlgym.execution.ray.frames import FrameWriter, Hello
from mlgym.execution.ray.node_setup import NodeSetup, decode_setup
from mlgym.execution.ray.orders import KILL_ORDER, TIME_LIMIT_ORDER, Orders

_POLL_S: Final = 0.1
# Each message to the driver costs Ray a few hundred microseconds; what comes within this time goes together.
_GATHER_S: Final = 0.05
_GATHER_BYTES: Final = 32 * 1024


class _Host:
    """The fork server of this worker process, and what it was started for."""

    def __init__(self, writer: FrameWriter, executor: ProcessExecutor, key: tuple[bytes, str | None]) -> None:
        self.writer = writer
        self.executor = executor
        self.key = key


_host: _Host | None = None
_started_in: Path | None = None


def supervise(job_data: bytes, setup_data: bytes, order_key: bytes) -> Iterator[bytes]:
    """Runs a job on this node and yields what it tells, in chunks of frames.

    Args:
        job_data: the job as JSON.
        setup_data: a `NodeSetup` as JSON.
        order_key: where the driver leaves what it asks for, in Ray's internal key-value store.
    """
    global _started_in
    _started_in = _started_in or Path.cwd()
    job, setup = decode_job(job_data), decode_setup(setup_data)
    orders = Orders(order_key)
    hello = FrameWriter()
    hello.hello(Hello(node=node_name(), facts=node_facts()))
    # Not `yield from`: Ray sends something back for each, which a list's iterator does not take.
    for chunk in hello.take():
        yield chunk
    try:
        problem = _why_unfit(job, setup)
        if problem is None:
            host = _host_for(setup, setup_data)
            with _run_folder(job) as run_dir:
                yield from _watched(host, _localised(job, setup, run_dir), orders)
            return
    except RunError as error:
        problem = str(error)
    finally:
        orders.close()
    hello.unfit(problem)
    for chunk in hello.take():
        yield chunk


def _watched(host: _Host, job: Job, orders: Orders) -> Iterator[bytes]:
    """Runs a job on a fork server; whatever ends this task ends the job."""
    writer, executor = host.writer, host.executor
    writer.reset()
    try:
        executor.submit(job)
        sent_at = time.monotonic()
        while writer.ended is None:
            executor.poll(_POLL_S)
            _obey(orders, executor, job)
            if writer.num_bytes > _GATHER_BYTES or time.monotonic() - sent_at > _GATHER_S:
                for chunk in writer.take():
                    yield chunk
                sent_at = time.monotonic()
        for chunk in writer.take():
            yield chunk
    finally:
        if writer.ended is None:  # cancelled, or the fork server broke down
            _drop_host()


def _obey(orders: Orders, executor: ProcessExecutor, job: Job) -> None:
    order = orders.take()
    if order == KILL_ORDER:
        executor.kill(job.job_id)
    elif order is not None:
        executor.stop(job.job_id, "time_limit" if order == TIME_LIMIT_ORDER else "interrupt")


def node_name() -> str:
    """Gives the address of this node, and the name of its machine where that says more."""
    import ray

    ask: Any = ray.util.get_node_ip_address
    address, name = str(ask()), socket.gethostname()
    return address if name in ("", "localhost", address) else f"{address} ({name})"


def node_facts() -> dict[str, str]:
    """Gives, by name, what makes machines give other bits, or none at all."""
    return {**package_versions(), "python": platform.python_version(), "CPU": cpu_model() or "unknown"}


def _why_unfit(job: Job, setup: NodeSetup) -> str | None:
    """Gives what this node lacks, so that everything would fail or, worse, be written where nobody looks."""
    if job.checkpoint_place is None and not Path(job.run_dir).is_dir():
        return (
            f"does not see the run folder {job.run_dir}: put the storage folder on a file system that all nodes share "
            "under the same path (`--storage`), or the checkpoints elsewhere (`--checkpoint-place`)"
        )
    if setup.code == "shared" and setup.folder is not None and setup.imports and not Path(setup.folder).is_dir():
        return (
            f"does not see the config's folder {setup.folder}, whose modules the config imports: leave out "
            "`--ray-code shared`, and the folder goes to the nodes"
        )
    return None


@contextmanager
def _run_folder(job: Job) -> Iterator[str]:
    """Gives the run folder as this node sees it; one for the time of the job where only a place has the checkpoints."""
    if Path(job.run_dir).is_dir():
        yield job.run_dir
        return
    with tempfile.TemporaryDirectory(prefix="mlgym-run-") as folder:
        yield folder


def _localised(job: Job, setup: NodeSetup, run_dir: str) -> Job:
    """Gives the job with the user's code, and the run folder, where they are on this node."""
    folder, main_script = _code_places(setup)
    return msgspec.structs.replace(
        job,
        run_dir=run_dir,
        is_scratch=run_dir != job.run_dir,
        folder=None if folder is None else str(folder),
        main_script=None if main_script is None else str(main_script),
    )


def _code_places(setup: NodeSetup) -> tuple[Path | None, Path | None]:
    assert _started_in is not None
    root = _started_in if setup.code == "upload" else Path("/")
    folder = None if setup.folder is None else root if setup.code == "upload" else Path(setup.folder)
    return folder, None if setup.main_script is None else root / setup.main_script


def _host_for(setup: NodeSetup, setup_data: bytes) -> _Host:
    """Gives the fork server for a driver's jobs; another one where Ray has given this process other GPUs."""
    global _host
    key = (setup_data, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if _host is not None and _host.key != key:
        _drop_host()
    if _host is None:
        folder, main_script = _code_places(setup)
        writer = FrameWriter()
        settings = ServerSettings(
            imports=setup.imports,
            folder=folder,
            main_script=main_script,
            threads=setup.threads,
            preload=setup.preload,
            preload_if_installed=setup.preload_if_installed,
            environment=_environment(setup),
            example=setup.example,
        )
        with _as_at_home(setup):
            _host = _Host(writer, ProcessExecutor(writer, capacity=1, settings=settings), key)
    return _host


def _drop_host() -> None:
    global _host
    if _host is not None:
        _host.writer.reset()
        _host.executor.close()
        _host = None


def _environment(setup: NodeSetup) -> dict[str, str]:
    # Ray sets it for each task, to the cores that it asked for; threads are a part of a run's identity.
    own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return {**own, **setup.variables}


@contextmanager
def _as_at_home(setup: NodeSetup) -> Iterator[None]:
    """Starts processes as a driver would: in its folder, without Ray's own modules, with signals that come through."""
    import ray

    folder, entries = Path.cwd(), sys.path[:]
    ray_folder = str(Path(ray.__file__).parent)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    sys.path[:] = [entry for entry in entries if not entry.startswith(ray_folder)]
    with suppress(OSError):
        os.chdir(setup.working_folder)
    try:
        yield
    finally:
        os.chdir(folder)
        sys.path[:] = entries
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
