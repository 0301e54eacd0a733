"""Where the log of a hub ends in the one here, and how long to wait before trying again."""

from __future__ import annotations

import io

from mlgym.tracking.backoff import Backoff
from mlgym.tracking.log_cursor import LogCursor
from mlgym.tracking.portable import line_crc
from tests.events.samples import LEGACY_LINE, lines


def test_advance() -> None:
    """It goes to the end of a log that is the beginning of this one, and nowhere for any other."""
    here = [*lines(20), LEGACY_LINE, *lines(5)]
    file = io.BytesIO(b"".join(here) + b'{"torn')
    for num_there in (0, 1, 21, len(here)):
        cursor = LogCursor()
        passed: list[bytes] = []
        crc = line_crc(here[num_there - 1]) if num_there else None
        assert cursor.advance(file, num_there, crc, passed.append)
        assert (cursor.num_events, cursor.position, passed) == (num_there, len(b"".join(passed)), here[:num_there])
        assert cursor.stands(file)
        assert cursor.advance(file, num_there, crc)
    cursor = LogCursor()
    for num_there, crc in ((5, "00000000"), (0, "00000000"), (1, None), (len(here) + 1, line_crc(here[-1]))):
        assert not cursor.advance(file, num_there, crc)
        assert cursor == LogCursor()


def test_groups() -> None:
    """Groups hold whole lines, and end with the one that reaches a limit."""
    here = lines(20)
    file, cursor = io.BytesIO(b"".join(here) + b'{"torn'), LogCursor()
    taken: list[bytes] = []
    while group := cursor.group(file, max_bytes=500, max_events=3):
        assert len(group) <= 3
        assert len(b"".join(group[:-1])) < 500
        taken += group
        cursor.take(group)
    assert taken == here
    cursor.take([])
    assert (cursor.num_events, cursor.last_line) == (20, here[-1])


def test_a_log_that_was_changed() -> None:
    """A log whose lines before the place are others now is known for it, also where it is as long as before."""
    here = lines(20)
    file, cursor = io.BytesIO(b"".join(here)), LogCursor()
    cursor.take(here[:10])
    assert cursor.stands(file)
    assert LogCursor().stands(io.BytesIO())
    for others in (here[:9], lines(20), [*here[:9], *here[10:]]):
        assert not cursor.stands(io.BytesIO(b"".join(others)))


def test_backoff() -> None:
    """Pauses double up to a limit, none is the same for everybody, and a success begins anew."""
    backoff = Backoff(0.1, 1.0)
    pauses = [backoff.next_s() for _ in range(8)]
    for pause_s, longest_s in zip(pauses, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0], strict=True):
        assert longest_s / 2 <= pause_s <= longest_s
    backoff.reset()
    assert backoff.next_s() <= 0.1
    assert len({Backoff(1.0, 1.0).next_s() for _ in range(10)}) > 1
