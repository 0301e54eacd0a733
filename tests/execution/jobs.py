# ruff: noqa: T201 - printing is what these are for
"""What the executors are made to run in these tests: experiments that go well, and every way to go wrong.

Entries of jobs: functions of (job, sink, stop). Their parameters are in the job's config. No PyTorch.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import msgspec

from mlgym.errors import Interrupted
from mlgym.events import CheckpointSaved, EvaluationResult, EventSink, LossScore, TrainingStopped
from mlgym.execution.job import Job
from mlgym.execution.stop_request import StopRequest

FOR_EVER_S = 600.0
"""Longer than any test: what waits so long must be ended."""


def succeed(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Emits as many results as the config says."""
    for epoch in range(job.config.get("epochs", 3)):
        sink.emit(
            EvaluationResult(
                grid_search_id=job.run_id,
                experiment_id=job.experiment_id,
                epoch=epoch,
                step=epoch * 10,
                metric_scores=[],
                loss_scores=[LossScore("loss", "train", 1.0 / (epoch + 1))],
            )
        )


def fail(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Raises an error with a note and a lone surrogate in its text."""
    error = ValueError("the data is \udcff odd")
    error.add_note("while building components.data")
    raise error


def leave(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Calls `sys.exit`."""
    sys.exit(4)


def segfault(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Reads address 0."""
    print("about to read address 0")
    ctypes.string_at(0)


def exit_at_once(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Ends without a word."""
    succeed(job, sink, stop)
    os._exit(3)


def kill_itself(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Dies by SIGKILL after some results and lines."""
    succeed(job, sink, stop)
    for number in range(60):
        print(f"line {number}")
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Waits in steps, and stops at a step boundary when asked."""
    give_up_at = time.monotonic() + job.config.get("seconds", FOR_EVER_S)
    while time.monotonic() < give_up_at:
        time.sleep(0.02)
        if stop.requested:
            print("stopped at a step boundary")
            raise Interrupted


def sleep_after_a_signal(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Sends its own process SIGUSR2, as somebody may who watches it, and waits in steps."""
    os.kill(os.getpid(), signal.SIGUSR2)
    sleep(job, sink, stop)


def wait_for_file(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Waits until there is the file that `until` names."""
    while not Path(job.config["until"]).exists():
        time.sleep(0.02)


def hang(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Hangs in C code that never lets go of the GIL, so that no Python signal handler runs: locks a mutex twice."""
    libc, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


def ignore_stop(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Waits, and goes on when it is asked to stop, which it says once."""
    give_up_at, was_asked = time.monotonic() + FOR_EVER_S, False
    while time.monotonic() < give_up_at:
        time.sleep(0.02)
        if stop.requested and not was_asked:
            was_asked = True
            print("asked to stop, and goes on")


def talk(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Prints before and after a result."""
    print("good day")
    succeed(msgspec.structs.replace(job, config={"epochs": 1}), sink, stop)
    print("good bye", file=sys.stderr)


def print_much(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Prints as many MB as the config says, in lines of 100 bytes."""
    line = "x" * 99 + "\n"
    for _ in range(job.config["megabytes"]):
        sys.stdout.write(line * 10_000)
    print("the last line")


def speak(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Uses every way to say something."""
    print("printed")
    print("printed to stderr", file=sys.stderr)
    os.write(1, b"written by C \xff\n")
    logging.getLogger("user.code").info("logged %d", 7)
    warnings.warn("warned", stacklevel=1)
    for percent in range(0, 101, 10):
        print(f"\r{percent} %", end="")
    print()
    print("no end of line", end="")


def leave_children(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Leaves a child and a daemon that has a session of its own; writes their ids to the file `children`."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    daemon = "import subprocess as s; print(s.Popen(['sleep', '300'], start_new_session=True, stdout=s.DEVNULL).pid)"
    found = subprocess.run([sys.executable, "-c", daemon], stdout=subprocess.PIPE, text=True, check=True)
    told = Path(job.config["children"])
    # Whole as soon as it is there.
    written = told.with_name(f".{told.name}")
    written.write_text(f"{os.getpid()} {child.pid} {found.stdout}")
    written.rename(told)
    sys.stdout.flush()
    if job.config.get("wait"):
        hang(job, sink, stop)


class _Endless:
    """A dataset that never ends."""

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> int:
        time.sleep(0.01)
        return index


def load_forever(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Reads from a loader with two processes, and looks for no stop."""
    from torch.utils.data import DataLoader

    for _ in DataLoader(_Endless(), num_workers=2):  # type: ignore[arg-type]  # an iterable is enough
        pass


def report_process(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Prints what the process is like."""
    handlers = [signal.getsignal(each) for each in (signal.SIGCHLD, signal.SIGPIPE)]
    default = all(handler == signal.SIG_DFL for handler in handlers)
    print(
        os.getpid(),
        os.getpgid(0),
        os.getsid(0),
        default,
        sorted(int(each.name) for each in Path("/proc/self/fd").iterdir()),
    )
    names = ("PYTHONHASHSEED", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG")
    print(*[os.environ.get(name) for name in names])


def report_folder(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Prints the run folder, and leaves a file in it."""
    print(job.run_dir)
    Path(job.run_dir, "left").write_text("behind")


def fail_at_first(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Fails in its first attempt, and succeeds in others."""
    if job.attempt == 0:
        fail(job, sink, stop)
    succeed(job, sink, stop)


def stop_early(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Ends before its last epoch."""
    succeed(job, sink, stop)
    sink.emit(
        TrainingStopped(
            grid_search_id=job.run_id, experiment_id=job.experiment_id, epoch=2, step=20, reason="no better"
        )
    )


def save_and_wait(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Says that it saved a checkpoint and waits in its first attempt; in others tells what the job says of before."""
    path = f"{job.experiment_id}/checkpoints/epoch_1-step_10"
    if job.attempt == 0:
        sink.emit(
            CheckpointSaved(
                grid_search_id=job.run_id,
                experiment_id=job.experiment_id,
                epoch=1,
                step=10,
                path=path,
                bytes=1,
                sha256={},
                reasons=["last"],
            )
        )
        sleep(job, sink, stop)
    print(f"attempt {job.attempt}, lineage {job.lineage}, knows {', '.join(job.known_checkpoints) or 'none'}")


def crowd(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Leaves a file while it runs; experiment 0 lacks memory while there are others, and says how many there were.

    The others stay until it has seen one of them.
    """
    here = Path(job.config["crowd"])
    own, seen = here / str(job.experiment_id), here.with_name("seen")
    own.touch()
    try:
        while job.experiment_id and not seen.exists():
            time.sleep(0.01)
        if job.experiment_id:
            time.sleep(0.3)
            return
        while (num_others := len(list(here.iterdir())) - 1) == 0 and job.attempt == 0:
            time.sleep(0.01)
        time.sleep(0.1)
        num_others = max(num_others, len(list(here.iterdir())) - 1)
        seen.touch()
        if num_others > 0:
            raise MemoryError(f"{num_others} others take it all")
    finally:
        own.unlink()


def by_name(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Runs the function of this module that the config names."""
    globals()[job.config["entry"]](job, sink, stop)
