"""Logs that others write, logs that are cut off, and what it costs to follow a long one."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mlgym.errors import LogInUseError
from mlgym.events import EventLog
from mlgym.events.codec import check_body
from mlgym.events.log import CheckedBody
from mlgym.server.follow import LogFollower
from mlgym.server.ingest import Ingest
from mlgym.server.live import Delivery, Feed, Live, Resync
from mlgym.server.store import HubStore
from tests.events.samples import lines
from tests.server.service import Service
from tests.server.test_sockets import WEBSOCKET
from tests.server.wire import RUN, Wire, event
from tests.waiting import wait_for


def body(seq: int, producer: str = "p") -> bytes:
    return json.dumps(event(seq, producer), separators=(",", ":")).encode()


def checked(*seqs: int) -> list[CheckedBody]:
    return [(body(seq), check_body(body(seq))) for seq in seqs]


def filled(storage: Path, num_events: int) -> Path:
    """Gives the log of a run with so many events."""
    path = storage / RUN / "event_storage.log"
    path.parent.mkdir(parents=True)
    with EventLog.open(path, fsync=False) as log:
        log.append([body(seq, "before") for seq in range(num_events)])
    return path


class Hub:
    """Store, ingest and live of a service, in this process."""

    def __init__(self, storage: Path) -> None:
        self.store = HubStore(storage)
        self.ingest = Ingest(self.store, in_use_s=0.2)
        self.live = Live(self.store)


@asynccontextmanager
async def running(storage: Path) -> AsyncIterator[Hub]:
    hub = Hub(storage)
    task = asyncio.create_task(hub.live.run())
    try:
        yield hub
    finally:
        await hub.ingest.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        hub.store.logs.close_idle(0.0)


async def taken(feed: Feed, num_events: int) -> list[int]:
    """Takes events from a feed and gives their numbers."""
    numbers: list[int] = []
    while len(numbers) < num_events:
        found = await asyncio.wait_for(feed.next(), 120)
        assert isinstance(found, Delivery), found
        numbers += range(found.start, found.start + len(found.lines))
    return numbers


def bytes_read() -> int:
    """All that this process has read from files so far."""
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["rchar"])


async def cost(hub: Hub, first: int) -> int:
    """Gives how many bytes are read while 200 events come one by one and are delivered one by one."""
    feed = hub.live.feed()
    await hub.ingest.add(RUN, checked(first))
    await feed.join(RUN, first + 1)
    before = bytes_read()
    for seq in range(first + 1, first + 201):
        await hub.ingest.add(RUN, checked(seq))
        assert await taken(feed, 1) == [seq]
    cost = bytes_read() - before
    feed.stop()
    return cost


def test_cost_of_a_long_log(tmp_path: Path) -> None:
    """An event of a log of 20,000 lines costs no more reading than one of an empty log, also where it is re-opened."""
    filled(tmp_path / "long", 20_000)

    async def measure(storage: Path, first: int) -> list[int]:
        async with running(storage) as hub:
            costs = [await cost(hub, first)]
            for start in (first + 201, first + 403):
                hub.store.logs.close_idle(0.0)
                before = bytes_read()
                await hub.ingest.add(RUN, checked(start))
                costs.append(bytes_read() - before)
                costs.append(await cost(hub, start + 1))
            return costs

    short = asyncio.run(measure(tmp_path / "short", 0))
    long = asyncio.run(measure(tmp_path / "long", 20_000))
    size = (tmp_path / "long" / RUN / "event_storage.log").stat().st_size
    assert size > 2**21
    for cost_of_short, cost_of_long in zip(short, long, strict=True):
        assert cost_of_long < cost_of_short + size / 20


def test_offsets(tmp_path: Path) -> None:
    """Lines are found by their number from anywhere, also those of a log that another process goes on with."""
    path, content = tmp_path / "event_storage.log", lines(2000)
    path.write_bytes(b"".join(content[:1000]))
    follower = LogFollower(path)
    assert follower.look()
    path.write_bytes(b"".join(content) + content[0][:50])
    assert follower.look()
    assert not follower.look()
    for start in (0, 1, 255, 256, 257, 999, 1000, 1999, 2000, 5000):
        assert follower.offset(start) == len(b"".join(content[:start]))
        assert follower.lines(start, 2**30) == content[start:]
        assert follower.lines(start, 1) == content[start : start + 1]


def test_recent_lines_are_bounded(tmp_path: Path) -> None:
    """The lines that are kept in memory are the last ones, and few."""
    path, content = tmp_path / "event_storage.log", lines(20_000)
    follower = LogFollower(path)
    follower.keep_recent(wanted=True)
    for start in range(0, 20_000, 3000):
        with path.open("ab") as file:
            file.writelines(content[start : start + 3000])
        follower.look()
        kept = follower.view.recent
        assert list(kept) == content[: start + 3000][-len(kept) :]
        assert len(kept) > 100
        assert sum(map(len, kept)) <= 2**20
    follower.keep_recent(wanted=False)
    assert not follower.view.recent


def test_unconfirmed_lines_are_not_shown(tmp_path: Path) -> None:
    """What this process has written and not confirmed yet is nobody's business."""
    path, content = tmp_path / "event_storage.log", lines(10)
    path.write_bytes(b"".join(content))
    follower = LogFollower(path)
    follower.look(lambda: len(b"".join(content[:4])))
    assert follower.view.num_events == 4
    follower.look()
    assert follower.view.num_events == 10


