"""Reading and following logs, also while they are written, cut back and replaced."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgym.errors import EventLogError
from mlgym.events import EventLog, LoggedEvent, Producer, follow_log, read_log
from mlgym.events.codec import seal
from mlgym.names import LOG_FILE
from tests.events.samples import lines, log_event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / LOG_FILE


def texts(events: Iterator[LoggedEvent] | list[LoggedEvent]) -> list[tuple[int, str]]:
    return [(event_id, event["payload"]["message"]) for event_id, event in events]


def sealed(*names: str) -> bytes:
    producer = Producer()
    return b"".join(seal(producer.encode(log_event(name))) for name in names)


def test_read_from_an_id(path: Path) -> None:
    """Reading starts at the id asked for, and ids are line numbers; the checksum is not part of the event."""
    path.write_bytes(b"".join(lines(20)))
    everything = list(read_log(path))
    assert [logged.event_id for logged in everything] == list(range(20))
    assert "crc" not in everything[0].event
    assert list(read_log(path, 15)) == everything[15:]
    assert list(read_log(path, 99)) == []


def test_missing_log(path: Path) -> None:
    """Reading a log that is not there is an error that names it; following it waits."""
    with pytest.raises(EventLogError, match=LOG_FILE):
        list(read_log(path))
    assert list(follow_log(path, until=lambda: True)) == []
    with pytest.raises(EventLogError, match="cannot be read"):
        list(follow_log(path.parent, until=lambda: True))


def test_follow_sees_everything_once(path: Path) -> None:
    """A follower that starts before the log exists gets every event once, in order, and ends when told."""
    done = threading.Event()

    def write() -> None:
        producer = Producer()
        with EventLog.open(path) as log:
            for start in range(0, 3000, 30):
                log.append([producer.encode(log_event(str(number))) for number in range(start, start + 30)])
        done.set()

    writer = threading.Thread(target=write)
    followed = follow_log(path, until=done.is_set, poll_s=0.001)
    writer.start()
    found = texts(followed)
    writer.join()
    assert found == [(number, str(number)) for number in range(3000)]


class Steps:
    """Changes a file between the looks of a follower, and ends it after the last change."""

    def __init__(self, path: Path, *contents: bytes) -> None:
        self._path = path
        self._contents = list(contents)

    def __call__(self) -> bool:
        self._path.write_bytes(self._contents.pop(0))
        return not self._contents


def test_follow_waits_for_the_rest_of_a_line(path: Path) -> None:
    """Half a line is nothing yet; it is given once it is whole."""
    a, b = lines(2)
    steps = Steps(path, a[:10], a + b[:-1], a + b)
    assert [logged.event_id for logged in follow_log(path, until=steps, poll_s=0)] == [0, 1]


def test_follow_from_an_id(path: Path) -> None:
    """A follower that knows the first events gets the others."""
    data = lines(6)
    steps = Steps(path, b"".join(data[:2]), b"".join(data[:5]), b"".join(data))
    assert [logged.event_id for logged in follow_log(path, 3, steps, poll_s=0)] == [3, 4, 5]


def test_follow_through_a_cut(path: Path) -> None:
    """Lines that the writer took back and wrote again are given once, and those after them are not missed."""
    data = lines(8)
    whole = b"".join(data)
    shorter = Steps(path, b"".join(data[:5]), b"".join(data[:3]), whole)
    assert [logged.event_id for logged in follow_log(path, until=shorter, poll_s=0)] == list(range(8))
    # Taken back and written anew with other bytes between two looks, so that the follower stands within a line.
    other = b"".join(data[:3]) + sealed("x", "y") + b"".join(data[5:])
    unseen = Steps(path, b"".join(data[:5]), other, other)
    assert [logged.event_id for logged in follow_log(path, until=unseen, poll_s=0)] == list(range(8))
    # Written anew so much shorter that all of it lies before where the follower stands.
    short = sealed(*"abcdefgh")
    shrunk = Steps(path, sealed(*[name * 1000 for name in "abcde"]), short)
    assert [logged.event_id for logged in follow_log(path, until=shrunk, poll_s=0)] == list(range(8))


def test_follow_stops_at_damage(path: Path) -> None:
    """A damaged line ends what a follower sees, without an error and without reading all again at each look."""
    data = lines(4)
    damaged = b"".join(data[:2]) + b"damaged\n" + data[3]
    steps = Steps(path, *[damaged] * 5)
    assert [logged.event_id for logged in follow_log(path, until=steps, poll_s=0)] == [0, 1]
