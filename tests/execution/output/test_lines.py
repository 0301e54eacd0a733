"""Lines out of bytes, and the limit on how many of them pass."""

from __future__ import annotations

import random

from mlgym.execution.output.lines import FloodLimit, LineSplitter


def test_lines_do_not_depend_on_how_the_bytes_arrive() -> None:
    """Any cutting of the stream gives the same lines, the unfinished last one included."""
    data = "eins\nzwei ü\n\r\n\rvier\r 10 %\r100 %\n\nlast".encode()
    expected = ["eins", "zwei ü", "", "100 %", ""]
    rng = random.Random(0)
    for _ in range(200):
        splitter = LineSplitter()
        borders = sorted(rng.randrange(len(data)) for _ in range(rng.randrange(6)))
        pieces = [data[a:b] for a, b in zip([0, *borders], [*borders, len(data)], strict=True)]
        assert [line for piece in pieces for line in splitter.feed(piece)] == expected
        assert splitter.flush() == ["last"]
        assert splitter.flush() == []


def test_long_lines_are_cut_and_say_by_how_much() -> None:
    """A line beyond the limit keeps its beginning, whether it comes at once or in pieces."""
    for size in (1000, 7):
        splitter = LineSplitter(max_chars=10)
        data = b"a" * 1000 + b"\nb\n"
        lines = [line for i in range(0, len(data), size) for line in splitter.feed(data[i : i + size])]
        assert lines == ["a" * 10 + " ... (990 more bytes)", "b"]


def test_memory_is_bounded_without_line_ends() -> None:
    """A progress bar that never ends its line is remembered by its last state only."""
    splitter = LineSplitter(max_chars=100)
    for percent in range(5000):
        assert splitter.feed(b"\r%d %%" % percent) == []
        assert len(splitter._pending) <= 100
    assert splitter.flush() == ["4999 %"]


def test_bytes_that_are_no_text_are_escaped() -> None:
    """What is no UTF-8 is shown, not refused."""
    assert LineSplitter().feed(b"\xff\xfe ok\n") == ["\\xff\\xfe ok"]


def test_flood_limit_lets_a_burst_pass_and_then_a_rate() -> None:
    """A burst passes, the rest is counted; later lines pass at the rate; the count is told once."""
    now = 0.0
    limit = FloodLimit(burst=10, lines_per_s=2, clock=lambda: now)
    assert limit.admit(4) == 4
    assert limit.admit(1000) == 6
    assert limit.num_dropped == 994
    now = 1.9
    assert limit.admit(10) == 0
    now = 3.0
    assert limit.admit(1000) == 6
    assert limit.take_notice() == "1,998 lines of output were left out here: more than 2 a second"
    assert limit.take_notice() is None
    now = 1e6
    assert limit.admit(1000) == 10
