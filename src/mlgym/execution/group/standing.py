"""How a rank of a group stands, as the process that forked it knows: what it said, what it printed, how it ended."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from mlgym.errors import RankFailedError
from mlgym.events import JobStatus, decode
from mlgym.execution.executor import Stream
from mlgym.execution.job import Exit, Job, time_limit_error
from mlgym.execution.out_of_memory import KERNEL_KILLED
from mlgym.execution.output import LineSplitter
from mlgym.execution.pipe_sink import split_lines
from mlgym.execution.printed import NUM_TAIL_LINES
from mlgym.execution.tap import STREAMS

_READ_BYTES: Final = 1024 * 1024
# Of one pipe before the others get their turn.
_MAX_READS_A_TURN: Final = 4
_DESCRIPTORS: Final[dict[Stream, int]] = {"stdout": 1, "stderr": 2}
# What a rank says whose connection to another one broke, mostly because that one is dead.
_OF_CONNECTION: Final = re.compile(
    r"Dist(?:Backend|Network|Store)Error|\bgloo\b|\bNCCL\b|Connection (?:closed|reset) by peer|cannot reach the others"
)


class RankProcess:
    """A forked rank.

    Attributes:
        pid: its process.
        pipes: the read ends of its report, its stdout and its stderr.
        silent: those of them that nobody writes to any more.
        tail: its last lines.
    """

    def __init__(self, number: int, job: Job, report: int, stdout: int, stderr: int) -> None:
        """Makes one that does not run yet; takes over the read ends of its pipes."""
        self.number = number
        self.pid = 0
        self.pipes = (report, stdout, stderr)
        self.silent: set[int] = set()
        self.tail: deque[str] = deque(maxlen=NUM_TAIL_LINES)
        self._time_limit_error = time_limit_error(job.time_limit_s or 0.0)
        self._partial = b""
        self._splitters = {stream: LineSplitter() for stream in STREAMS}
        self._done: dict[str, Any] | None = None
        self._exit: Exit | None = None
        self._killed = False

    @property
    def lives(self) -> bool:
        """Whether its process runs."""
        return self._exit is None

    @property
    def told(self) -> bool:
        """Whether it told its end, with which nothing more of it is to come but the end of its process."""
        return self._done is not None

    @property
    def died(self) -> bool:
        """Whether it ended without telling how, and not because it was killed for another one's sake."""
        return self._exit is not None and self._done is None and not self._killed

    @property
    def interrupted(self) -> bool:
        """Whether it ended because it was asked to, be it for the time."""
        return self._done is not None and (self._done["interrupted"] or self._done["error"] == self._time_limit_error)

    @property
    def failed(self) -> bool:
        """Whether it died, or told an error."""
        return self.died or (self.error is not None and not self.interrupted)

    @property
    def error(self) -> str | None:
        """What it told of its failure."""
        return self._done["error"] if self._done else None

    @property
    def stacktrace(self) -> str | None:
        """The traceback that it told."""
        return self._done["stacktrace"] if self._done else None

    @property
    def exit(self) -> Exit | None:
        """How its process ended."""
        return self._exit

    @property
    def told_at(self) -> float:
        """When it told its end, in s since the epoch."""
        return float(self._done["finishing_time"]) if self._done else 0.0

    def readers(self, *, max_reads: int = _MAX_READS_A_TURN) -> Iterator[tuple[int, Callable[[], None]]]:
        """Gives its pipes with what to call when there is something in them."""
        report, stdout, stderr = self.pipes
        yield report, lambda: self._read_report(max_reads)
        yield stdout, lambda: self._read_output("stdout", stdout, max_reads)
        yield stderr, lambda: self._read_output("stderr", stderr, max_reads)

    def signal(self, signum: int) -> None:
        """Sends a signal; may be called from a signal handler."""
        if self._exit is None and self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def kill(self) -> None:
        """Kills it because of another one, where it lives."""
        self._killed |= self.lives
        self.signal(signal.SIGKILL)

    def bury(self) -> None:
        """Takes note of its end, where it has ended."""
        if self._exit is None and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            self.wait()

    def wait(self) -> None:
        """Waits for its end, and takes in all that it left."""
        if self._exit is not None:
            return
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self._exit = Exit()  # before its id may be somebody else's
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._exit = Exit(code=code if code >= 0 else None, signal=-code if code < 0 else None)
        for _, read in self.readers(max_reads=sys.maxsize):
            read()
        for stream, splitter in self._splitters.items():
            self._take_lines(stream, splitter.flush(), passes_on=True)

    def _read_report(self, max_reads: int) -> None:
        *lines, self._partial = (self._partial + self._read(self.pipes[0], max_reads)).split(b"\n")
        for stream, group in split_lines(lines):
            if stream is not None:
                texts = [line.decode("utf-8", "replace") for line in group]
                # Those of rank 0 went to the job's own pipe.
                self._take_lines(stream, texts, passes_on=self.number > 0)
                continue
            for event in map(decode, group):
                if event["event_type"] == JobStatus.event_type and event["payload"]["status"] == "DONE":
                    self._done = event["payload"]

    def _read_output(self, stream: Stream, descriptor: int, max_reads: int) -> None:
        lines = self._splitters[stream].feed(self._read(descriptor, max_reads))
        self._take_lines(stream, lines, passes_on=True)

    def _read(self, descriptor: int, max_reads: int) -> bytes:
        """Gives what is in a pipe now."""
        parts = []
        with suppress(BlockingIOError):
            for _ in range(max_reads):
                parts.append(os.read(descriptor, _READ_BYTES))
                if not parts[-1]:
                    self.silent.add(descriptor)
                    break
        return b"".join(parts)

    def _take_lines(self, stream: Stream, lines: Sequence[str], *, passes_on: bool) -> None:
        self.tail.extend(lines[-NUM_TAIL_LINES:])
        if lines and passes_on:
            mark = f"[rank {self.number}] " if self.number else ""
            text = "".join(f"{mark}{line}\n" for line in lines).encode("utf-8", "backslashreplace")
            while text:
                text = text[os.write(_DESCRIPTORS[stream], text) :]


