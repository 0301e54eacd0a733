"""Runs each job in a fresh process, forked by a server that has imported everything once."""

from __future__ import annotations

import os
import selectors
import signal
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn, TypeAlias

from mlgym.errors import RunError
from mlgym.execution.executor import Executor, Handler, StopReason, Stream
from mlgym.execution.job import STOP_SIGNAL, TIME_LIMIT_SIGNAL, Exit, Job, encode_job
from mlgym.execution.linux import event_pipe, kill_group, memory_file
from mlgym.execution.output.lines import LineSplitter
from mlgym.execution.output.tap import STREAMS
from mlgym.execution.pipe_sink import split_lines
from mlgym.execution.processes.channel import (
    ChannelClosedError,
    Ended,
    Fork,
    ImportFailed,
    Importing,
    Note,
    NotStarted,
    Ready,
    Signal,
    Started,
)
from mlgym.execution.processes.server_process import ServerProcess, ServerSettings

_READ_BYTES: Final = 1024 * 1024
# Of one pipe before the others get their turn: a worker that prints without end must not starve them.
_MAX_READS_A_TURN: Final = 4
_Kind: TypeAlias = Literal["events"] | Stream
_KINDS: Final[tuple[_Kind, ...]] = ("events", *STREAMS)


@dataclass(slots=True)
class _Running:
    """A job that was handed to the fork server; `pid` is known once it runs."""

    job: Job
    pipes: dict[_Kind, int]
    splitters: dict[Stream, LineSplitter] = field(default_factory=lambda: {each: LineSplitter() for each in STREAMS})
    partial_event: bytes = b""
    pid: int | None = None


