"""Where tasks are submitted: a SLURM cluster through submitit and SLURM's own commands, or submitit's local stand-in.

Only the part of submitit is used that makes a batch script of options and submits it. Its way to ship a function, a
pickle on disk, is not: a task is given a command, and reads its job as JSON.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from mlgym.errors import RunError
from mlgym.execution.launcher import python_command
from mlgym.execution.linux import kill_group
from mlgym.execution.slurm.folder import JobFolder
from mlgym.execution.slurm.settings import Cluster, SlurmSettings
from mlgym.execution.slurm.states import GONE

_COMMAND_S: Final = 120.0
_CONTROLLER_END_S: Final = 5.0
_NO_LIMIT_MIN: Final = 60.0 * 24 * 365
_MAX_IDS: Final = 500
"""Job ids on one command line."""


class QueueError(Exception):
    """The cluster did not do what it was asked for, or did not answer; the text is its own."""


@dataclass(frozen=True)
class Target:
    """Where a task is: how the cluster calls it, and its process, where it has begun."""

    queue_id: str
    pid: int | None = None


class Queue(Protocol):
    """A cluster as the executor sees it."""

    def submit(self, folder: JobFolder, array: str, job_ids: Sequence[str]) -> list[str]:
        """Submits the jobs of an array and gives how the cluster calls each.

        Raises:
            QueueError: it did not take them.
        """

    def states(self, queue_ids: Sequence[str]) -> dict[str, str]:
        """Gives the state of each task, as SLURM names it; those that nothing is known of yet are left out.

        Raises:
            QueueError: it does not answer.
        """

    def signal(self, targets: Sequence[Target], signum: signal.Signals) -> None:
        """Sends a signal to the processes of tasks that run."""

    def cancel(self, targets: Sequence[Target]) -> None:
        """Ends tasks for good, whether they run or wait."""

    def close(self) -> None:
        """Frees what this process holds, once no task runs."""


def queue_of(cluster: Cluster, settings: SlurmSettings | None = None) -> Queue:
    """Gives the queue of a cluster.

    Args:
        cluster: which.
        settings: how to submit; None for one that is only asked about what was submitted.
    """
    return LocalQueue(settings) if cluster == "local" else SlurmQueue(settings)


class SlurmQueue(Queue):
    """A SLURM cluster, by its commands on the path."""

    def __init__(self, settings: SlurmSettings | None) -> None:
        self._settings = settings
        self._has_accounting = True

    def submit(self, folder: JobFolder, array: str, job_ids: Sequence[str]) -> list[str]:
        """Submits one job array; see `Queue.submit`."""
        assert self._settings is not None
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            executor = SlurmExecutor(folder.captured)
            executor.update_parameters(**self._settings.parameters)
        except (RuntimeError, ValueError) as error:
            raise QueueError(f"{error} Start the run where SLURM's commands are, such as a login node") from error
        executor.parameters["map_count"] = len(job_ids)
        try:
            # Not `submit`, which writes a pickle; this one is private, and a test holds it to its word.
            with _quiet_stderr():
                submitted = executor._submit_command(f"exec {_task_command(folder, array)}")
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise QueueError(f"sbatch: {str(error).strip() or 'failed without a word'}") from error
        return [f"{submitted.job_id}_{index}" for index in range(len(job_ids))]

    def states(self, queue_ids: Sequence[str]) -> dict[str, str]:
        """Asks the accounting, or the controller where there is no accounting; see `Queue.states`."""
        found: dict[str, str] = {}
        arrays = list(dict.fromkeys(queue_id.partition("_")[0] for queue_id in queue_ids))
        for begin in range(0, len(arrays), _MAX_IDS):
            found |= self._states(arrays[begin : begin + _MAX_IDS])
        return {queue_id: found[queue_id] for queue_id in queue_ids if queue_id in found} | (
            {} if self._has_accounting else {queue_id: GONE for queue_id in queue_ids if queue_id not in found}
        )

    def _states(self, arrays: Sequence[str]) -> dict[str, str]:
        from submitit.slurm.slurm import SlurmInfoWatcher

        if self._has_accounting:
            try:
                text = _run(["sacct", "-o", "JobID,State", "--parsable2", f"--jobs={','.join(arrays)}"])
                return {one: info["State"] for one, info in SlurmInfoWatcher().read_info(text).items()}
            except QueueError as error:
                if not _lacks_accounting(str(error)):
                    raise
                self._has_accounting = False
        try:
            text = _run(
                ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", f"--jobs={','.join(arrays)}"]
            )
        except QueueError as error:
            if "invalid job id" not in str(error).lower():
                raise
            return {}  # what it was asked for has ended long ago
        return dict(line.strip().split("|", 1) for line in text.splitlines() if "|" in line)

    def signal(self, targets: Sequence[Target], signum: signal.Signals) -> None:
        """Has SLURM send it to the tasks' own processes, and to none that these started; see `Queue.signal`."""
        self._scancel(["--batch", f"--signal={signum.name.removeprefix('SIG')}"], targets)

    def cancel(self, targets: Sequence[Target]) -> None:
        """Cancels the jobs; see `Queue.cancel`."""
        self._scancel([], targets)

    def close(self) -> None:
        """See `Queue.close`; a cluster's processes are not ours."""

    def _scancel(self, options: list[str], targets: Sequence[Target]) -> None:
        for begin in range(0, len(targets), _MAX_IDS):
            ids = [target.queue_id for target in targets[begin : begin + _MAX_IDS]]
            with suppress(QueueError):  # what has ended meanwhile is an error for it
                _run(["scancel", *options, *ids])


