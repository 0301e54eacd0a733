# ruff: noqa: T201 - printing is what these are for
"""What the ranks of these tests do: each what the config says for it. No PyTorch but where it is said."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

import msgspec

from mlgym.events import EventSink
from mlgym.execution.job import Job
from mlgym.execution.stop_request import StopRequest
from tests.execution import jobs


def each(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Does what `ranks` of the config names for this rank: a function of this module, or of `tests.execution.jobs`."""
    name = job.config["ranks"][int(os.environ["RANK"])]
    (globals().get(name) or getattr(jobs, name))(job, sink, stop)


def speak(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Says who it is in every way, and makes an event."""
    print(f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} on {job.device}")
    os.write(2, f"raw {os.environ['LOCAL_RANK']}\n".encode())
    logging.getLogger("user.code").info("logged")
    jobs.succeed(job, sink, stop)


def lose_connection(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Fails as a rank does whose connection to a dead one broke."""
    raise RuntimeError(
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1"
    )


def die_after_others_noticed(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Is killed a moment after the errors of those that lost it: `after_s` of the config."""
    print("my last words")
    time.sleep(job.config.get("after_s", 0.15))
    os.kill(os.getpid(), signal.SIGKILL)


def fail_later(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Raises a moment after the errors of those that lost it."""
    time.sleep(0.15)
    raise ValueError("the cause")


def leave_children_and_hang(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Leaves a child and a daemon, tells their ids in a file of its own, and hangs."""
    own = job.config["children"] + os.environ["RANK"]
    jobs.leave_children(msgspec.structs.replace(job, config={"children": own}), sink, stop)
    with Path(job.config["children"]).open("a") as file:
        file.write("here\n")
    jobs.hang(job, sink, stop)
