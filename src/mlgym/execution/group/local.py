"""A group of ranks on this machine: forked by the worker of their job, watched, and ended together.

The worker has imported everything and has one thread, so that a rank starts in milliseconds. `elastic_launch` of
PyTorch was measured and left aside: `docs/decisions/0018-own-rank-groups.md`. Its contract with the ranks, the
environment variables and the store in the process that starts them, is kept.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from mlgym.errors import Interrupted, RunError
from mlgym.execution.group.failure import failure_of
from mlgym.execution.group.rank import STOP_SIGNALS, Birth, become_rank
from mlgym.execution.group.standing import RankProcess
from mlgym.execution.job import STOP_SIGNAL, TIME_LIMIT_SIGNAL, Job
from mlgym.execution.linux import event_pipe, num_threads, oom_kills
from mlgym.execution.stop_request import StopRequest

# A rank that dies breaks the connections of the others, whose errors may be here first; a moment tells which is which.
_SETTLE_S: Final = 0.5
# From what all ranks told last to the ends of their processes: exit handlers, loader workers.
_LINGER_S: Final = 30.0
_LOOPBACK: Final = "127.0.0.1"


def run_group(job: Job, events: int, stop: StopRequest) -> None:
    """Runs a job in a process for each of its devices, and returns when all of them have ended well.

    Args:
        job: what to do; it has several devices.
        events: the write end of the job's event pipe, into which rank 0 writes.
        stop: asks for an end at a step boundary; it is passed on to all ranks.

    Raises:
        Interrupted: they ended because they were asked to.
        RankFailedError: one of them failed; the others were ended.
    """
    group = _Group(job, events)
    with group.started(stop):
        group.watch()
    group.tell_end()


class _Group:
    """The ranks of a job, as the process that forked them sees them."""

    def __init__(self, job: Job, events: int) -> None:
        self._job = job
        self._events = events
        self._ranks: list[RankProcess] = []
        self._oom_kills_before = oom_kills()
        self._store: Any = None
        self._selector: selectors.BaseSelector

    @contextmanager
    def started(self, stop: StopRequest) -> Iterator[None]:
        """Has the ranks run while its body does; none of them outlives it."""
        if (count := num_threads()) != 1:
            raise RunError(f"ranks cannot be forked from a process with {count} threads")
        wake, woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        before = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        try:
            with socket.create_server((_LOOPBACK, 0)) as meeting:
                # What comes before a rank can hear it waits for it.
                signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
                try:
                    for number in range(self._job.world_size):
                        self._fork(number, meeting, (wake, woken))
                finally:
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
                stop.on_request(lambda: self._signal(TIME_LIMIT_SIGNAL if stop.out_of_time else STOP_SIGNAL))
                with selectors.DefaultSelector() as self._selector:
                    self._react(wake, lambda: self._bury(wake))
                    self._react(meeting.fileno(), lambda: self._open_store(meeting))
                    for rank in self._ranks:
                        for end, read in rank.readers():
                            self._react(end, read)
                    yield
        finally:
            self._kill()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, before)
            for end in (wake, woken, *self._read_ends()):
                os.close(end)

    def watch(self) -> None:
        """Waits until all ranks have ended; once one has failed, the others are killed."""
        give_up_at: float | None = None
        while any(rank.lives for rank in self._ranks):
            left = None if give_up_at is None else give_up_at - time.monotonic()
            if left is not None and (left <= 0 or any(rank.died for rank in self._ranks)):
                self._kill()
                return
            for key, _ in self._selector.select(left):
                react: Callable[[], None] = key.data
                react()
            self._unwatch_silent()
            if give_up_at is None and any(rank.failed for rank in self._ranks):
                give_up_at = time.monotonic() + _SETTLE_S
            elif give_up_at is None and all(rank.told for rank in self._ranks):
                give_up_at = time.monotonic() + _LINGER_S

    def tell_end(self) -> None:
        """Raises what the end of the ranks comes to; see `run_group`."""
        if any(rank.failed for rank in self._ranks):
            # Its last event may be unfinished; what this process tells next is a line of its own.
            if not self._ranks[0].told:
                os.write(self._events, b"\n")
            raise failure_of(
                [rank.end for rank in self._ranks if rank.failed],
                self._job.world_size,
                out_of_memory=oom_kills() > self._oom_kills_before,
            )
        if self._ranks[0].interrupted:
            raise Interrupted

    def _fork(self, number: int, meeting: socket.socket, wake: tuple[int, int]) -> None:
        reads, writes = zip(*(event_pipe() for _ in range(3)), strict=True)
        rank = RankProcess(number, self._job, *reads)
        sys.stdout.flush()
        sys.stderr.flush()
        birth = Birth(
            rank=number,
            job=self._job,
            events=self._events,
            report=writes[0],
            stdout=writes[1],
            stderr=writes[2],
            not_mine=(*self._read_ends(), *reads, *wake, meeting.fileno(), *([self._events] if number else [])),
            variables=_variables(number, self._job.world_size, meeting.getsockname()[1]),
            parent=os.getpid(),
        )
        rank.pid = os.fork()
        if rank.pid == 0:
            become_rank(birth)
        for end in writes:
            os.close(end)
        self._ranks.append(rank)

    def _read_ends(self) -> list[int]:
        return [end for rank in self._ranks for end in rank.pipes]

    def _open_store(self, meeting: socket.socket) -> None:
        """Starts the store through which the ranks find each other, at the first one that asks for it.

        It listens on loopback only, on a socket that was there before the ranks: nobody else can take the port.
        """
        from torch.distributed import TCPStore  # type: ignore[attr-defined]  # where PyTorch has it

        self._selector.unregister(meeting.fileno())
        host, port = meeting.getsockname()
        self._store = TCPStore(
            host, port, is_master=True, wait_for_workers=False, master_listen_fd=os.dup(meeting.fileno())
        )

    def _react(self, descriptor: int, react: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, react)

    def _bury(self, wake: int) -> None:
        with suppress(BlockingIOError):
            os.read(wake, 4096)
        for rank in self._ranks:
            rank.bury()

    def _unwatch_silent(self) -> None:
        for end in self._read_ends():
            if end in self._selector.get_map() and any(end in rank.silent for rank in self._ranks):
                self._selector.unregister(end)

    def _signal(self, signum: int) -> None:
        for rank in self._ranks:
            rank.signal(signum)

    def _kill(self) -> None:
        for rank in self._ranks:
            rank.kill()
        for rank in self._ranks:
            rank.wait()


def _variables(number: int, size: int, port: int) -> dict[str, str]:
    """Gives the environment variables by which a rank knows itself and the others, as `torchrun` sets them."""
    return {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "GROUP_WORLD_SIZE": "1",
        "MASTER_ADDR": _LOOPBACK,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        # Else they listen on the addresses that the machine's name has.
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
        "NCCL_SOCKET_IFNAME": os.environ.get("NCCL_SOCKET_IFNAME", "lo"),
    }
