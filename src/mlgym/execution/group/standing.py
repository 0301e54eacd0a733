"""How a rank of a group stands, as the process that forked it knows: what it said, what it printed, how it ended."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from mlgym.events import JobStatus, decode
from mlgym.execution.executor import Stream
from mlgym.execution.group.failure import RankEnd
from mlgym.execution.job import Exit, Job, time_limit_error
from mlgym.execution.output.lines import LineSplitter
from mlgym.execution.output.printed import NUM_TAIL_LINES
from mlgym.execution.output.tap import STREAMS
from mlgym.execution.pipe_sink import split_lines

_READ_BYTES: Final = 1024 * 1024
# Of one pipe before the others get their turn.
_MAX_READS_A_TURN: Final = 4
_DESCRIPTORS: Final[dict[Stream, int]] = {"stdout": 1, "stderr": 2}


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
        return self.died or (self._done is not None and self._done["error"] is not None and not self.interrupted)

    @property
    def end(self) -> RankEnd:
        """What is known of its end."""
        if self._done is None:
            return RankEnd(rank=self.number, exit=self._exit, log_tail=tuple(self.tail))
        return RankEnd(
            rank=self.number,
            error=self._done["error"],
            stacktrace=self._done["stacktrace"],
            told_at=self._done["finishing_time"],
            log_tail=tuple(self.tail),
        )

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
