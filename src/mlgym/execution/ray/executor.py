"""Runs each job as a task of a Ray cluster; what a job tells comes back as a stream, once and in order."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from mlgym.errors import RunError
from mlgym.execution.executor import Executor, Handler, StopReason
from mlgym.execution.job import Exit, Job, encode_job
from mlgym.execution.ray.capacity import Ask, num_places, unplaceable
from mlgym.execution.ray.cluster import Cluster
from mlgym.execution.ray.frames import FrameReader
from mlgym.execution.ray.node_setup import NodeSetup, encode_setup
from mlgym.execution.ray.orders import KILL_ORDER, STOP_ORDER, TIME_LIMIT_ORDER
from mlgym.execution.ray.task_errors import exit_of, is_not_started, not_started

if TYPE_CHECKING:
    from ray import ObjectRefGenerator

# Of one job before the others get their turn.
_MAX_CHUNKS_A_TURN: Final = 16
# From an order to kill, which the task obeys, to ending the task itself.
_KILL_S: Final = 5.0
_CLOSE_S: Final = 10.0
_CHECK_EVERY_S: Final = 5.0
# Less than the minute after which Ray's library ends a process whose cluster has no head, the driver's too.
_HEAD_AWAY_S: Final = 30.0
# A job that is anywhere at all says so within a second.
_UNPLACED_S: Final = 60.0
_SIGKILL: Final = 9


@dataclass(slots=True)
class _Running:
    """A submitted job, whether the cluster has room for it yet or not."""

    job: Job
    stream: ObjectRefGenerator[bytes]
    key: bytes
    reader: FrameReader
    killed: bool = False
    force_at: float | None = None


class RayExecutor(Executor):
    """A task per job. Jobs for which there is no room wait on the cluster."""

    def __init__(
        self,
        handler: Handler,
        cluster: Cluster,
        *,
        capacity: int,
        ask: Ask,
        setup: NodeSetup,
        wait_s: float = 0.0,
    ) -> None:
        """Takes over a connection, which ends with the executor.

        Args:
            handler: is told what happens.
            cluster: where jobs run.
            capacity: jobs at the same time, > 0.
            ask: what each of them needs.
            setup: what nodes have to know.
            wait_s: how long a cluster may be without a node that could hold a job, where that is longer than a minute;
                one that grows on demand may take a while for another node.
        """
        self._handler = handler
        self._cluster = cluster
        self._capacity = capacity
        self._ask = ask
        self._setup = setup
        self._setup_data = encode_setup(setup)
        self._session = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._running: dict[str, _Running] = {}
        self._orders: deque[tuple[str, bytes]] = deque()
        self._has_started_any = False
        self._nodes_told: set[str] = set()
        self._unplaced_s = max(_UNPLACED_S, wait_s)
        self._checked_at = time.monotonic()
        self._placeable_at = time.monotonic()
        self._head_away_at: float | None = None
        self._broken: RunError | None = None

    @property
    def capacity(self) -> int:
        """How many jobs can run at the same time."""
        return self._capacity

    def submit(self, job: Job) -> None:
        """Hands a job to the cluster; see `Executor.submit`."""
        if self._broken is not None:
            raise self._broken
        # No key is used twice: what was asked of a job must not reach one of a later driver.
        key = f"mlgym/{job.run_id}/{self._session}/{next(self._numbers)}".encode()
        stream = self._cluster.submit(encode_job(job), self._setup_data, key, self._ask)
        self._running[job.job_id] = _Running(job, stream, key, FrameReader(job.job_id))

    def poll(self, timeout_s: float) -> None:
        """Waits for news and tells them; see `Executor.poll`."""
        if self._broken is not None:
            raise self._broken
        self._pass_orders_on()
        self._tell_notes()
        if not self._running:
            time.sleep(max(0.0, timeout_s))
            return
        self._check_cluster()
        by_stream = {running.stream: running for running in self._running.values()}
        for stream in self._cluster.wait(list(by_stream), max(0.0, timeout_s)):
            self._read(by_stream[stream])
        self._pass_orders_on()

    def stop(self, job_id: str, reason: StopReason) -> None:
        """Notes that the job is to end; see `Executor.stop`."""
        # May run in a signal handler, in the middle of a call to Ray.
        self._orders.append((job_id, TIME_LIMIT_ORDER if reason == "time_limit" else STOP_ORDER))

    def kill(self, job_id: str) -> None:
        """Notes that the job is to be killed; see `Executor.kill`."""
        self._orders.append((job_id, KILL_ORDER))

    def close(self) -> None:
        """Ends all jobs and the connection; see `Executor.close`."""
        if self._broken is None:
            self._broken = RunError("this executor is closed")
            self._end_all(Exit(reason="was killed because its run ended"))
        self._cluster.close()

    def _pass_orders_on(self) -> None:
        if self._orders and not self._cluster.head_answers():
            return  # they wait until it does
        while self._orders:
            job_id, order = self._orders.popleft()
            running = self._running.get(job_id)
            if running is None:
                continue
            # Both: one that is not placed yet must not be, and one that starts just now looks for it.
            self._cluster.order(running.key, order)
            if running.reader.hello is None:
                self._cluster.cancel(running.stream, force=False)
            if order == KILL_ORDER and running.force_at is None:
                running.killed, running.force_at = True, time.monotonic() + _KILL_S
        now = time.monotonic()
        for running in self._running.values():
            if running.force_at is not None and now >= running.force_at:
                running.force_at = now + _KILL_S
                self._cluster.cancel(running.stream, force=True)

    def _read(self, running: _Running) -> None:
        import ray

        for _ in range(_MAX_CHUNKS_A_TURN):
            if running.stream.next_ready():
                try:
                    chunk = ray.get(next(running.stream))
                except StopIteration:
                    self._finish(running, running.reader.ended)
                    return
                except Exception as error:
                    self._finish(running, running.reader.ended or exit_of(error, running.reader, running.killed))
                    return
                self._take(running, chunk)
            elif running.stream.is_finished():
                self._finish(running, running.reader.ended)
                return
            else:
                return

    def _take(self, running: _Running, chunk: bytes) -> None:
        was_nowhere = running.reader.hello is None
        running.reader.feed(chunk, self._handler)
        self._has_started_any |= running.reader.started
        if was_nowhere and running.reader.hello is not None:
            self._tell_node(running)

    def _tell_node(self, running: _Running) -> None:
        hello = running.reader.hello
        assert hello is not None
        self._placeable_at = time.monotonic()
        self._handler.on_note("info", f"experiment {running.job.experiment_id} runs on node {hello.node}")
        others = [
            f"{name} {hello.facts.get(name, 'none')} (here {ours})"
            for name, ours in self._setup.facts.items()
            if hello.facts.get(name) != ours
        ]
        if others and hello.node not in self._nodes_told:
            self._handler.on_note(
                "warning",
                f"node {hello.node} is not as the machine of this driver, and its results need not be the same to the "
                f"bit: {', '.join(others)}",
            )
        self._nodes_told.add(hello.node)

    def _finish(self, running: _Running, ended: Exit | None) -> None:
        reader = running.reader
        if reader.unfit is not None and reader.hello is not None:
            ended = not_started(f"node {reader.hello.node} {reader.unfit}")
        ended = ended or Exit(reason="ended without a word")
        del self._running[running.job.job_id]
        self._cluster.forget(running.stream, running.key)
        self._handler.on_exit(running.job.job_id, ended)
        if is_not_started(ended) and not self._has_started_any and self._broken is None:
            # No node has run anything yet: what keeps this job from starting keeps a thousand.
            self._break(RunError(f"no experiment runs on the Ray cluster: one {ended.reason}"))

    def _check_cluster(self) -> None:
        """Gives up where the head is gone, or nobody can be placed any more; Ray would wait without a word."""
        now = time.monotonic()
        if now - self._checked_at < _CHECK_EVERY_S:
            return
        self._checked_at = now
        if not self._cluster.head_answers():
            self._miss_head(now)
            return
        self._head_away_at = None
        waiting = [running for running in self._running.values() if running.reader.hello is None]
        nodes = self._cluster.nodes() if waiting else []
        if not waiting or num_places(nodes, self._ask):
            self._placeable_at = now
        elif now - self._placeable_at > self._unplaced_s:
            self._break(unplaceable(nodes, self._ask))

    def _miss_head(self, now: float) -> None:
        if self._head_away_at is None:
            self._head_away_at = now
            self._handler.on_note("warning", f"the head of the Ray cluster, {self._cluster.address}, does not answer")
        elif now - self._head_away_at > _HEAD_AWAY_S:
            self._break(
                RunError(
                    f"the head of the Ray cluster, {self._cluster.address}, has not answered for {_HEAD_AWAY_S:g} s. "
                    "When it is back, `mlgym resume RUN --retry-failed` goes on from the newest checkpoints"
                ),
                Exit(reason="was lost with the Ray cluster, whose head does not answer", lost=True),
            )

    def _tell_notes(self) -> None:
        for level, message in self._cluster.take_told():
            self._handler.on_note(level, message)

    def _break(self, error: RunError, ended: Exit | None = None) -> NoReturn:
        self._broken = error
        self._handler.on_note("error", str(error))
        self._end_all(ended or Exit(reason=f"was never started: {error}"))
        raise error

    def _end_all(self, ended: Exit) -> None:
        """Kills what runs, hears it out for a while, and tells the end of each."""
        for running in list(self._running.values()):
            self.kill(running.job.job_id)
        give_up_at = time.monotonic() + (_CLOSE_S if self._cluster.head_answers() else 0.0)
        try:
            while self._running and time.monotonic() < give_up_at:
                self._pass_orders_on()
                by_stream = {running.stream: running for running in self._running.values()}
                for stream in self._cluster.wait(list(by_stream), 0.2):
                    self._read(by_stream[stream])
        except Exception as error:  # the cluster may be gone, and with it all that ran there
            self._handler.on_note("warning", f"the Ray cluster does not answer: {error}")
        for running in list(self._running.values()):
            del self._running[running.job.job_id]
            self._handler.on_exit(running.job.job_id, ended)
