"""The files through which driver and tasks talk: jobs and requests to stop one way, spools of events the other.

All of it is JSON and lies in `slurm` in the run folder, which every node sees. A task opens a spool before it reads its
job, and whoever takes a job back removes the job's file before looking for spools: one of the two sees the other.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from mlgym.errors import RunError
from mlgym.execution.executor import StopReason
from mlgym.execution.job import Job, decode_job, encode_job
from mlgym.execution.slurm.settings import Cluster
from mlgym.execution.slurm.setup import TaskSetup
from mlgym.tracking.atomic import write_atomically

NAME: Final = "slurm"
"""Its name in the run folder."""
_READY: Final = ".json"
_WITHDRAWN: Final = ".withdrawn"
_REASONS: Final[tuple[StopReason, ...]] = ("interrupt", "time_limit")


class Array(msgspec.Struct, kw_only=True, frozen=True):
    """Jobs that were submitted together.

    Args:
        job_ids: of MLgym, by their number in the array.
        cluster: where they were submitted.
        queue_ids: how the cluster calls each; none until it has taken them.
    """

    job_ids: list[str]
    cluster: Cluster
    queue_ids: list[str] = []


class JobFolder:
    """The files of the SLURM jobs of one run."""

    def __init__(self, run_dir: Path) -> None:
        """Names the folder; `prepare` makes it.

        Args:
            run_dir: the run folder, absolute.
        """
        self.run_dir = run_dir
        self.path = run_dir / NAME
        self.captured = self.path / "captured"
        """Scripts that were submitted, and what tasks write past their events."""

    def prepare(self) -> None:
        """Makes what is missing.

        Raises:
            RunError: it cannot be made.
        """
        try:
            for name in ("jobs", "arrays", "stop", "spool", "captured"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"`{self.path}` cannot be made: {error.strerror}") from error

    def put_setup(self, setup: TaskSetup) -> None:
        """Lays ready what all tasks need."""
        write_atomically(self.path / "setup.json", msgspec.json.encode(setup))

    def setup(self) -> TaskSetup:
        """Gives what all tasks need."""
        return msgspec.json.decode((self.path / "setup.json").read_bytes(), type=TaskSetup)

    def put_job(self, job: Job) -> None:
        """Lays a job ready for its task."""
        write_atomically(self._job_path(job.job_id), encode_job(job))

    def job(self, job_id: str) -> Job | None:
        """Gives a job; None where it was taken back or has ended."""
        with suppress(FileNotFoundError, msgspec.DecodeError):
            return decode_job(self._job_path(job_id).read_bytes())
        return None

    def jobs(self) -> dict[str, Job]:
        """Gives every job that is not forgotten yet, by its id; those that were taken back too."""
        found = {}
        for path in sorted((self.path / "jobs").iterdir()):
            if path.suffix in (_READY, _WITHDRAWN):
                with suppress(FileNotFoundError, msgspec.DecodeError):
                    found[path.stem] = decode_job(path.read_bytes())
        return found

    def withdraw(self, job_id: str) -> None:
        """Takes a job back: a task of it that starts from now on ends at once."""
        path = self._job_path(job_id)
        with suppress(FileNotFoundError):
            path.replace(path.with_suffix(_WITHDRAWN))

    def put_array(self, name: str, array: Array) -> None:
        """Notes which jobs are submitted together, and then how the cluster calls them."""
        write_atomically(self.path / "arrays" / f"{name}.json", msgspec.json.encode(array))

    def array(self, name: str) -> Array:
        """Gives an array by its name."""
        return msgspec.json.decode((self.path / "arrays" / f"{name}.json").read_bytes(), type=Array)

    def arrays(self) -> list[Array]:
        """Gives all arrays, in the order of their submission."""
        names = sorted(
            (path.stem for path in (self.path / "arrays").glob("*.json")), key=lambda name: (len(name), name)
        )
        return [self.array(name) for name in names]

    def ask_to_stop(self, job_id: str, reason: StopReason) -> None:
        """Leaves word why a task is signalled."""
        write_atomically(self._stop_path(job_id), reason.encode())

    def stop_reason(self, job_id: str) -> StopReason | None:
        """Gives why MLgym asked a task to end; None where it did not, and a signal is the cluster's."""
        with suppress(FileNotFoundError):
            text = self._stop_path(job_id).read_text(encoding="utf-8")
            return next((reason for reason in _REASONS if reason == text), None)
        return None

    def open_spool(self, job_id: str) -> tuple[int, int]:
        """Opens a new spool for the next start of a job; gives its descriptor and its number, from 0."""
        number = 0
        while True:
            with suppress(FileExistsError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
                return os.open(self.spool_path(job_id, number), flags, 0o644), number
            number += 1

    def spool_path(self, job_id: str, number: int) -> Path:
        """Gives where the events of a start of a job are."""
        return self.path / "spool" / f"{job_id}.{number}"

    def look_anew(self) -> None:
        """Has a network file system look for spools that other nodes have begun.

        Of a file that was missing once, NFS says so for up to a minute, unless its folder is read.
        """
        with suppress(OSError):
            list((self.path / "spool").iterdir())

    def spools(self, job_id: str) -> list[Path]:
        """Gives the spools of a job, by their numbers."""
        found: list[Path] = []
        while (path := self.spool_path(job_id, len(found))).exists():
            found.append(path)
        return found

    def captured_paths(self, queue_id: str) -> list[Path]:
        """Gives the files with what a task wrote past its events: its stdout and its stderr."""
        return [self.captured / f"{queue_id}_0_log.{ending}" for ending in ("out", "err")]

    def forget(self, job_id: str) -> None:
        """Removes everything about a job, whose events are in the log."""
        self.withdraw(job_id)
        self._stop_path(job_id).unlink(missing_ok=True)
        # The last one first: what is left of them after a crash still begins with number 0.
        for path in reversed(self.spools(job_id)):
            path.unlink(missing_ok=True)
        self._job_path(job_id).with_suffix(_WITHDRAWN).unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes the folder, once nothing runs and all events are in the log."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _job_path(self, job_id: str) -> Path:
        return self.path / "jobs" / f"{job_id}{_READY}"

    def _stop_path(self, job_id: str) -> Path:
        return self.path / "stop" / job_id
