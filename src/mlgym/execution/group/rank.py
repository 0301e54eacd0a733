"""One rank of a group: a forked process that runs the job's entry, and tells the process that started it how it went.

Rank 0 writes the events of the experiment to the job's own pipe. What other ranks log and all of them print goes to the
process that started them, which keeps the last lines of each.
"""

from __future__ import annotations

import atexit
import os
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

import msgspec

from mlgym.events import Event, EventSink, Log, Payload
from mlgym.execution.executor import Stream
from mlgym.execution.forked import exit_now, forget_parent, take_over_streams
from mlgym.execution.job import BATCH_SIGNAL, STOP_SIGNAL, TIME_LIMIT_SIGNAL, Job
from mlgym.execution.linux import die_with_parent
from mlgym.execution.output.tap import tapped_output
from mlgym.execution.output.worker_logging import captured_logging
from mlgym.execution.perform import load_entry, perform
from mlgym.execution.pipe_sink import PipeSink
from mlgym.execution.stop_request import StopRequest, install_signal_handlers

STOP_SIGNALS: Final = (STOP_SIGNAL, BATCH_SIGNAL, TIME_LIMIT_SIGNAL)


@dataclass(frozen=True, kw_only=True)
class Birth:
    """What a rank gets from the process that forks it.

    Args:
        rank: its number.
        job: the job, of the whole group.
        events: the write end of the job's event pipe; used by rank 0.
        report: the write end of the pipe that takes its end and its lines.
        stdout, stderr: the write ends of the pipes that take what goes around Python's streams.
        not_mine: descriptors to be closed.
        variables: environment variables.
        parent: the process that forked it.
    """

    rank: int
    job: Job
    events: int
    report: int
    stdout: int
    stderr: int
    not_mine: tuple[int, ...]
    variables: dict[str, str]
    parent: int


def become_rank(birth: Birth) -> NoReturn:
    """Runs a rank in this process, which was forked for it, with signals blocked, and ends it."""
    code = 1
    try:
        die_with_parent(birth.parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        forget_parent()
        os.environ.update(birth.variables)
        take_over_streams(birth.stdout, birth.stderr)
        for descriptor in birth.not_mine:
            os.close(descriptor)
        stop = StopRequest()
        install_signal_handlers(stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        code = 0 if _run(birth, stop) else 1
        atexit._run_exitfuncs()
    except BaseException:  # nothing may run the parent's code in the child
        traceback.print_exc()
    finally:
        exit_now(code)


def _run(birth: Birth, stop: StopRequest) -> bool:
    report = PipeSink(birth.report)
    sink: EventSink = PipeSink(birth.events) if birth.rank == 0 else _LinesSink(report)

    def tell(stream: Stream, lines: list[str]) -> None:
        report.tell_lines(stream, lines)
        if isinstance(sink, PipeSink):
            sink.tell_lines(stream, lines)  # in their order with the events

    @contextmanager
    def listening() -> Iterator[None]:
        with tapped_output(tell, passes_on=False), captured_logging(sink, birth.job.run_id, birth.job.experiment_id):
            yield

    def entry(job: Job, _: EventSink, stop: StopRequest) -> None:
        load_entry(job.entry)(job, sink, stop)

    job = msgspec.structs.replace(birth.job, device=birth.job.devices[birth.rank])
    return perform(job, report, stop, listening(), entry)


class _LinesSink(EventSink):
    """Drops events, which rank 0 tells for all, but makes lines of what is logged."""

    def __init__(self, report: PipeSink) -> None:
        self._report = report

    def emit(self, payload: Payload) -> None:
        if isinstance(payload, Log):
            self._report.tell_lines(
                "stderr", f"{payload.level.upper()} {payload.logger}: {payload.message}".split("\n")
            )

    def emit_event(self, event: Event) -> None:
        self.emit(event.payload)
