"""What the driver knows of its run, as it happens: every event on its way to the log, and the state they add up to."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from mlgym.errors import EventLogError
from mlgym.events import CodeChanged, EventLog, JobStatus, Log, LogSink, Payload, Producer, RunState, decode
from mlgym.execution.executor import Stream
from mlgym.execution.job import Job
from mlgym.execution.output.printed import LEVELS, LOGGER, Printed
from mlgym.execution.output.text_logs import TextLogs
from mlgym.execution.scheduler import LostEnd, Record

_FLUSH_EVERY_S: Final = 0.02
_OBSERVE_EVERY_S: Final = 0.2
_MAX_CHANGES: Final = 8
_logger: Final = logging.getLogger(LOGGER)


class Observer(Protocol):
    """Watches a run, to show its progress."""

    def update(self, state: RunState) -> None:
        """Takes the state of the run; at most five times a second, and once more at its end."""


class Journal(Record):
    """Takes events from the driver and its workers, keeps the run's state, and has them written in groups.

    Everything happens in the thread of the driver's loop, which calls `tick`.

    Attributes:
        state: the run, as the events so far say.
        on_event: is shown every event, decoded, once the state has it; None for nobody.
    """

    def __init__(
        self,
        log: EventLog,
        run_id: str,
        *,
        state: RunState | None = None,
        text_logs: TextLogs | None = None,
        observer: Observer | None = None,
        eager: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes the journal of a run.

        Args:
            log: the open event log.
            run_id: the run.
            state: what the log says so far; None for a new one.
            text_logs: takes output and log lines too.
            observer: is shown the state.
            eager: write every event at once, for a driver that runs the experiments itself and has no loop meanwhile.
            clock: gives the time in s.
        """
        self.state = state or RunState()
        self.on_event: Callable[[dict[str, Any]], None] | None = None
        self._producer = Producer()
        self._sink = LogSink(log, producer=self._producer)
        self._next_id = log.num_events
        self._run_id = run_id
        self._text_logs = text_logs
        self._observer = observer
        self._eager = eager
        self._clock = clock
        self._flushed_at = clock()
        self._observed_at = -_OBSERVE_EVERY_S
        self._printed: dict[int | None, Printed] = {}
        self._warnings: deque[str] = deque()

    def emit(self, payload: Payload) -> None:
        """Takes an event of the driver's own."""
        self._put(self._producer.encode(payload))

    def note(self, level: str, message: str) -> None:
        """Takes a line of the driver's own log."""
        self.emit(self._log(None, level, LOGGER, message))

    def warn_soon(self, message: str) -> None:
        """Takes a warning from any thread; it is in the log after the next tick, and said if no observer shows it."""
        self._warnings.append(message)
        if self._observer is None:
            _logger.warning("%s", message)

    def take_events(self, job: Job, lines: list[bytes]) -> list[dict[str, Any]]:
        """Takes events of a worker, as it encoded them; see `Record`."""
        statuses = []
        for line in lines:
            try:
                event = self._put(line)
            except EventLogError as error:
                self.note("error", f"experiment {job.experiment_id} sent what is no event: {error}")
                continue
            payload = event.get("payload", {})
            if event.get("event_type") == JobStatus.event_type:
                statuses.append(payload)
            elif event.get("event_type") == CodeChanged.event_type:
                self.note("warning", _changed_text(job, payload["changes"]))
            elif event.get("event_type") == Log.event_type:
                self._take_log(job, str(payload["logger"]), str(payload["level"]), str(payload["message"]))
        if self._eager:
            self._observed_at -= _OBSERVE_EVERY_S if statuses else 0.0
            self.tick()
        return statuses

    def take_output(self, job: Job | None, stream: Stream, lines: list[str]) -> None:
        """Takes what a worker printed: all of it to its text file, to the log unless it is a flood; see `Record`."""
        experiment_id = None if job is None else job.experiment_id
        if self._text_logs is not None and experiment_id is not None:
            self._text_logs.write(experiment_id, stream, LEVELS[stream], lines)
        self._printed_by(experiment_id).take(stream, lines)

    def end(self, job: Job, *, status: dict[str, Any] | None, missing: LostEnd | None) -> None:
        """Tells the end of a job that could not do so itself, and lets go of what was kept for it; see `Record`."""
        printed = self._printed_by(job.experiment_id)
        del self._printed[job.experiment_id]
        printed.finish()
        if missing is not None:
            self.emit(
                JobStatus(
                    job_id=job.job_id,
                    status="DONE",
                    grid_search_id=job.run_id,
                    experiment_id=job.experiment_id,
                    starting_time=missing.started_at,
                    finishing_time=time.time(),
                    error=missing.error,
                    device=job.device_label,
                    exit_signal=missing.exit_signal,
                    attempt=job.attempt,
                    log_tail=list(printed.tail),
                    interrupted=missing.interrupted,
                )
            )
        if self._text_logs is not None:
            if missing is not None:
                self._text_logs.write(job.experiment_id, LOGGER, "error", [missing.error])
            self._text_logs.close(job.experiment_id)
        if experiment := self.state.experiments.get(job.experiment_id):
            # The log has them; a run of 100,000 experiments must not grow with what it has behind it.
            experiment.config = {}
            experiment.recent_logs.clear()

    def tick(self) -> float:
        """Writes and shows what is due; see `Record`."""
        now = self._clock()
        self._take_warnings()
        if self._eager or now - self._flushed_at >= _FLUSH_EVERY_S:
            self._flush()
        if self._observer is not None and now - self._observed_at >= _OBSERVE_EVERY_S:
            self._observed_at = now
            self._observer.update(self.state)
        if not self._sink.pending:
            return _OBSERVE_EVERY_S
        return max(0.001, self._flushed_at + _FLUSH_EVERY_S - now)

    @property
    def is_written(self) -> bool:
        """Whether everything that was taken so far is durable."""
        return not self._sink.pending and not self._warnings

    def close(self, patience_s: float) -> str | None:
        """Writes everything that is left, trying again while the disk refuses.

        Args:
            patience_s: how long to try.

        Returns:
            Why events could not be written; None where all were.
        """
        give_up_at = self._clock() + patience_s
        self._take_warnings()
        self._sink.flush(ignore_pause=True)
        while self._sink.pending and self._clock() < give_up_at:
            time.sleep(0.1)
            self._sink.flush(ignore_pause=True)
        if self._text_logs is not None:
            self._text_logs.close()
        if self._observer is not None:
            self._observer.update(self.state)
        return f"{self._sink.pending} events were not written: {self._sink.error}" if self._sink.pending else None

    def _take_warnings(self) -> None:
        while self._warnings:
            self.note("warning", self._warnings.popleft())

    def _flush(self) -> None:
        self._flushed_at = self._clock()
        self._sink.flush()
        if self._text_logs is not None:
            self._text_logs.flush()

    def _put(self, line: bytes) -> dict[str, Any]:
        self._sink.emit_encoded(line)
        event = decode(line)
        self.state.apply(self._next_id, event)
        self._next_id += 1
        if self.on_event is not None:
            self.on_event(event)
        return event

    def _take_log(self, job: Job, logger: str, level: str, message: str) -> None:
        # What a worker without a pipe to here prints comes as events already.
        if logger in LEVELS:
            self._printed_by(job.experiment_id).tail.append(message)
        if self._text_logs is not None:
            self._text_logs.write(job.experiment_id, logger, level, [message])

    def _printed_by(self, experiment_id: int | None) -> Printed:
        if experiment_id not in self._printed:
            self._printed[experiment_id] = Printed(self.emit, self._run_id, experiment_id, clock=self._clock)
        return self._printed[experiment_id]

    def _log(self, experiment_id: int | None, level: str, logger: str, message: str) -> Log:
        return Log(
            grid_search_id=self._run_id, experiment_id=experiment_id, level=level, logger=logger, message=message
        )


def _changed_text(job: Job, changes: list[dict[str, Any]]) -> str:
    told = "; ".join(str(change["hint"]) for change in changes[:_MAX_CHANGES])
    more = f"; and {len(changes) - _MAX_CHANGES} more" if len(changes) > _MAX_CHANGES else ""
    return (
        f"experiment {job.experiment_id} runs other code than this run recorded, and need not give what it would have "
        f"given: {told}{more}"
    )
