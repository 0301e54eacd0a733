"""The fork server: imports what experiments need once, then forks a fresh process per job.

It runs as a process of its own, single-threaded, and does nothing but import, fork, pass signals on, and bury the
dead. It is the parent of all workers, so that it can end each with everything that it started; when the driver goes
away, however that happens, it kills all of them and ends. Knows no PyTorch itself.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from mlgym.execution.forked import exit_now, forget_parent, take_over_streams
from mlgym.execution.imported_code import note_import
from mlgym.execution.job import BATCH_SIGNAL, STOP_SIGNAL, TIME_LIMIT_SIGNAL
from mlgym.execution.launcher import python_command
from mlgym.execution.linux import (
    adopt_orphans,
    children,
    die_with_parent,
    kill_group,
    names_of_threads,
    num_threads,
    outlive_parent,
)
from mlgym.execution.main_module import import_main_script
from mlgym.execution.output.worker_logging import admit_info
from mlgym.execution.processes import worker
from mlgym.execution.processes.channel import (
    Channel,
    ChannelClosedError,
    Ended,
    Fork,
    ImportFailed,
    Importing,
    Note,
    NotStarted,
    Ready,
    Report,
    Request,
    Signal,
    Start,
    Started,
    clip,
)

_DRIVER_CHECK_S: Final = 1.0
_STRAY_S: Final = 2.0
_NUM_FDS: Final = 4


class _ImportFailedError(Exception):
    """Carries the report about a failed import."""

    def __init__(self, report: ImportFailed) -> None:
        self.report = report
        super().__init__(report.error)


@dataclass(slots=True)
class _Worker:
    """A running child. A spawned one keeps its `Popen`, which would otherwise wait for the process on its own."""

    job_id: str
    popen: subprocess.Popen[bytes] | None = None


class ForkServer:
    """The loop of the server process."""

    def __init__(self, channel: Channel[Report, Request], driver_pid: int) -> None:
        self._channel = channel
        self._driver_pid = driver_pid
        self._workers: dict[int, _Worker] = {}
        self._own_children: set[int] = set()
        self._wake: tuple[int, int] = (-1, -1)
        self._starts_threads: str | None = None
        self._spoils_cuda = False

    def run(self) -> None:
        """Imports, then serves until the driver closes its end or is gone."""
        # Until there are workers to bury, the kernel may end the server with its driver: an import can hang.
        die_with_parent(self._driver_pid)
        try:
            start, _ = self._channel.receive()
            assert isinstance(start, Start)
            self._import(start)
        except _ImportFailedError as failure:
            self._channel.send(failure.report)
            return
        if start.example is not None:
            with suppress(Exception):  # an experiment that needs it will say what is wrong
                worker.warm_up(start.example)
        admit_info()
        self._spoils_cuda = _cuda_is_lost_in_children()
        adopt_orphans()
        gc.collect()
        gc.freeze()  # collections in the children then leave the shared pages alone
        self._own_children = children()
        self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # After the imports, which may have set handlers of their own.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        # Batch systems signal every process of a job; whether workers end is for the driver and them to say.
        for signum in (STOP_SIGNAL, BATCH_SIGNAL, TIME_LIMIT_SIGNAL):
            signal.signal(signum, signal.SIG_IGN)
        outlive_parent()
        try:
            self._channel.send(Ready())
            self._serve()
        except ChannelClosedError:
            pass
        finally:
            self._end_all()

    def _serve(self) -> None:
        wake = self._wake[0]
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        poll.register(wake, select.POLLIN)
        while os.getppid() == self._driver_pid:
            ready = {descriptor for descriptor, _ in poll.poll(_DRIVER_CHECK_S * 1000)}
            if wake in ready:
                with suppress(BlockingIOError):
                    os.read(wake, 4096)
                self._bury()
            if self._channel.fileno() in ready:
                self._answer()

    def _answer(self) -> None:
        request, fds = self._channel.receive()
        if isinstance(request, Fork):
            try:
                self._start_worker(request, fds)
            finally:
                for descriptor in fds:
                    os.close(descriptor)
        elif isinstance(request, Signal):
            self._pass_on(request)

    def _pass_on(self, request: Signal) -> None:
        for pid, running in self._workers.items():
            if running.job_id == request.job_id:
                # The process is not waited for yet, so its id cannot belong to somebody else.
                if request.signum == signal.SIGKILL:
                    kill_group(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, request.signum)

    def _start_worker(self, request: Fork, fds: list[int]) -> None:
        assert len(fds) == _NUM_FDS
        spawn_reason = self._why_forking_is_unsafe()
        try:
            if spawn_reason is None:
                pid, popen = self._fork(fds), None
            else:
                popen = self._spawn(fds)
                pid = popen.pid
        except OSError as error:
            self._channel.send(NotStarted(request.job_id, f"could not be started: {error}"))
            return
        self._workers[pid] = _Worker(request.job_id, popen)
        self._channel.send(Started(request.job_id, pid, spawn_reason))

    def _fork(self, fds: list[int]) -> int:
        server_pid = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become_worker(fds, server_pid)
        return pid

    def _become_worker(self, fds: list[int], server_pid: int) -> NoReturn:
        code = 1
        try:
            os.setsid()
            die_with_parent(server_pid)
            adopt_orphans()
            signal.set_wakeup_fd(-1)
            for signum in (signal.SIGCHLD, STOP_SIGNAL, BATCH_SIGNAL, TIME_LIMIT_SIGNAL, signal.SIGPIPE):
                signal.signal(signum, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._channel.close()
            job, events, stdout, stderr = fds
            take_over_streams(stdout, stderr)
            for descriptor in self._wake:
                os.close(descriptor)
            forget_parent()
            code = worker.main(job, events)
            atexit._run_exitfuncs()
        except BaseException:  # nothing may run the server's code in the child
            traceback.print_exc()
        finally:
            exit_now(code)

    def _spawn(self, fds: list[int]) -> subprocess.Popen[bytes]:
        job, events, stdout, stderr = fds
        return subprocess.Popen(  # noqa: S603 - this interpreter
            python_command("mlgym.execution.processes.worker", str(job), str(events), str(os.getpid())),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=(job, events),
            start_new_session=True,
        )

    def _bury(self) -> None:
        """Waits for those that ended, after everything that they started was killed."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid in self._workers:
                # Before it is waited for, while its id still names its group.
                kill_group(ended.si_pid)
            pid, status, usage = os.wait4(ended.si_pid, 0)
            self._own_children.discard(pid)
            running = self._workers.pop(pid, None)
            if running is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            if running.popen is not None:
                running.popen.returncode = code
            self._kill_strays()
            self._channel.send(
                Ended(
                    job_id=running.job_id,
                    code=code if code >= 0 else None,
                    signal=-code if code < 0 else None,
                    cpu_s=usage.ru_utime + usage.ru_stime,
                    max_rss_bytes=usage.ru_maxrss * 1024,
                )
            )

    def _kill_strays(self) -> None:
        # Descendants of a dead worker, those that left its group too, are children of the server by now; a killed one
        # may leave us more of them. Daemons of living workers are those workers' children.
        give_up_at = time.monotonic() + _STRAY_S
        while strays := children() - self._own_children - self._workers.keys():
            for pid in strays:
                kill_group(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > give_up_at:
                self._own_children |= strays  # stuck in the kernel; they end when it lets go of them
                return
            time.sleep(0.001)

    def _end_all(self) -> None:
        for pid in self._workers:
            kill_group(pid)
        self._workers.clear()
        self._kill_strays()

    def _why_forking_is_unsafe(self) -> str | None:
        """Gives the reason why this process must not be forked, or None where it may.

        A lock that another thread holds is never released in the child, and CUDA does not survive a fork.
        """
        if num_threads() != 1:
            names = ", ".join(dict.fromkeys(names_of_threads()))
            return f"importing `{self._starts_threads or 'a module'}` has started threads ({names})"
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            return "an imported module has initialised CUDA"
        if self._spoils_cuda:
            return "an imported module has looked for GPUs through the CUDA runtime"
        return None

    def _import(self, start: Start) -> None:
        sys.path[:] = start.sys_path
        for module in start.preload:
            self._import_one(module)
        for module in start.preload_if_installed:
            try:
                self._import_one(module)
            except _ImportFailedError as failure:
                # Optional: what fails here fails again, and is reported, in the experiment that needs it.
                if not failure.report.error.startswith("ModuleNotFoundError"):
                    self._channel.send(Note(f"not preloaded: {failure.report.error}"))
        if start.main_script is not None:
            self._import_main(Path(start.main_script))
            self._look_for_threads(str(start.main_script))
        if start.imports:
            self._channel.send(Importing(", ".join(start.imports)))
            from mlgym.config import import_user_modules

            try:
                import_user_modules(start.imports, Path(start.folder) if start.folder else None)
            except BaseException as error:
                raise _ImportFailedError(_report(", ".join(start.imports), error)) from error
            self._look_for_threads(", ".join(start.imports))
        if start.imports or start.main_script is not None:
            note_import(start.imports, start.folder, start.main_script)

    def _import_main(self, path: Path) -> None:
        self._channel.send(Importing(str(path)))
        try:
            import_main_script(path)
        except BaseException as error:
            raise _ImportFailedError(_report(str(path), error)) from error

    def _import_one(self, module: str) -> None:
        self._channel.send(Importing(module))
        try:
            importlib.import_module(module)
        except BaseException as error:  # a module may call `sys.exit` too
            raise _ImportFailedError(_report(module, error)) from error
        self._look_for_threads(module)

    def _look_for_threads(self, imported: str) -> None:
        if self._starts_threads is None and num_threads() != 1:
            self._starts_threads = imported


def _cuda_is_lost_in_children() -> bool:
    """Tells whether PyTorch would refuse CUDA in children of this process, which only a child can find out.

    Where NVML does not answer for the devices, as for MIG instances and on boards without it, counting them asks the
    CUDA runtime, and PyTorch notes that for all forks to come; no module of its own is marked as initialised.
    """
    torch = sys.modules.get("torch")
    if torch is None or num_threads() != 1:
        return False
    pid = os.fork()
    if pid == 0:
        lost = False
        with suppress(BaseException):  # nothing may run the server's code in the child
            lost = bool(torch.cuda._is_in_bad_fork())
        os._exit(int(lost))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def _report(module: str, error: BaseException) -> ImportFailed:
    text = "".join(traceback.format_exception(error))
    return ImportFailed(module, clip(f"{type(error).__name__}: {error}"), clip(text))


def start() -> None:
    """Runs a server over the socket whose descriptor is the first argument; the second is the driver's process id."""
    end = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(end.fileno(), False)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # of text
    with suppress(ChannelClosedError):
        ForkServer(Channel(end, Request), int(sys.argv[2])).run()
    # Not through the interpreter's shutdown: exit handlers of imported modules belong to the workers.
    exit_now(0)
