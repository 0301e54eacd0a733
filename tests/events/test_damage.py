"""Every cut and every flipped bit of a log: exactly the events before it stand, and what was cut off is kept aside.

Lines are checked one after the other and each by its own bytes, so a change within line `i` cannot alter what is found
for the lines before it. The exhaustive tests therefore look at the changed line alone; tests with the whole log and
with real files, at places spread over it, show that the look at one line and the scan of a log agree.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlgym.events import EventLog, damage_of, fold_log, read_log, read_torn
from mlgym.events.codec import is_whole
from mlgym.events.scan import scan, whole_lines
from tests.events.samples import LEGACY_LINE, lines, log_event

NUM_EVENTS = 200
LINES = lines(NUM_EVENTS)
DATA = b"".join(LINES)
STARTS = [sum(map(len, LINES[:i])) for i in range(NUM_EVENTS + 1)]


def line_at(offset: int) -> int:
    return sum(start <= offset for start in STARTS[1:])


def first_line_after_flip(number: int, bit: int) -> bytes:
    """Gives what a reader takes for line `number` after one of its bits was flipped."""
    # A flipped newline joins the line with the next one.
    text = bytearray(LINES[number] + (LINES[number + 1] if number + 1 < NUM_EVENTS else b""))
    text[bit // 8] ^= 1 << bit % 8
    return io.BytesIO(text).readline()


def undetected_flips(is_accepted: Callable[[bytes], bool], every_n: int) -> list[tuple[int, int]]:
    flips = [(number, bit) for number in range(NUM_EVENTS) for bit in range(8 * len(LINES[number]))]
    return [(number, bit) for number, bit in flips[::every_n] if is_accepted(first_line_after_flip(number, bit))]


@pytest.mark.slow
def test_every_bit_flip_is_noticed() -> None:
    """No single flipped bit, anywhere in any of the lines, leaves a line that is taken for whole."""
    assert undetected_flips(is_whole, every_n=1) == []


def test_bit_flips_are_noticed() -> None:
    """The same at every 13th bit: 13 is prime to 8, so that every position within a byte comes up."""
    assert undetected_flips(is_whole, every_n=13) == []


def test_control_bit_flips_without_checksum() -> None:
    """With the checksum left out of sight, most flips go unnoticed: JSON alone does not protect."""

    def is_json_line(line: bytes) -> bool:
        try:
            return line.endswith(b"\n") and isinstance(json.loads(line), dict)
        except ValueError:
            return False

    assert len(undetected_flips(is_json_line, every_n=13)) > len(DATA) * 8 / 13 / 2


def test_every_truncation_is_noticed() -> None:
    """No beginning of a line, however long, is taken for whole."""
    assert all(map(is_whole, LINES))
    assert not any(is_whole(line[:length]) for line in LINES for length in range(len(line)))


def test_scan_gives_the_lines_before_a_cut() -> None:
    """The scan of a truncated log gives exactly the whole lines, at each border of lines and beside it."""
    offsets = sorted({*range(0, len(DATA), 997), *(start + d for start in STARTS for d in (-1, 0, 1))})
    for offset in offsets:
        expected = line_at(offset)
        found = scan(io.BytesIO(DATA[: max(0, offset)]))
        assert (found.num_events, found.num_bytes) == (expected, STARTS[expected])


def test_scan_gives_the_lines_before_a_flip() -> None:
    """The scan of a log with a flipped bit gives exactly the lines before it."""
    for bit in range(0, 8 * len(DATA), 1499):
        damaged = bytearray(DATA)
        damaged[bit // 8] ^= 1 << bit % 8
        assert list(whole_lines(io.BytesIO(damaged))) == LINES[: line_at(bit // 8)]


def damages() -> Iterator[bytes]:
    """Yields damaged logs: cut, flipped, with foreign bytes between and after."""
    for offset in range(1, len(DATA), 3989):
        yield DATA[:offset]
    for bit in range(0, 8 * len(DATA), 24_001):
        damaged = bytearray(DATA)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)
    yield DATA + b"\x00" * 4096  # what some file systems leave after a power cut
    yield DATA + b"\n"
    yield DATA + LINES[0][:-1]
    yield b"\xff" + DATA
    yield DATA[:5000] + b"x" * 17_000_000 + DATA[5000:]


def test_opening_a_damaged_log(tmp_path: Path) -> None:
    """Opening keeps the valid beginning, moves the rest aside byte for byte, says so, and goes on."""
    for number, data in enumerate(damages()):
        path = tmp_path / f"{number}.log"
        path.write_bytes(data)
        kept = b"".join(whole_lines(io.BytesIO(data)))
        before = [logged.event for logged in read_log(path)]
        with EventLog.open(path) as log:
            assert path.read_bytes() == kept
            assert log.num_events == len(before) == kept.count(b"\n")
            _check_moved(log, data[len(kept) :])
            assert log.append([b'{"event_type":"x","payload":1}']) == [len(before)]
        assert [logged.event for logged in read_log(path)] == [*before, {"event_type": "x", "payload": 1}]


def _check_moved(log: EventLog, tail: bytes) -> None:
    assert [piece.data for piece in read_torn(log.path)] == ([tail] if tail else [])
    if tail:
        assert log.recovery is not None
        assert (log.recovery.kept_events, log.recovery.torn_bytes) == (log.num_events, len(tail))
        assert str(log.recovery.torn_path) in str(log.recovery)
    else:
        assert log.recovery is None


def test_control_append_behind_a_torn_line(tmp_path: Path) -> None:
    """What the recovery is for: appending behind a torn line without it loses the event that was confirmed."""
    path = tmp_path / "event_storage.log"
    path.write_bytes(DATA[:-10])
    with path.open("ab") as file:
        file.write(LINES[0])
    assert len(list(read_log(path))) == NUM_EVENTS - 1


def test_torn_pieces_add_up(tmp_path: Path) -> None:
    """A second recovery does not touch what the first one put aside."""
    path = tmp_path / "event_storage.log"
    tails = [b"torn", b"\n\n", LINES[3][:-1], b"\x00\xff" * 10]
    for number, tail in enumerate(tails):
        with path.open("ab") as file:
            file.write(LINES[number] + tail)
        with EventLog.open(path) as log:
            assert log.num_events == number + 1
    pieces = list(read_torn(path))
    assert [piece.data for piece in pieces] == tails
    assert [piece.offset for piece in pieces] == STARTS[1:5]


def test_old_logs_are_read_and_continued(tmp_path: Path) -> None:
    """A log of MLgym 0.0.75 is read, cut where it is torn, and continued with sealed lines."""
    path = tmp_path / "event_storage.log"
    path.write_bytes(LEGACY_LINE * 3 + LEGACY_LINE[:-20])
    with EventLog.open(path) as log:
        assert log.num_events == 3
        assert log.recovery is not None
        log.append([b'{"event_type":"x","payload":1}'])
    events = [logged.event for logged in read_log(path)]
    assert len(events) == 4
    assert events[0]["payload"]["metric_scores"][0]["non_finite"] == "nan"


def test_reading_a_torn_log_changes_nothing(tmp_path: Path) -> None:
    """Readers stop at the torn end and leave the file alone."""
    path = tmp_path / "event_storage.log"
    path.write_bytes(DATA[:-1])
    assert len(list(read_log(path))) == NUM_EVENTS - 1
    assert path.read_bytes() == DATA[:-1]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_samples_are_varied() -> None:
    """The log under test has lines of several types, with and without producer, with and without non-ASCII text."""
    events = [json.loads(line) for line in LINES]
    assert len({event["event_type"] for event in events}) == 5
    assert {("producer" in event) for event in events} == {True, False}
    assert {line.isascii() for line in LINES} == {True, False}
    assert log_event().message == "hello"


def test_damage_is_told_from_an_end(tmp_path: Path) -> None:
    """Where a complete line is no event the log is damaged, and says where; a log that ends or is torn there is not."""
    path = tmp_path / "log"
    for number in (0, 7, NUM_EVENTS - 1):
        data = bytearray(DATA)
        data[STARTS[number] + 3] ^= 1
        path.write_bytes(data)
        assert damage_of(path) == (number, STARTS[number], len(DATA) - STARTS[number])
        assert fold_log(path).damage == damage_of(path)
        path.write_bytes(DATA[: STARTS[number + 1] - 1])
        assert damage_of(path) is None
    path.write_bytes(DATA)
    assert fold_log(path).damage is None