class LocalQueue(Queue):
    """Tasks under submitit's controllers on this machine: what a cluster does, to try it out."""

    def __init__(self, settings: SlurmSettings | None) -> None:
        self._settings = settings
        self._controllers: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, folder: JobFolder, array: str, job_ids: Sequence[str]) -> list[str]:
        """Starts a controller for each; see `Queue.submit`."""
        assert self._settings is not None
        from submitit import LocalExecutor
        from submitit.local.local import LocalJob

        executor = LocalExecutor(folder.captured)
        executor.update_parameters(
            timeout_min=_minutes(self._settings.parameters["time"]),
            signal_delay_s=self._settings.signal_delay_s,
            setup=self._settings.parameters.get("setup", ()),
        )
        queue_ids = []
        for index in range(len(job_ids)):
            with _without_interrupts():
                submitted: LocalJob[Any] = executor._submit_command(_task_command(folder, array, index))
            process = submitted._process
            assert process is not None
            self._controllers[submitted.job_id] = process
            queue_ids.append(submitted.job_id)
        return queue_ids

    def states(self, queue_ids: Sequence[str]) -> dict[str, str]:
        """Looks for the controllers, also for those of a driver that is gone; see `Queue.states`."""
        return {queue_id: self._state(queue_id) for queue_id in queue_ids}

    def _state(self, queue_id: str) -> str:
        controller = self._controllers.get(queue_id)
        if controller is None:
            return "RUNNING" if _is_running(int(queue_id), "submitit.local._local") else GONE
        code = controller.poll()
        return "RUNNING" if code is None else "COMPLETED" if code == 0 else "FAILED"

    def signal(self, targets: Sequence[Target], signum: signal.Signals) -> None:
        """Sends it to the tasks' processes; see `Queue.signal`."""
        for target in targets:
            if target.pid is not None and _is_running(target.pid, "mlgym.execution.slurm.task"):
                with suppress(ProcessLookupError):
                    os.kill(target.pid, signum)

    def cancel(self, targets: Sequence[Target]) -> None:
        """Kills the controllers, then the tasks; see `Queue.cancel`."""
        for target in targets:
            controller = int(target.queue_id)
            tasks = set() if target.pid is None else {target.pid}
            if _is_running(controller, "submitit.local._local"):
                tasks |= _children(controller)
                with suppress(ProcessLookupError):
                    os.kill(controller, signal.SIGKILL)
            for pid in tasks:
                if _is_running(pid, "mlgym.execution.slurm.task"):
                    kill_group(pid)

    def close(self) -> None:
        """Waits for the controllers, which end soon after their tasks; see `Queue.close`."""
        for controller in self._controllers.values():
            try:
                controller.wait(_CONTROLLER_END_S)
            except subprocess.TimeoutExpired:
                controller.kill()
                controller.wait()


def _minutes(time: str | int | None) -> float:
    try:
        return float(time or _NO_LIMIT_MIN)
    except ValueError as error:
        raise QueueError(f"`time` is a number of minutes where `cluster` is `local`, not `{time}`") from error


def _task_command(folder: JobFolder, array: str, *index: int) -> str:
    """Gives the shell's command of a task; where no array tells them apart, with its number."""
    return shlex.join(python_command("mlgym.execution.slurm.task", str(folder.run_dir), array, *map(str, index)))


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_S, check=False)  # noqa: S603 - of SLURM
    except FileNotFoundError as error:
        raise QueueError(f"there is no `{command[0]}` on the path") from error
    except subprocess.TimeoutExpired as error:
        raise QueueError(f"`{command[0]}` did not answer within {_COMMAND_S:g} s") from error
    if done.returncode:
        raise QueueError(f"{command[0]}: {done.stderr.strip() or f'exited with code {done.returncode}'}")
    return done.stdout


def _lacks_accounting(text: str) -> bool:
    return "no `sacct`" in text or "accounting storage is disabled" in text.lower()


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    # submitit prints what sbatch says, which is in the error too.
    import io
    from contextlib import redirect_stderr

    with redirect_stderr(io.StringIO()):
        yield


@contextmanager
def _without_interrupts() -> Iterator[None]:
    # Ctrl-C goes to everything that the terminal runs; whether a task ends is for the driver to say. What is blocked
    # stays so in the processes that are started.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_running(pid: int, what: str) -> bool:
    """Tells whether a process is there and runs a certain module, since ids are used again."""
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return what.encode() in command
    return False


def _children(pid: int) -> set[int]:
    with suppress(OSError):
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return set()


def require_answer(queue: Queue, queue_ids: Sequence[str], run_id: str) -> dict[str, str]:
    """Gives the states of tasks.

    Raises:
        RunError: nobody can tell.
    """
    try:
        return queue.states(queue_ids)
    except QueueError as error:
        raise RunError(
            f"whether {len(queue_ids)} SLURM tasks of run `{run_id}` still run cannot be told, and two processes at "
            f"one experiment would spoil it: {error}. Go on where SLURM's commands are; if all of them have surely "
            "ended, remove `slurm/arrays` from the run folder"
        ) from error
