"""Which runs have changed: each is named once for what it was, whoever did it, and asking for it costs what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlgym.events import EventLog
from mlgym.server.run_changes import _MAX_NAMED, RunChanges, StorageWatch
from mlgym.server.senders import announce
from mlgym.tracking.portable import body_of
from tests.events.samples import lines
from tests.server.api.asking import API, got
from tests.server.projection.logs import Recorder
from tests.server.service import ALL, Service
from tests.server.wire import Wire
from tests.work import num_calls

NUM_RUNS = 60


def log_of(storage: Path, run_id: str) -> Path:
    path = storage / run_id / "event_storage.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


class Clock:
    now = 2e9  # later than any file is

    def __call__(self) -> float:
        return self.now


def test_each_change_is_named_once(tmp_path: Path) -> None:
    """Runs that come, end, are announced or go are named at once; those that only grow every few seconds, all of it."""
    clock = Clock()
    watch = StorageWatch(tmp_path, clock)
    watch.look()
    with EventLog.open(log_of(tmp_path, "held")) as log:
        log_of(tmp_path, "still").touch()
        assert watch.look() == {"held", "still"}
        assert watch.look() == set()
        log.append([body_of(lines(1)[0])])
        assert watch.look() == set()
        clock.now += 5
        assert watch.look() == {"held"}
        assert watch.look() == set()
    assert watch.look() == {"held"}
    announce(tmp_path / "still", 60)
    assert watch.look() == set()  # of a run that stands still it is not asked
    log_of(tmp_path, "still").write_bytes(lines(1)[0])
    clock.now += 5
    assert watch.look() == {"still"}
    log_of(tmp_path, "held").rename(tmp_path / "gone")
    assert watch.look() == {"held"}
    (tmp_path / ".notes.log").write_bytes(b"x")
    assert watch.look() is None
    assert watch.look() == set()


def test_a_client_that_takes_nothing_is_told_all_at_once(tmp_path: Path) -> None:
    """What it was not told is merged, and too many names become word to ask for the list; others are told meanwhile."""

    async def act() -> list[list[Any]]:
        changes = RunChanges(tmp_path)
        taken: list[list[Any]] = [[], []]
        is_slow = True

        async def take(told: list[str] | None) -> bool:
            if not is_slow:
                taken[0].append(told)
            return not is_slow

        async def take_at_once(told: list[str] | None) -> bool:
            taken[1].append(told)
            return True

        await changes.follow("slow", take)
        await changes.follow("quick", take_at_once)
        for changed in ({"a"}, {"b"}, set[str]()):
            await changes._tell(changed)
        is_slow = False
        for changed in (set[str](), {"c"}, {str(number) for number in range(_MAX_NAMED + 1)}, set[str]()):
            await changes._tell(changed)
        return taken

    slow, quick = asyncio.run(act())
    assert slow == [["a", "b"], ["c"], None]
    assert quick == [["a"], ["b"], ["c"], None]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("hub") / "storage", program=ALL) as running:
        for number in range(NUM_RUNS):
            Recorder(log_of(running.storage, f"run-{number}"), f"run-{number}").start(1)
        yield running


def test_a_change_costs_one_message_and_one_row(hub: Service) -> None:
    """Who follows the list is told which run changed, and gets it alone: a fraction of what the list costs."""
    with Wire(hub.url) as wire, httpx.Client(base_url=hub.url, trust_env=False, timeout=60) as http:
        assert wire.call("follow_runs", {}) == {"follows": True}
        whole = http.get(API, params={"limit": 1000})
        with EventLog.open(log_of(hub.storage, "run-7")) as log:
            log.append([body_of(lines(1)[0])])
        wire.until(lambda: len(wire.messages("runs_changed")) > 0)
        assert wire.messages("runs_changed") == [{"run_ids": ["run-7"]}]
        one = http.get(API, params={"limit": 1000, "run": ["run-7", "missing", "../run-7"]})
        assert [run["run_id"] for run in one.json()["runs"]] == ["run-7"]
        assert len(one.content) * NUM_RUNS / 2 < len(whole.content)
        assert got(http, "", run="run-7", status=["finished"])["total"] == 0
        assert got(http, "", run="run-7", sort="f1")["total"] == 1
        assert wire.call("follow_runs", {"follows": False}) == {"follows": False}
        assert wire.call("follow_runs", {"follows": 1})["error"]["code"] == "invalid"


def test_a_look_does_not_read(tmp_path: Path) -> None:
    """It takes as many calls for long logs as for short ones."""
    costs = []
    for num_events in (1, 500):
        storage = tmp_path / str(num_events)
        for number in range(5):
            log_of(storage, f"run-{number}").write_bytes(b"".join(lines(num_events)))
        watch = StorageWatch(storage, Clock())
        watch.look()
        costs.append(num_calls(watch.look)[1])
    assert costs[0] == costs[1]
