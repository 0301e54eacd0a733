"""The contract between those who schedule jobs and those who run them; the kinds cannot be told apart by a caller."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from mlgym.execution.job import Exit, Job

Stream: TypeAlias = Literal["stdout", "stderr"]
StopReason: TypeAlias = Literal["interrupt", "time_limit"]


class Handler(Protocol):
    """Whom an executor tells what happens; called only from within `Executor.submit`, `poll` and `close`."""

    def on_started(self, job_id: str) -> None:
        """The job has a process of its own now (or this process is about to run it)."""

    def on_events(self, job_id: str, lines: list[bytes]) -> None:
        """The job made events: encoded, whole, in its order."""

    def on_output(self, job_id: str | None, stream: Stream, lines: list[str]) -> None:
        """The job printed lines, without their ends; None: the executor's own processes did."""

    def on_exit(self, job_id: str, ended: Exit) -> None:
        """The job ended and nothing more will come from it; called exactly once per submitted job."""

    def on_note(self, level: Literal["info", "warning", "error"], message: str) -> None:
        """The executor has something to tell that concerns no single job."""


class Executor(Protocol):
    """Runs jobs.

    Everything that a job says reaches the handler from within `poll`, so that handlers need no locks. `stop` and
    `kill` may be called from a signal handler.
    """

    @property
    def capacity(self) -> int:
        """How many jobs can run at the same time."""

    def submit(self, job: Job) -> None:
        """Takes a job and starts it as soon as it can.

        Raises:
            RunError: this executor cannot run anything any more.
        """

    def poll(self, timeout_s: float) -> None:
        """Waits until something happened, at most `timeout_s`, and tells the handler about it.

        Raises:
            RunError: this executor cannot run anything any more; all its jobs were reported as ended.
        """

    def stop(self, job_id: str, reason: StopReason) -> None:
        """Asks a job to end at its next step boundary; does nothing when it is not running any more."""

    def kill(self, job_id: str) -> None:
        """Ends a job and everything it started at once; does nothing when it is not running any more."""

    def close(self) -> None:
        """Ends all jobs and frees everything; can be called twice."""
