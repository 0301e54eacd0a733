"""Jobs in the driver's own process: as a caller of any executor sees them, and without a trace afterwards."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mlgym.errors import RunError
from mlgym.events import EventSink
from mlgym.execution.inline import InlineExecutor
from mlgym.execution.job import Job
from mlgym.execution.stop_request import StopRequest
from tests.execution.conftest import Processes
from tests.execution.handlers import Keeping, make_job, run_all


@pytest.fixture
def handler() -> Keeping:
    """A handler that keeps everything."""
    return Keeping()


@pytest.mark.filterwarnings("default")
def test_inline_and_processes_tell_the_same(
    processes: Processes, handler: Keeping, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Good, failing and talking jobs give the same events, output and exits in both kinds."""
    jobs = [make_job(entry, tmp_path, number) for number, entry in enumerate(["succeed", "fail", "leave", "speak"])]
    run_all(processes.executor, processes.handler, *jobs)
    run_all(InlineExecutor(handler), handler, *jobs)
    for job in jobs:
        here, there = handler, processes.handler
        assert here.types(job.job_id) == there.types(job.job_id)
        assert here.exits[job.job_id].code == there.exits[job.job_id].code
        assert (here.done(job.job_id) or {})["error"] == (there.done(job.job_id) or {})["error"]
        for stream in ("stdout", "stderr"):
            # What C code writes to the terminal's descriptor cannot be read along in this process.
            assert [line for kind, line in here.output[job.job_id] if kind == stream] == [
                line for kind, line in there.output[job.job_id] if kind == stream and "written by C" not in line
            ]
    assert handler.started == [job.job_id for job in jobs]


@pytest.mark.filterwarnings("default")
def test_the_terminal_is_left_alone(handler: Keeping, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a job prints is shown as always, and told as well."""
    run_all(InlineExecutor(handler), handler, make_job("speak", tmp_path))
    shown = capsys.readouterr()
    assert "printed\n" in shown.out
    assert shown.out.endswith("no end of line")
    assert shown.err.startswith("printed to stderr\n")


def random_state_of_numpy() -> str:
    """The whole state of NumPy's global generator, as text."""
    with np.printoptions(threshold=10_000):
        return repr(np.random.get_state())


def disturb(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Changes everything that a training changes of its process."""
    import torch

    os.environ["DISTURBED"] = "1"
    os.chdir("/")
    logging.getLogger().setLevel(logging.CRITICAL)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    torch.backends.cudnn.benchmark = True


@pytest.mark.slow
def test_global_state_is_put_back(handler: Keeping, tmp_path: Path) -> None:
    """Environment, folder, logging, generators and PyTorch's settings are as before the job."""
    import torch

    def state() -> list[object]:
        root = logging.getLogger()
        return [
            dict(os.environ),
            Path.cwd(),
            (root.level, root.handlers[:]),
            (sys.stdout, sys.stderr),
            random.getstate(),
            random_state_of_numpy(),
            torch.get_rng_state().tolist(),
            (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()),
            (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark),
        ]

    before = state()
    job = Job(
        run_id="run", experiment_id=0, job_id="run-0", run_dir=str(tmp_path), config={}, entry=f"{__name__}:disturb"
    )
    run_all(InlineExecutor(handler), handler, job)
    assert handler.exits["run-0"].code == 0, handler.done("run-0")
    assert state() == before


def test_a_job_past_its_limit_stops_at_a_step_boundary(handler: Keeping, tmp_path: Path) -> None:
    """Although the driver's loop stands still, the limit is kept."""
    job = make_job("sleep", tmp_path)
    job = msgspec.structs.replace(job, time_limit_s=0.2)
    run_all(InlineExecutor(handler), handler, job)
    assert (handler.done(job.job_id) or {})["error"] == "exceeded its time limit of 0.2 s"


def test_stop_and_kill_from_a_signal_handler(handler: Keeping, tmp_path: Path) -> None:
    """Asked to stop, a job ends at a step boundary; killed, it ends where it is and tells no end of its own."""
    executor = InlineExecutor(handler)
    stopped, killed = (make_job("sleep_after_a_signal", tmp_path, number) for number in range(2))

    def stop() -> None:
        executor.stop(stopped.job_id, "interrupt")

    def kill() -> None:
        executor.kill(killed.job_id)

    calls = iter([stop, kill])
    before = signal.signal(signal.SIGUSR2, lambda *_: next(calls)())
    try:
        for job in (stopped, killed):
            run_all(executor, handler, job)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert (handler.done(stopped.job_id) or {})["interrupted"]
    assert handler.done(killed.job_id) is None
    assert handler.exits[killed.job_id].reason == "was interrupted at once"


def test_close_tells_the_end_of_what_did_not_run(handler: Keeping, tmp_path: Path) -> None:
    """Waiting jobs end, and nothing is taken afterwards."""
    executor, job = InlineExecutor(handler), make_job("succeed", tmp_path)
    executor.submit(job)
    executor.close()
    assert handler.exits[job.job_id].reason == "was stopped before it started"
    with pytest.raises(RunError, match="closed"):
        executor.submit(job)