@pytest.mark.parametrize("ending", ["shorter", "other", "gone"])
def test_a_log_loses_its_end(tmp_path: Path, ending: str) -> None:
    """Who follows a log that becomes shorter, another one, or none is told to begin anew."""
    path = filled(tmp_path, 100)

    async def follow() -> None:
        async with running(tmp_path) as hub:
            feed = hub.live.feed()
            await feed.join(RUN, 0)
            assert await taken(feed, 100) == list(range(100))
            if ending == "shorter":
                os.truncate(path, path.stat().st_size - 10)
            elif ending == "other":
                path.write_bytes(b"".join(lines(200)))
            else:
                path.unlink()
            assert await asyncio.wait_for(feed.next(), 120) == Resync(RUN, 0)
            assert await feed.join(RUN, 0) == {"shorter": 99, "other": 200, "gone": 0}[ending]
            if ending != "gone":
                assert len(await taken(feed, 99)) >= 99

    asyncio.run(follow())


def test_group_commit(tmp_path: Path) -> None:
    """What comes while the disk is busy is written with one wait for it, in order; nobody waits for another run."""

    async def ingest() -> None:
        async with running(tmp_path) as hub:
            adding = [asyncio.ensure_future(hub.ingest.add(RUN, checked(seq))) for seq in range(1000)]
            ids = await asyncio.gather(*adding)
            assert ids == [[seq] for seq in range(1000)]
            assert hub.ingest.num_commits < 20

    asyncio.run(ingest())
    logged = (tmp_path / RUN / "event_storage.log").read_bytes().splitlines()
    assert [json.loads(line)["seq"] for line in logged] == list(range(1000))


def test_a_refused_group_takes_no_other_with_it(tmp_path: Path) -> None:
    """A group for a place that the log has left behind is refused; those around it are stored."""

    async def ingest() -> tuple[Any, ...]:
        async with running(tmp_path) as hub:
            return await asyncio.gather(
                hub.ingest.add(RUN, checked(0)),
                hub.ingest.add(RUN, checked(1), at=0),
                hub.ingest.add(RUN, checked(2), at=1),
                hub.ingest.add(RUN, checked(3)),
                return_exceptions=True,
            )

    first, refused, placed, last = asyncio.run(ingest())
    assert (first, placed, last) == ([0], [1], [2])
    assert refused.code == "offset_mismatch"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("following") / "storage", program=WEBSOCKET) as running:
        yield running