class ProcessExecutor(Executor):
    """A process per job, under a fork server of its own, so that code the user has edited is never stale.

    Where forking is unsafe, the server starts a fresh interpreter instead; the handler is told why. A server that dies
    is replaced once.
    """

    def __init__(self, handler: Handler, *, capacity: int, settings: ServerSettings | None = None) -> None:
        """Starts the fork server, which imports while this process goes on.

        Args:
            handler: is told what happens.
            capacity: jobs at the same time, > 0.
            settings: what the server imports, and its environment.
        """
        self._handler = handler
        self._capacity = capacity
        self._settings = settings or ServerSettings()
        self._waiting: deque[Job] = deque()
        self._cancelled: set[str] = set()
        self._running: dict[str, _Running] = {}
        self._selector = selectors.DefaultSelector()
        self._told_spawn_reason: str | None = None
        self._can_restart = True
        self._broken: RunError | None = None
        self._server = self._start_server()

    @property
    def capacity(self) -> int:
        """How many jobs can run at the same time."""
        return self._capacity

    @property
    def server_pid(self) -> int:
        """The id of the fork server's process."""
        return self._server.pid

    def submit(self, job: Job) -> None:
        """Takes a job and starts it as soon as the server is ready; see `Executor.submit`."""
        if self._broken is not None:
            raise self._broken
        self._waiting.append(job)
        self._send_waiting()

    def poll(self, timeout_s: float) -> None:
        """Waits for news and tells them; see `Executor.poll`."""
        if self._broken is not None:
            raise self._broken
        self._end_cancelled()
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            # What was handled before it may have closed it, and a new descriptor may have got its number.
            if self._selector.get_map().get(key.fd) is key:
                react: Callable[[], None] = key.data
                react()

    def stop(self, job_id: str, reason: StopReason) -> None:
        """Sends the signal that asks for an end; see `Executor.stop`."""
        self._signal(job_id, TIME_LIMIT_SIGNAL if reason == "time_limit" else STOP_SIGNAL)

    def kill(self, job_id: str) -> None:
        """Kills the process and everything it started; see `Executor.kill`."""
        self._signal(job_id, signal.SIGKILL)

    def close(self) -> None:
        """Ends the server, which ends all workers with their children; see `Executor.close`."""
        if self._broken is None:
            self._broken = RunError("this executor is closed")
            self._stop_server()
            self._finish_all(Exit(reason="was killed because its run ended"))
        self._selector.close()

    def _signal(self, job_id: str, signum: int) -> None:
        # May run in a signal handler, between any two lines of this class: it only sends or notes.
        if job_id in self._running:
            with suppress(ChannelClosedError, OSError):
                self._server.channel.send(Signal(job_id, signum))
        else:
            self._cancelled.add(job_id)

    def _end_cancelled(self) -> None:
        for job in [job for job in self._waiting if job.job_id in self._cancelled]:
            self._waiting.remove(job)
            self._handler.on_exit(job.job_id, Exit(reason="was stopped before it started"))
        self._cancelled.clear()

    def _send_waiting(self) -> None:
        while self._waiting and self._server.ready:
            self._send(self._waiting.popleft())

    def _send(self, job: Job) -> None:
        theirs = [memory_file(job.job_id, encode_job(job))]
        running = _Running(job, {})
        for kind in _KINDS:
            running.pipes[kind], write_end = event_pipe()
            theirs.append(write_end)
        self._running[job.job_id] = running
        try:
            with suppress(ChannelClosedError):  # `poll` finds out and starts over with the jobs that never ran
                self._server.channel.send(Fork(job.job_id), theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        for kind, descriptor in running.pipes.items():
            self._watch(descriptor, self._pipe_reader(running, kind))

    def _watch(self, descriptor: int, react: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, react)

    def _unwatch(self, descriptor: int) -> None:
        with suppress(KeyError):
            self._selector.unregister(descriptor)

    def _pipe_reader(self, running: _Running, kind: _Kind) -> Callable[[], None]:
        return lambda: self._read_pipe(running, kind)

    def _read_pipe(self, running: _Running, kind: _Kind, *, max_reads: int = _MAX_READS_A_TURN) -> None:
        descriptor = running.pipes[kind]
        for _ in range(max_reads):
            try:
                data = os.read(descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._unwatch(descriptor)
                return
            if kind == "events":
                *lines, running.partial_event = (running.partial_event + data).split(b"\n")
                self._tell(running.job.job_id, lines)
            elif text := running.splitters[kind].feed(data):
                self._handler.on_output(running.job.job_id, kind, text)

    def _tell(self, job_id: str, lines: list[bytes]) -> None:
        for stream, group in split_lines(lines):
            if stream is None:
                self._handler.on_events(job_id, group)
            else:
                self._handler.on_output(job_id, stream, [line.decode("utf-8", "replace") for line in group])

    def _close_pipes(self, running: _Running) -> None:
        for descriptor in running.pipes.values():
            self._unwatch(descriptor)
            os.close(descriptor)

    def _finish(self, job_id: str, ended: Exit) -> None:
        running = self._running[job_id]
        # Everybody who could write is dead, so what is in the pipes is all there is. An unfinished event, the last word
        # of a killed process, is no event.
        for kind in running.pipes:
            self._read_pipe(running, kind, max_reads=sys.maxsize)
        for stream, splitter in running.splitters.items():
            if rest := splitter.flush():
                self._handler.on_output(job_id, stream, rest)
        self._close_pipes(running)
        del self._running[job_id]
        self._handler.on_exit(job_id, ended)

    def _finish_all(self, ended: Exit) -> None:
        for job_id in list(self._running):
            self._finish(job_id, ended)
        while self._waiting:
            self._handler.on_exit(self._waiting.popleft().job_id, ended)

    def _start_server(self) -> ServerProcess:
        server = ServerProcess(self._settings)
        self._watch(server.channel.fileno(), self._read_channel)
        for stream, pipe in server.outputs.items():
            self._watch(pipe.fileno(), self._output_reader(stream, pipe.fileno()))
        return server

    def _stop_server(self) -> str:
        server = self._server
        if server.ended is not None:
            return server.ended
        self._unwatch(server.channel.fileno())
        how = server.end()
        for pipe in server.outputs.values():
            key = self._selector.get_map().get(pipe.fileno())
            if key is not None:
                key.data()  # its last words
            self._unwatch(pipe.fileno())
            pipe.close()
        for running in self._running.values():
            if running.pid is not None:
                # A server that was killed leaves what its workers had started; the workers die with it.
                kill_group(running.pid)
        return how

    def _output_reader(self, stream: Stream, descriptor: int) -> Callable[[], None]:
        splitter = LineSplitter()

        def read() -> None:
            try:
                data = os.read(descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            if lines := splitter.feed(data) if data else splitter.flush():
                self._handler.on_output(None, stream, lines)
            if not data:
                self._unwatch(descriptor)

        return read

    def _read_channel(self) -> None:
        try:
            report, _ = self._server.channel.receive()
        except ChannelClosedError:
            self._lose_server()
            return
        match report:
            case Ready():
                self._server.ready = True
                self._send_waiting()
            case Importing(module):
                self._server.importing = module
            case ImportFailed(module, error, traceback):
                self._break(f"`{module}` cannot be imported for the workers: {error}", traceback)
            case Note(message):
                self._handler.on_note("warning", message)
            case Started(job_id, pid, spawn_reason):
                self._running[job_id].pid = pid
                self._tell_spawn_reason(spawn_reason)
                self._handler.on_started(job_id)
            case NotStarted(job_id, error):
                self._finish(job_id, Exit(reason=error))
            case Ended(job_id=job_id):
                self._finish(job_id, _exit_of(report))

    def _tell_spawn_reason(self, reason: str | None) -> None:
        if reason is not None and reason != self._told_spawn_reason:
            self._told_spawn_reason = reason
            self._handler.on_note(
                "warning",
                f"experiments start in fresh interpreters, which takes seconds each, since forking is unsafe: {reason}",
            )

    def _lose_server(self) -> None:
        """Goes on without a server that died: what ran is lost with it, what never ran gets a new one."""
        was_ready, importing = self._server.ready, self._server.importing
        how = self._stop_server()
        if not was_ready:
            self._break(f"the fork server {how} while it imported `{importing}`")
        for running in list(self._running.values()):
            if running.pid is None:
                self._close_pipes(running)
                del self._running[running.job.job_id]
                self._waiting.append(running.job)
            else:
                self._finish(running.job.job_id, Exit(reason=f"was lost: the fork server {how}", lost=True))
        if not self._can_restart:
            self._break(f"the fork server {how}, for the second time")
        self._can_restart = False
        self._handler.on_note("error", f"the fork server {how}; a new one starts")
        self._server = self._start_server()

    def _break(self, why: str, details: str | None = None) -> NoReturn:
        self._broken = RunError(why)
        self._handler.on_note("error", details or why)
        self._stop_server()
        self._finish_all(Exit(reason=f"was never started: {why}"))
        raise self._broken


def _exit_of(report: Ended) -> Exit:
    return Exit(code=report.code, signal=report.signal, cpu_s=report.cpu_s, max_rss_bytes=report.max_rss_bytes)
