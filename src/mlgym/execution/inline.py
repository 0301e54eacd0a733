"""Runs each job in the driver's own process, for debugging: breakpoints work, tracebacks are whole."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from mlgym.errors import RunError
from mlgym.events import Event, EventSink, Payload, Producer, encode
from mlgym.execution.executor import Executor, Handler, StopReason, Stream
from mlgym.execution.group.together import leader
from mlgym.execution.job import DEFAULT_ENTRY, Exit, Job
from mlgym.execution.output.tap import tapped_output
from mlgym.execution.output.worker_logging import captured_logging
from mlgym.execution.perform import perform
from mlgym.execution.preserved_process import preserved_process
from mlgym.execution.stop_request import Killed, StopRequest


class InlineExecutor(Executor):
    """Runs a job within `poll`, in this process; what it changes of the process is put back afterwards.

    A job can be asked to stop, but not killed: the second request raises KeyboardInterrupt where the program is.
    """

    def __init__(self, handler: Handler) -> None:
        """Makes an executor that tells `handler` what happens."""
        self._handler = handler
        self._waiting: deque[Job] = deque()
        self._current: tuple[str, StopRequest] | None = None
        self._closed = False

    @property
    def capacity(self) -> int:
        """One: this process."""
        return 1

    def submit(self, job: Job) -> None:
        """Takes a job, which runs in the next `poll`; see `Executor.submit`."""
        if self._closed:
            raise RunError("this executor is closed")
        self._waiting.append(job)

    def poll(self, timeout_s: float) -> None:
        """Runs the next job to its end, however long that takes; see `Executor.poll`."""
        if self._closed:
            raise RunError("this executor is closed")
        if self._waiting:
            self._run(self._waiting.popleft())
        else:
            time.sleep(timeout_s)

    def stop(self, job_id: str, reason: StopReason) -> None:
        """Sets the flag that the job reads at its step boundaries; see `Executor.stop`."""
        if self._current is not None and self._current[0] == job_id:
            self._current[1].request(out_of_time=reason == "time_limit")

    def kill(self, job_id: str) -> None:
        """Raises KeyboardInterrupt in the job, which ends where it is; see `Executor.kill`."""
        if self._current is not None and self._current[0] == job_id:
            raise Killed

    def close(self) -> None:
        """Forgets jobs that did not run; see `Executor.close`."""
        self._closed = True
        while self._waiting:
            self._handler.on_exit(self._waiting.popleft().job_id, Exit(reason="was stopped before it started"))

    def _run(self, job: Job) -> None:
        stop = StopRequest()
        sink = _HandlerSink(self._handler, job.job_id)
        ended = Exit(reason="was interrupted at once")
        self._handler.on_started(job.job_id)
        try:
            self._current = job.job_id, stop
            with preserved_process(uses_torch=job.entry == DEFAULT_ENTRY), _time_limit(job.time_limit_s, stop):
                # The others, where this process was started with some, do their share of it at the same time.
                led = leader()
                succeeded = perform(job, sink, stop, self._listening(job, sink), led.run if led is not None else None)
                ended = Exit(code=0 if succeeded else 1)
        except Killed:
            pass  # asked for by `kill`; its exit says so
        finally:
            self._current = None
        self._handler.on_exit(job.job_id, ended)
        if (led := leader()) is not None and led.lost:
            ranks = ", ".join(map(str, led.lost))
            raise RunError(f"the run cannot go on without rank {ranks}: go on with `mlgym resume {job.run_id}`")

    @contextmanager
    def _listening(self, job: Job, sink: EventSink) -> Iterator[None]:
        def tell(stream: Stream, lines: list[str]) -> None:
            self._handler.on_output(job.job_id, stream, lines)

        with (
            tapped_output(tell, passes_on=True),
            captured_logging(sink, job.run_id, job.experiment_id, keep_terminal=True),
        ):
            yield


class _HandlerSink(EventSink):
    """Hands events over at once, encoded as a worker would."""

    def __init__(self, handler: Handler, job_id: str) -> None:
        self._handler = handler
        self._job_id = job_id
        self._producer = Producer()
        self._lock = threading.RLock()

    def emit(self, payload: Payload) -> None:
        with self._lock:
            self._handler.on_events(self._job_id, [self._producer.encode(payload)])

    def emit_event(self, event: Event) -> None:
        with self._lock:
            self._handler.on_events(self._job_id, [encode(event)])


@contextmanager
def _time_limit(limit_s: float | None, stop: StopRequest) -> Iterator[None]:
    # The driver's own watch stands still while a job runs in its process.
    if limit_s is None:
        yield
        return
    timer = threading.Timer(limit_s, stop.request, kwargs={"out_of_time": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
