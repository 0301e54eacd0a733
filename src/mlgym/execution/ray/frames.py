"""What a node tells the driver, as one stream of bytes: lines as a worker's pipe has them, and a few more kinds.

A frame is a line. Events are JSON objects; everything else has a letter in front. The stream is cut into chunks that
are small enough to travel within Ray's own messages: larger ones would stay on the node, and be lost with it.
"""

from __future__ import annotations

import itertools
from typing import Final, Literal, TypeAlias

import msgspec

from mlgym.execution.executor import Handler, Stream
from mlgym.execution.job import Exit
from mlgym.execution.pipe_sink import STREAM_MARKS

CHUNK_BYTES: Final = 64 * 1024
"""Below the 100 KiB up to which Ray sends what a task yields with the message that says so."""

Level: TypeAlias = Literal["info", "warning", "error"]
_EVENT: Final = b"{"
_HELLO, _STARTED, _NOTE, _UNFIT, _EXIT = b"h", b"s", b"n", b"u", b"x"
_OUTPUT: Final = {mark: stream for stream, mark in STREAM_MARKS.items()}
# The node's fork server, of which the lines are no experiment's.
_SERVER_MARKS: Final[dict[Stream, bytes]] = {"stdout": b"O", "stderr": b"E"}
_SERVER_OUTPUT: Final = {mark: stream for stream, mark in _SERVER_MARKS.items()}


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task found itself.

    Args:
        node: the node's address, and its name where that is another.
        facts: what it has of what changes bits, by name.
    """

    node: str
    facts: dict[str, str]


class FrameWriter(Handler):
    """A handler on the node that keeps, in order, what an executor there tells, until somebody takes it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets everything, for the next job."""
        self._frames: list[bytes] = []
        self.num_bytes = 0
        self.ended: Exit | None = None

    def hello(self, hello: Hello) -> None:
        """Tells where the task is."""
        self._add(_HELLO + msgspec.json.encode(hello))

    def unfit(self, message: str) -> None:
        """Tells why this node cannot run the job."""
        self._add(_UNFIT + msgspec.json.encode(message))

    def on_started(self, job_id: str) -> None:
        """See `Handler`."""
        self._add(_STARTED)

    def on_events(self, job_id: str, lines: list[bytes]) -> None:
        """See `Handler`."""
        for line in lines:
            self._add(line)

    def on_output(self, job_id: str | None, stream: Stream, lines: list[str]) -> None:
        """See `Handler`."""
        mark = (_SERVER_MARKS if job_id is None else STREAM_MARKS)[stream]
        for line in lines:
            self._add(mark + line.encode("utf-8", "backslashreplace"))

    def on_exit(self, job_id: str, ended: Exit) -> None:
        """See `Handler`."""
        self.ended = ended
        self._add(_EXIT + msgspec.json.encode(ended))

    def on_note(self, level: Level, message: str) -> None:
        """See `Handler`."""
        self._add(_NOTE + msgspec.json.encode((level, message)))

    def take(self) -> list[bytes]:
        """Gives what was told since the last time, in chunks."""
        data = b"".join(self._frames)
        self._frames, self.num_bytes = [], 0
        return [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]

    def _add(self, frame: bytes) -> None:
        self._frames.append(frame + b"\n")
        self.num_bytes += len(frame) + 1


class FrameReader:
    """The driver's end of one job's stream.

    Attributes:
        hello: where the job is; None until it is anywhere.
        started: whether it has a process.
        unfit: why its node could not run it; None where it could.
        ended: how it ended; None until it has.
    """

    def __init__(self, job_id: str) -> None:
        self.hello: Hello | None = None
        self.started = False
        self.unfit: str | None = None
        self.ended: Exit | None = None
        self._job_id = job_id
        self._partial = b""

    def feed(self, chunk: bytes, handler: Handler) -> None:
        """Takes the next chunk, and tells the handler all of its whole frames but the end, which is kept."""
        *frames, self._partial = (self._partial + chunk).split(b"\n")
        for mark, group in itertools.groupby(frames, key=lambda frame: frame[:1]):
            self._tell(mark, list(group), handler)

    def _tell(self, mark: bytes, frames: list[bytes], handler: Handler) -> None:
        if mark == _EVENT:
            handler.on_events(self._job_id, frames)
        elif mark in _OUTPUT:
            handler.on_output(self._job_id, _OUTPUT[mark], _texts(frames))
        elif mark in _SERVER_OUTPUT:
            handler.on_output(None, _SERVER_OUTPUT[mark], _texts(frames))
        else:
            for frame in frames:
                self._take(mark, frame[1:], handler)

    def _take(self, mark: bytes, data: bytes, handler: Handler) -> None:
        if mark == _HELLO:
            self.hello = msgspec.json.decode(data, type=Hello)
        elif mark == _STARTED:
            self.started = True
            handler.on_started(self._job_id)
        elif mark == _NOTE:
            level, message = msgspec.json.decode(data, type=tuple[Level, str])
            handler.on_note(level, message)
        elif mark == _UNFIT:
            self.unfit = msgspec.json.decode(data, type=str)
        elif mark == _EXIT:
            self.ended = msgspec.json.decode(data, type=Exit)


def _texts(frames: list[bytes]) -> list[str]:
    return [frame[1:].decode("utf-8", "replace") for frame in frames]
