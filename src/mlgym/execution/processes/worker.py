"""One experiment in a process of its own: from the job's bytes to its last event.

`main` is what the fork server calls in a fresh child and `start` what a fresh interpreter calls. PyTorch is imported
only by the default entry, `run_job`.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from mlgym.errors import RunError
from mlgym.events import EventSink
from mlgym.execution.group.local import run_group
from mlgym.execution.imported_code import tell_other_code
from mlgym.execution.job import Job, decode_job
from mlgym.execution.linux import adopt_orphans, die_with_parent
from mlgym.execution.output.tap import tapped_output
from mlgym.execution.output.worker_logging import captured_logging
from mlgym.execution.perform import perform
from mlgym.execution.pipe_sink import PipeSink
from mlgym.execution.stop_request import StopRequest, install_signal_handlers


def run_job(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Builds the experiment of a job and runs it to its end.

    Raises:
        Interrupted: a stop was requested; what must be kept is on disk.
        Exception: whatever fails in building or running it.
    """
    from mlgym.config import import_user_modules
    from mlgym.execution.main_module import import_main_script
    from mlgym.training import ExperimentContext, StopFlag, World, prepare_process, run_experiment

    flag = StopFlag()

    def raise_flag() -> None:
        flag.requested = True

    stop.on_request(raise_flag)
    prepare_process(threads=job.threads, deterministic=job.deterministic)
    if job.main_script:
        import_main_script(Path(job.main_script))
    if job.imports:
        import_user_modules(job.imports, Path(job.folder) if job.folder else None)
    parts = bool(job.code) and tell_other_code(job, sink)
    world = World.from_environment() if job.world_size > 1 else World.single()
    if world.size != job.world_size:
        raise RunError(f"this experiment needs {job.world_size} processes, but was started in {world.size}")
    context = ExperimentContext(
        run_id=job.run_id,
        experiment_id=job.experiment_id,
        run_dir=Path(job.run_dir),
        seed=job.seed,
        device=job.device,
        sink=sink,
        job_id=job.job_id,
        attempt=job.attempt,
        lineage=job.lineage + int(parts),
        allow_data_change=job.allow_data_change,
        known_data=job.known_data,
        known_checkpoints=tuple(job.known_checkpoints),
        checkpoint_place=job.checkpoint_place,
        keep_local_checkpoints=job.local_checkpoints,
        is_scratch=job.is_scratch,
        fold=job.fold,
        until_epoch=job.until_epoch,
        stop=flag,
        world=world,
    )
    run_experiment(job.config, context)


def warm_up(config: dict[str, Any]) -> None:
    """Works out what building a config takes: signatures and validators of its components, which are kept.

    Called once in the fork server instead of in every child. It builds nothing, and computes nothing with PyTorch.

    Args:
        config: a resolved, sweep-free config.

    Raises:
        RegistryError: it names a component that is not registered.
    """
    from mlgym.config import REGISTRY
    from mlgym.config.adapters import adapter
    from mlgym.config.signature import signature_of
    from mlgym.config.tree import tree_of
    from mlgym.execution.main_module import used_names

    tree_of(config)  # answers of abstract base classes, which look through all their subclasses, are kept too
    adapter(Any)
    for name in used_names(config):
        for parameter in signature_of(REGISTRY.find(name)).params.values():
            adapter(parameter.annotation)


def main(job_fd: int, events_fd: int) -> int:
    """Runs the job behind a descriptor in this process, which belongs to it alone.

    Args:
        job_fd: a file with the job as JSON.
        events_fd: pipe that takes the events, one JSON object a line.

    Returns:
        Exit status: 0 where it succeeded, else 1.
    """
    with os.fdopen(job_fd, "rb") as file:
        job = decode_job(file.read())
    for stream in (sys.stdout, sys.stderr):
        # A line is told when it is printed, and printing never fails.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]  # of text
    faulthandler.enable(file=sys.stderr, all_threads=True)  # by descriptor: it works when nothing else does
    stop = StopRequest()
    install_signal_handlers(stop)
    sink = PipeSink(events_fd)
    if job.world_size > 1:
        # The ranks listen to what they print themselves, and this process prints nothing.
        return 0 if perform(job, sink, stop, nullcontext(), lambda job, _, stop: run_group(job, events_fd, stop)) else 1
    return 0 if perform(job, sink, stop, _listening(job, sink)) else 1


@contextmanager
def _listening(job: Job, sink: PipeSink) -> Iterator[None]:
    # Lines go the way of the events, which keeps the order of all that is said.
    with tapped_output(sink.tell_lines, passes_on=False), captured_logging(sink, job.run_id, job.experiment_id):
        yield


def start() -> None:
    """Runs a job in a fresh interpreter; arguments: descriptors of job and event pipe, id of the fork server."""
    job_fd, events_fd, server_pid = (int(argument) for argument in sys.argv[1:4])
    die_with_parent(server_pid)
    adopt_orphans()
    for descriptor in (job_fd, events_fd):
        os.set_inheritable(descriptor, False)
    sys.exit(main(job_fd, events_fd))