def failure_of(ranks: Sequence[RankProcess], *, out_of_memory: bool) -> RankFailedError:
    """Gives the failure of a group: that of the rank which failed first, not of one that lost its connection by it.

    Args:
        ranks: all of them, ended; some failed.
        out_of_memory: whether the kernel killed a process for lack of memory meanwhile.
    """
    failed = [rank for rank in ranks if rank.failed]
    cause = min(failed, key=_suspicion)
    same = len(failed) == len(ranks) and len({rank.error for rank in ranks}) == 1 and cause.error is not None
    if same:  # nothing of it is that rank's own
        return RankFailedError(
            str(cause.error), stacktrace=cause.stacktrace, exit_signal=None, log_tail=list(cause.tail)
        )
    if not cause.died:
        return RankFailedError(
            f"rank {cause.number}: {cause.error}",
            stacktrace=cause.stacktrace,
            exit_signal=None,
            log_tail=list(cause.tail),
        )
    assert cause.exit is not None
    error = f"rank {cause.number} {cause.exit.describe()}"
    if cause.exit.signal == signal.SIGKILL and out_of_memory:
        error += f"; {KERNEL_KILLED}: run fewer processes, or smaller batches"
    return RankFailedError(error, stacktrace=None, exit_signal=cause.exit.signal_name, log_tail=list(cause.tail))


def _suspicion(rank: RankProcess) -> tuple[int, float]:
    """Gives a key by which the rank comes first whose failure is most likely the cause of the others'."""
    if rank.died:
        return 0, 0.0
    text = f"{rank.error}\n{rank.stacktrace or ''}"
    return (2 if _OF_CONNECTION.search(text) else 1), rank.told_at
