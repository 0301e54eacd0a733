"""A handler that keeps everything, and the loop around an executor that most tests need."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from mlgym.events import decode
from mlgym.execution.executor import Executor, Handler, Stream
from mlgym.execution.job import Exit, Job


class Keeping(Handler):
    """Keeps what an executor tells."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Starts over."""
        self.started: list[str] = []
        self.events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.output: dict[str | None, list[tuple[Stream, str]]] = defaultdict(list)
        self.exits: dict[str, Exit] = {}
        self.notes: list[tuple[str, str]] = []

    def on_started(self, job_id: str) -> None:
        self.started.append(job_id)

    def on_events(self, job_id: str, lines: list[bytes]) -> None:
        self.events[job_id] += [decode(line) for line in lines]

    def on_output(self, job_id: str | None, stream: Stream, lines: list[str]) -> None:
        self.output[job_id] += [(stream, line) for line in lines]

    def on_exit(self, job_id: str, ended: Exit) -> None:
        assert job_id not in self.exits
        self.exits[job_id] = ended

    def on_note(self, level: str, message: str) -> None:
        self.notes.append((level, message))

    def types(self, job_id: str) -> list[str]:
        """The types of a job's events, with the status of those that have one."""
        return [
            ":".join(filter(None, [event["event_type"], event["payload"].get("status")]))
            for event in self.events[job_id]
        ]

    def done(self, job_id: str) -> dict[str, Any] | None:
        """The payload of a job's DONE."""
        payloads = [event["payload"] for event in self.events[job_id] if event["event_type"] == "job_status"]
        return next((payload for payload in payloads if payload["status"] == "DONE"), None)


def make_job(entry: str, tmp_path: Path, number: int = 0, **config: Any) -> Job:
    """A job that runs a function of `tests.execution.jobs`."""
    return Job(
        run_id="run",
        experiment_id=number,
        job_id=f"run-{number}",
        run_dir=str(tmp_path),
        config=config,
        time_limit_s=500.0,
        entry=f"tests.execution.jobs:{entry}",
    )


def poll_until(executor: Executor, condition: Any, timeout_s: float = 120.0) -> None:
    """Polls until the condition holds; fails after the timeout."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "timed out"
        executor.poll(0.1)


def run_all(executor: Executor, handler: Keeping, *jobs: Job) -> None:
    """Submits jobs and waits for their ends."""
    for job in jobs:
        executor.submit(job)
    poll_until(executor, lambda: all(job.job_id in handler.exits for job in jobs))