def test_another_process_writes(hub: Service) -> None:
    """While a driver writes the log in the same storage, its events are shown and acknowledged, and none is written."""
    path = filled(hub.storage, 10)
    with Wire(hub.url) as wire, Wire(hub.url) as board:
        board.call("join", {"rooms": [RUN], "protocol": 2})
        with EventLog.open(path) as log:
            log.append([body(seq) for seq in range(5)])
            board.until(lambda: len(board.events()) == 15)
            size = path.stat().st_size
            assert wire.call("mlgym_events", [event(seq) for seq in range(5)]) == {"event_ids": [None] * 5}
            refused = wire.call("mlgym_event", event(5))
            assert refused["error"]["code"] == "in_use"
            assert path.stat().st_size == size
            waiting = wire.send("mlgym_event", event(5), answer=True)
            time.sleep(0.1)
            log.append([body(5)])
            assert answered(wire, waiting, 5) == {"event_id": None}
            waiting = wire.send("mlgym_event", event(6), answer=True)
            time.sleep(0.1)
        assert answered(wire, waiting, 6) == {"event_id": 16}
        assert wire.call("mlgym_event", event(7)) == {"event_id": 17}
        board.until(lambda: len(board.events()) == 18)
    assert [number for number, _ in board.events()] == list(range(18))
    expected = [("before", seq) for seq in range(10)] + [("p", seq) for seq in range(8)]
    assert [(one["producer"], one["seq"]) for _, one in board.events()] == expected


def answered(wire: Wire, waiting: int, seq: int) -> object:
    """Gives the answer to an event; as any client, it sends it again where the hub waited for its log in vain.

    The hub does so for a second, in which this process may not have come to let go.
    """
    answer = wire.answer(waiting)
    return wire.call("mlgym_event", event(seq)) if "error" in answer else answer


def opened(path: Path) -> EventLog:
    """Opens a log as soon as it is let go of."""
    found: list[EventLog] = []

    def is_free() -> bool:
        with suppress(LogInUseError):
            found.append(EventLog.open(path))
        return bool(found)

    wait_for(is_free)
    return found[0]


def test_a_driver_may_take_over(hub: Service) -> None:
    """The hub lets go of a log that gets no events, soon enough for a driver that wants to go on with the run."""
    with Wire(hub.url) as wire:
        for seq in range(3):
            wire.call("mlgym_event", event(seq, run="taken_over"))
            with opened(hub.storage / "taken_over" / "event_storage.log") as log:
                assert log.num_events == seq + 1


@pytest.mark.slow
def test_writers_take_turns(hub: Service) -> None:
    """Two services of one storage folder may get events of one run at a time; none is lost and none is doubled."""
    with Service(hub.storage, program=WEBSOCKET) as second:
        stored: dict[str, list[int]] = {"a": [], "b": []}

        def produce(name: str, url: str) -> None:
            with Wire(url) as wire:
                for seq in range(60):
                    while "error" in (answer := wire.call("mlgym_event", event(seq, name, "turns"))):
                        assert answer["error"]["code"] == "in_use"
                    stored[name].append(seq)
                    # Without a pause nobody lets go.
                    time.sleep(0.25 if seq % 20 == 19 else 0.0)

        threads = [threading.Thread(target=produce, args=one) for one in (("a", hub.url), ("b", second.url))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [json.loads(line) for line in (hub.storage / "turns" / "event_storage.log").read_bytes().splitlines()]
    for name in stored:
        assert [one["seq"] for one in found if one["producer"] == name] == list(range(60)) == stored[name]


def test_a_client_that_goes_while_it_joins(tmp_path: Path) -> None:
    """Nobody goes on following for a client that has gone before its first look at a log was done."""
    filled(tmp_path, 5000)

    async def follow() -> None:
        async with running(tmp_path) as hub:
            feed, other = hub.live.feed(), hub.live.feed()
            joining = asyncio.ensure_future(feed.join(RUN, 0))
            await asyncio.sleep(0)
            feed.close()
            await joining
            assert not hub.live.followed
            await other.join(RUN, 0)
            assert len(hub.live.followed) == 1
            other.close()
            assert not hub.live.followed

    asyncio.run(follow())
