"""What nodes tell comes out as it went in, however it is cut."""

from __future__ import annotations

import pytest

from mlgym.events import Log, Producer, decode
from mlgym.execution.job import Exit
from mlgym.execution.ray.frames import CHUNK_BYTES, FrameReader, FrameWriter, Hello
from tests.execution.handlers import Keeping


def told(writer: FrameWriter, size: int) -> tuple[FrameReader, Keeping]:
    """Reads what a writer kept, in pieces of another size than it was cut into."""
    reader, handler = FrameReader("job"), Keeping()
    data = b"".join(writer.take())
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size], handler)
    return reader, handler


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_every_kind_comes_out_as_it_went_in(size: int) -> None:
    """Events, lines of both streams, those of the node's own server, notes and the end."""
    writer, producer = FrameWriter(), Producer()
    logs = [Log(grid_search_id="r", experiment_id=0, level="info", logger="l", message=f"m\n{n}") for n in range(3)]
    events = [producer.encode(log) for log in logs]
    writer.hello(Hello(node="10.0.0.3 (host)", facts={"torch": "2.13"}))
    writer.on_started("job")
    writer.on_events("job", events)
    writer.on_output("job", "stdout", ["plain", "with \u2028 and \udcff", ""])
    writer.on_output("job", "stderr", ["x is no mark", "{no event either"])
    writer.on_output(None, "stderr", ["of the server"])
    writer.on_note("warning", "two\nlines")
    writer.on_exit("job", Exit(code=1, cpu_s=2.0))
    reader, handler = told(writer, size)
    assert reader.hello == Hello(node="10.0.0.3 (host)", facts={"torch": "2.13"})
    assert handler.started == ["job"]
    assert handler.events["job"] == [decode(event) for event in events]
    assert handler.output["job"] == [
        ("stdout", "plain"),
        ("stdout", "with \u2028 and \\udcff"),
        ("stdout", ""),
        ("stderr", "x is no mark"),
        ("stderr", "{no event either"),
    ]
    assert handler.output[None] == [("stderr", "of the server")]
    assert handler.notes == [("warning", "two\nlines")]
    assert reader.ended == Exit(code=1, cpu_s=2.0)
    # The end is told by who knows that nothing more comes.
    assert handler.exits == {}


def test_chunks_fit_into_messages_and_an_unfinished_frame_is_none() -> None:
    """A line of many chunks comes out whole; one that was cut off by a lost node is not told."""
    writer = FrameWriter()
    writer.on_output("job", "stdout", ["x" * (3 * CHUNK_BYTES), "the last"])
    chunks = writer.take()
    assert len(chunks) == 4
    assert max(map(len, chunks)) == CHUNK_BYTES
    assert writer.take() == []
    reader, handler = FrameReader("job"), Keeping()
    for chunk in [*chunks[:-1], chunks[-1][:-3]]:
        reader.feed(chunk, handler)
    assert [len(line) for _, line in handler.output["job"]] == [3 * CHUNK_BYTES]


def test_the_lines_between_events_keep_their_place() -> None:
    """What was printed before an event is told before it."""
    writer, order = FrameWriter(), []

    class Noting(Keeping):
        def on_events(self, job_id: str, lines: list[bytes]) -> None:
            order.extend(["event"] * len(lines))

        def on_output(self, job_id: str | None, stream: str, lines: list[str]) -> None:
            order.extend(lines)

    for number in range(3):
        writer.on_output("job", "stdout", [f"line {number}"])
        writer.on_events("job", [b"{}"])
    FrameReader("job").feed(b"".join(writer.take()), Noting())
    assert order == ["line 0", "event", "line 1", "event", "line 2", "event"]
