"""The way from whoever makes events to the log: a bounded buffer that outlasts a full disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from mlgym.errors import EventLogError
from mlgym.events.codec import Origin, check_body, encode, encode_scores, make_origin
from mlgym.events.log import CheckedBody, EventLog
from mlgym.events.producer import Producer
from mlgym.events.types import EvaluationResult, Event, ExperimentStatus, Log, Payload, SystemMetrics
from mlgym.events.writer_mark import mark_writer

MAX_PENDING_BYTES: Final = 64 * 2**20
_MAX_GROUP_BYTES: Final = 4 * 2**20
_FIRST_PAUSE_S: Final = 0.05
_MAIN_THREAD: Final = threading.main_thread().ident
_LONGEST_PAUSE_S: Final = 2.0
# What a run can do without: dropped when half of the buffer is taken, so that results find room longer.
_EXPENDABLE: Final = tuple(
    b'{"event_type":"%b"' % payload.event_type.encode() for payload in (ExperimentStatus, Log, SystemMetrics)
)


class LogSink:
    """An `EventSink` that writes to a log when it is flushed; any thread may emit, one should flush.

    Args:
        log: the open log; closing it stays with whoever opened it. It is marked as written from this machine.
        producer: who the emitted payloads come from; a new one by default.
        max_pending_bytes: how much may wait while the log cannot be written. Progress and log lines are dropped when
            half of it is taken, everything when all of it is; `dropped` counts them, and the log tells when it works
            again.

    Attributes:
        error: why the last flush failed; None when it worked.
        dropped: events that found no room.
    """

    def __init__(
        self, log: EventLog, *, producer: Producer | None = None, max_pending_bytes: int = MAX_PENDING_BYTES
    ) -> None:
        mark_writer(log.path)
        self.error: EventLogError | None = None
        self.dropped = 0
        self._log = log
        self._producer = producer or Producer()
        self._max_pending_bytes = max_pending_bytes
        self._events: deque[CheckedBody] = deque()
        self._pending_bytes = 0
        self._reported_dropped = 0
        self._pause_s = _FIRST_PAUSE_S
        self._not_before = 0.0
        self._main_is_inside = False
        # Re-entrant, because a signal handler may emit while this thread is inside.
        self._queue_mutex = threading.RLock()
        self._flush_mutex = threading.Lock()

    @property
    def pending(self) -> int:
        """How many events wait to be written."""
        return len(self._events)

    def emit(self, payload: Payload) -> None:
        """Takes one event; its time stamp is now.

        Raises:
            EventLogError: the payload cannot be written as one line of JSON. Trouble with the file raises nothing.
        """
        self.emit_event(self._producer.event(payload))

    def emit_event(self, event: Event) -> None:
        """Takes an event that has its time, producer and number already; one that the log has is not stored again.

        Raises:
            EventLogError: it cannot be written as one line of JSON. Trouble with the file raises nothing.
        """
        self._put(encode(event), make_origin(event.producer, event.seq))

    def write_through(self, payload: Payload) -> None:
        """Takes one event as `emit` does, and writes it at once where nothing waits; `EventLog.sync` makes it durable.

        Raises:
            EventLogError: the payload cannot be written as one line of JSON. Trouble with the file raises nothing.
        """
        event = self._producer.event(payload)
        self._write(encode(event), event)

    def write_scores(self, payload: EvaluationResult) -> None:
        """Takes numbers as `write_through` does, at less cost; `finite` has named those that are not finite."""
        event = self._producer.event(payload)
        self._write(encode_scores(event), event)

    def _write(self, body: bytes, event: Event) -> None:
        origin: Origin = (event.producer, event.seq)  # type: ignore[assignment]  # a producer sets both
        is_main = threading.get_ident() == _MAIN_THREAD
        # A signal handler that emits while the main thread is inside would wait for the log for ever.
        if not self._events and not (is_main and self._main_is_inside):
            self._main_is_inside = is_main or self._main_is_inside
            try:
                self._log.append_unsynced(body, origin)
            except EventLogError as error:
                self.error = error
            else:
                return
            finally:
                self._main_is_inside = self._main_is_inside and not is_main
        self._put(body, origin)

    def emit_encoded(self, line: bytes) -> None:
        """Takes an event that another process encoded (`Producer.encode`).

        Raises:
            EventLogError: it is no event; it is not taken.
        """
        self._put(line, check_body(line))

    def flush(self, *, ignore_pause: bool = False) -> int:
        """Writes what is pending, in groups; once it returns, what is no longer pending is durable.

        Does not raise: after a failure the events stay, `error` says why, and for a moment (0.05 s, doubled up to 2 s)
        further calls do nothing.

        Args:
            ignore_pause: tries at once even after a failure, for the end of a run.

        Returns:
            How many events were written.
        """
        if not self._events or (time.monotonic() < self._not_before and not ignore_pause):
            return 0
        with self._flush_mutex:
            num_written, num_wanted = 0, len(self._events)
            try:
                # Not until nothing is pending: others may emit faster than the disk writes.
                while num_written < num_wanted:
                    group = self._next_group()
                    self._log.append_checked(group)
                    self._forget(group)
                    num_written += len(group)
            except EventLogError as error:
                self.error = error
                self._not_before = time.monotonic() + self._pause_s
                self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            else:
                self.error = None
                self._not_before, self._pause_s = 0.0, _FIRST_PAUSE_S
                self._report_dropped()
            return num_written

    def _put(self, body: bytes, origin: Origin | None) -> None:
        with self._queue_mutex:
            room = self._max_pending_bytes // 2 if body.startswith(_EXPENDABLE) else self._max_pending_bytes
            if self._pending_bytes + len(body) > room:
                self.dropped += 1
                return
            self._events.append((body, origin))
            self._pending_bytes += len(body)

    def _next_group(self) -> list[CheckedBody]:
        group: list[CheckedBody] = []
        num_bytes = 0
        with self._queue_mutex:
            for event in self._events:
                num_bytes += len(event[0])
                if group and num_bytes > _MAX_GROUP_BYTES:
                    break
                group.append(event)
        return group

    def _forget(self, group: list[CheckedBody]) -> None:
        with self._queue_mutex:
            for body, _ in group:
                self._events.popleft()
                self._pending_bytes -= len(body)

    def _report_dropped(self) -> None:
        num_new = self.dropped - self._reported_dropped
        if not num_new:
            return
        self._reported_dropped = self.dropped
        message = f"{num_new} events were dropped while the log could not be written"
        run_id = self._log.path.absolute().parent.name
        self.emit(Log(grid_search_id=run_id, experiment_id=None, level="WARNING", logger=__name__, message=message))
