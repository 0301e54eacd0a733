"""The way of events from a node to the driver: a file that the task appends to and the driver reads.

A line is an event, or a record behind a letter: where a start of a job began, and how it ended. What is printed comes
as events too. A killed task leaves at most one torn line, the last one, which was never an event.

When it is on the disk: within a second of being written, by a thread. That keeps training out of it, shows the events
to other nodes where files travel through a network, and bounds what the crash of a node can cost to what the
experiment sends again: its latest checkpoint holds the results of the 30 s before it.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mlgym.execution.executor import Stream
from mlgym.execution.job import Exit
from mlgym.execution.output.printed import Printed
from mlgym.execution.pipe_sink import PipeSink

_SYNC_EVERY_S: Final = 1.0
_FULL_RETRY_S: Final = 1.0
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
_MAX_READ_BYTES: Final = 4 * 2**20
_BEGIN: Final = b"b"
_END: Final = b"x"


class Begin(msgspec.Struct, kw_only=True, frozen=True):
    """A start of a job.

    Args:
        host: the node.
        pid: the process there.
        queue_id: how the cluster calls the task.
    """

    host: str
    pid: int
    queue_id: str


class End(msgspec.Struct, kw_only=True, frozen=True):
    """The end of a start of a job, where it could tell it itself.

    Args:
        exit: how the experiment's process ended.
        left: it saved a checkpoint and made room; the cluster starts it again, or says why not.
    """

    exit: Exit
    left: bool = False


class SpoolSink(PipeSink):
    """Appends events to a spool."""

    def __init__(
        self, descriptor: int, run_id: str, experiment_id: int, superseded: Callable[[], bool] | None = None
    ) -> None:
        """Takes over the descriptor of an empty file, opened to append.

        Args:
            descriptor: of the file.
            run_id: the run that printed lines belong to.
            experiment_id: the experiment that printed lines belong to.
            superseded: whether the cluster has started the job again elsewhere, having taken this node for dead; this
                process then ends at once, since an experiment has one writer.
        """
        super().__init__(descriptor)
        self._printed = Printed(self.emit, run_id, experiment_id)
        self._superseded = superseded or (lambda: False)
        self._whole_bytes = 0
        self._written = threading.Event()
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync, name="spool", daemon=True)
        self._syncer.start()

    def tell_lines(self, stream: Stream, lines: list[str]) -> None:
        """Takes printed lines; a flood stops here, before it fills the file system."""
        with self._lock:
            self._printed.take(stream, lines)

    def pass_on(self, line: bytes) -> None:
        """Takes an event of another process, as that encoded it."""
        with self._lock:
            self._write(line + b"\n")

    def tell(self, record: Begin | End) -> None:
        """Takes a record."""
        with self._lock:
            self._write((_BEGIN if isinstance(record, Begin) else _END) + msgspec.json.encode(record) + b"\n")

    def finish_lines(self) -> None:
        """Tells the end of a flood."""
        with self._lock:
            self._printed.finish()

    def close(self) -> None:
        """Waits until everything is on the disk."""
        self._closing.set()
        self._written.set()
        self._syncer.join()
        os.close(self._descriptor)

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except OSError as error:
                if error.errno not in _NO_SPACE:
                    raise
                # The experiment waits, as for a full pipe; SLURM bounds for how long.
                os.ftruncate(self._descriptor, self._whole_bytes)
                rest = memoryview(line)
                os.write(2, f"{error.strerror}: waiting until there is room for events\n".encode())
                threading.Event().wait(_FULL_RETRY_S)
        self._whole_bytes += len(line)
        self._written.set()

    def _sync(self) -> None:
        while True:
            had_news = self._written.wait(10 * _SYNC_EVERY_S)
            if self._superseded():
                os.kill(os.getpid(), signal.SIGKILL)
            closing = self._closing.is_set()
            self._written.clear()
            if had_news:
                os.fsync(self._descriptor)
            if closing:
                return
            self._closing.wait(_SYNC_EVERY_S)


class SpoolReader:
    """Reads a spool as it grows, whole lines only.

    Attributes:
        path: the file.
        offset: bytes of the lines given so far.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        """Makes a reader that begins at a byte where a line begins."""
        self.path = path
        self.offset = offset

    def read(self) -> list[bytes]:
        """Gives the lines that were completed since the last call, at most some MiB of them; none where none were.

        The file is opened each time: that is when a network file system looks for what another node has written.
        """
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.offset)
                data = file.read(_MAX_READ_BYTES) or b""
                while data and b"\n" not in data and (more := file.read(_MAX_READ_BYTES)):
                    data += more
        except FileNotFoundError:
            return []
        *lines, rest = data.split(b"\n")
        self.offset += len(data) - len(rest)
        return lines


def record_of(line: bytes) -> Begin | End | None:
    """Gives the record that a line holds; None where it is an event."""
    kind = {_BEGIN: Begin, _END: End}.get(line[:1])
    return None if kind is None else msgspec.json.decode(line[1:], type=kind)
