"""The websocket service: what clients of MLgym 0.0.75 say and hear, acknowledgements, histories without a gap."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import socketio
from websockets.exceptions import ConnectionClosed

from mlgym.server.sockets import OLD_ROOMS
from tests.server.service import Service
from tests.server.wire import Wire, event, events

WEBSOCKET = ("mlgym.server.websocket_service", "--event_storage_path")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("sockets") / "storage", program=WEBSOCKET) as running:
        yield running


@pytest.fixture
def run(request: pytest.FixtureRequest) -> str:
    """A run for this test alone."""
    return str(request.node.name).partition("[")[0]


def logged(hub: Service, run: str) -> list[dict[str, Any]]:
    """The events in a log, read without the code under test."""
    lines = (hub.storage / run / "event_storage.log").read_bytes().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "crc"} for line in lines]


class OldClient:
    """The client of MLgym 0.0.75: polling first, then a websocket; it waits for nothing that it sends."""

    def __init__(self, url: str, rooms: list[str], client_id: str | None, transports: list[str] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.pongs = 0
        self.client = socketio.Client()
        self.client.on("mlgym_event", self.events.append)
        self.client.on("server_log_message", self.said.append)
        self.client.on("pong", self._pong)
        self.client.connect(url, wait=True, wait_timeout=60, transports=transports)
        self.client.emit("join", {"rooms": rooms} if client_id is None else {"client_id": client_id, "rooms": rooms})

    def _pong(self) -> None:
        self.pongs += 1

    def until(self, is_enough: Any) -> None:
        give_up_at = time.monotonic() + 120
        while not is_enough():
            assert time.monotonic() < give_up_at, (self.events, self.said)
            time.sleep(0.01)


@pytest.mark.parametrize("transports", [None, ["polling"]], ids=["websocket", "polling"])
def test_old_clients(hub: Service, run: str, transports: list[str] | None) -> None:
    """A publisher and a board of 0.0.75: history in one form, live events in the other, four types, ping, leave."""
    run = f"{run}-{'polling' if transports else 'websocket'}"
    publisher = OldClient(
        hub.url, ["mlgym_event_publishers", "mlgym_streamed_logger"], "mlgym_streamed_logger", transports
    )
    publisher.until(lambda: publisher.said)
    assert publisher.said[0].startswith("Client mlgym_streamed_logger joined rooms: ")
    assert not {path.name for path in hub.storage.glob("*")} & OLD_ROOMS
    kinds = ["experiment_config", "job_status", "experiment_status", "evaluation_result", "log", "unheard_of"]
    for number, kind in enumerate(kinds):
        publisher.client.emit("mlgym_event", event(number, None, run, kind))
    score = {"metric": "F1", "split": "val", "score": float("nan")}
    publisher.client.emit("mlgym_event", event(6, None, run, "evaluation_result", metric_scores=[score]))
    with Wire(hub.url) as wire:
        while wire.call("mlgym_head", {"run_id": run})["num_events"] < 7:
            time.sleep(0.01)
    board = OldClient(hub.url, [run], None, transports)
    board.until(lambda: board.events)
    (history,) = board.events
    assert set(history) == {"event_id", "data"}
    assert history["event_id"] == "batched_events"
    assert [(one["event_id"], one["data"]["event_type"]) for one in history["data"]] == [
        *enumerate(kinds[:4]),
        (6, "evaluation_result"),
    ]
    assert history["data"][4]["data"]["payload"]["metric_scores"] == [{**score, "score": None, "non_finite": "nan"}]
    publisher.client.emit("mlgym_event", event(7, None, run, "log"))
    publisher.client.emit("mlgym_event", event(8, None, run, "job_status"))
    board.until(lambda: len(board.events) == 2)
    assert board.events[1] == {"event_id": 8, "data": event(8, None, run, "job_status")}
    board.client.emit("ping")
    board.until(lambda: board.pongs)
    board.client.emit("leave")
    board.until(lambda: not board.client.connected)
    assert [one["event_type"] for one in logged(hub, run)] == [*kinds, "evaluation_result", "log", "job_status"]
    publisher.client.disconnect()


def test_answers(hub: Service, run: str) -> None:
    """An ack has the numbers of the lines in the log; what is stored already is not stored again."""
    with Wire(hub.url) as wire:
        assert wire.call("mlgym_event", event(0, run=run)) == {"event_id": 0}
        assert wire.call("mlgym_event", event(0, run=run)) == {"event_id": None}
        assert wire.call("mlgym_events", events(range(4), run=run)) == {"event_ids": [None, 1, 2, 3]}
        mixed = [event(4, run=run), event(0, run=f"{run}-other"), event(5, run=run)]
        assert wire.call("mlgym_events", mixed) == {"event_ids": [4, 0, 5]}
        assert wire.call("mlgym_events", []) == {"event_ids": []}
        head = wire.call("mlgym_head", {"run_id": run})
        assert (head["num_events"], head["run_id"]) == (6, run)
        assert wire.call("mlgym_head", {"run_id": "unknown"})["num_events"] == 0
    assert logged(hub, run) == events(range(6), run=run)
    assert not (hub.storage / "unknown").exists()


def test_order(hub: Service, run: str) -> None:
    """Messages sent without waiting are stored in their order and answered each."""
    with Wire(hub.url) as wire:
        numbers = [wire.send("mlgym_event", event(seq, run=run), answer=True) for seq in range(500)]
        assert [wire.answer(number)["event_id"] for number in numbers] == list(range(500))
    assert logged(hub, run) == events(range(500), run=run)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ([1], "invalid_event"),
        ("text", "invalid_event"),
        ({"event_type": "x"}, "invalid_event"),
        ({"event_type": "x", "payload": {}}, "invalid_event"),
        ({"event_type": "x", "payload": {"grid_search_id": 1}}, "invalid_event"),
        ({"event_type": "x", "payload": {"grid_search_id": "../x"}}, "invalid_name"),
        ({"event_type": "x", "payload": {"grid_search_id": "event_storage.log"}}, "invalid_name"),
        ({"event_type": "x", "payload": {"grid_search_id": "x"}, "seq": -1, "producer": "p"}, "invalid_event"),
        ({"event_type": "x", "payload": {"grid_search_id": "x"}, "crc": "00000000"}, "invalid_event"),
    ],
    ids=range(9),
)
def test_refused_events(hub: Service, bad: object, code: str) -> None:
    """What is no event is refused in the one form of errors, alone and in a batch of which nothing is stored then."""
    run = "refused"
    before = sorted(path.name for path in hub.storage.glob("*"))
    with Wire(hub.url) as wire:
        for answer in (wire.call("mlgym_event", bad), wire.call("mlgym_events", [event(0, run=run), bad])):
            assert set(answer) == {"error"}
            assert set(answer["error"]) == {"code", "message", "path"}
            assert answer["error"]["code"] == code
        assert wire.messages("server_log_message")[0].startswith("refused: ")
    assert sorted(path.name for path in hub.storage.glob("*")) == before


def test_refused_messages(hub: Service) -> None:
    """Messages that nobody knows, of the wrong shape, too many events or rooms: each an `error`, and life goes on."""
    messages: list[tuple[str, list[object]]] = [
        ("join", [{"rooms": "x"}]),
        ("join", [{"rooms": ["../x"]}]),
        ("join", [{"rooms": ["x"], "from_event_id": {"x": -1}}]),
        ("join", [{"rooms": ["x"], "from_event_id": {"x": True}}]),
        ("join", [{"rooms": [f"r{number}" for number in range(65)]}]),
        ("join", []),
        ("join", [{}, {}]),
        ("mlgym_events", [[event(0)] * 10_001]),
        ("mlgym_events", [{}]),
        ("mlgym_head", [{"run_id": ".."}]),
        ("unheard_of", [1]),
    ]
    with Wire(hub.url) as wire:
        for name, arguments in messages:
            assert set(wire.call(name, *arguments)["error"]) == {"code", "message", "path"}, name
        assert wire.call("join", {"rooms": []}) == {"num_events": {}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "9",
        "4",
        "4x",
        "42",
        "42{}",
        "42[]",
        "42[1]",
        '42["connect"]',
        '42["disconnect"]',
        "44{}",
        '451-["mlgym_event",{"_placeholder":true,"num":0}]',
        f"42{'[' * 100_000}",
        f'42["mlgym_event",{"[" * 100_000}{"]" * 100_000}]',
        f'42{"9" * 400}["ping"]',
        "40/admin,",
        "41/admin,",
        '43999["x"]',
        b"\x00\xff",
        f'4{{"a":{"[" * 100_000}',
    ],
    ids=range(21),
)
def test_malformed(hub: Service, text: str | bytes) -> None:
    """What is no packet costs its sender the connection at most; the service says nothing and serves the next one."""
    with Wire(hub.url) as wire:
        wire.socket.send(text)
        with suppress(ConnectionClosed):  # it may have cost the connection already
            wire.socket.send("42" + json.dumps(["ping"]))
    with Wire(hub.url) as wire:
        assert wire.call("mlgym_head", {"run_id": "x"})["num_events"] == 0


def test_no_gap_and_no_repeat(hub: Service, run: str) -> None:
    """While four producers write, subscribers that join at any moment and come back again end with the exact log."""
    num_producers, num_each = 4, 3000
    total = num_producers * num_each

    def produce(name: str) -> None:
        rng = random.Random(name)
        with Wire(hub.url) as wire:
            start = 0
            while start < num_each:
                end = min(num_each, start + rng.randint(1, 60))
                ids = wire.call("mlgym_events", events(range(start, end), name, run))["event_ids"]
                assert ids == sorted(ids)
                start = end

    found: dict[int, list[tuple[int, dict[str, Any]]]] = {}

    def subscribe(number: int) -> None:
        rng = random.Random(number)
        got: list[tuple[int, dict[str, Any]]] = []
        while len(got) < total:
            with Wire(hub.url) as wire:
                wire.call("join", {"rooms": [run], "from_event_id": {run: len(got)}, "protocol": 2})
                wanted = min(total - len(got), rng.randint(1, 4000))
                wire.until_events(wanted)
                got += wire.events()
        found[number] = got

    threads = [threading.Thread(target=produce, args=(f"p{number}",)) for number in range(num_producers)]
    threads += [threading.Thread(target=subscribe, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = list(enumerate(logged(hub, run)))
    assert len(log) == total
    for number in range(3):
        assert found[number] == log
    for producer in range(num_producers):
        of_one = [one["seq"] for _, one in log if one["producer"] == f"p{producer}"]
        assert of_one == list(range(num_each))


def test_several_rooms(hub: Service, run: str, tmp_path: Path) -> None:
    """One client follows several runs, some of which come to be later; joining makes nothing on the disk."""
    rooms = [f"{run}-{number}" for number in range(3)]
    with Wire(hub.url) as wire, Wire(hub.url) as other:
        other.call("mlgym_events", events(range(20), run=rooms[0]))
        answer = wire.call("join", {"rooms": rooms, "protocol": 2, "from_event_id": {rooms[0]: 15}})
        assert answer == {"num_events": {rooms[0]: 20, rooms[1]: 0, rooms[2]: 0}}
        assert not (hub.storage / rooms[1]).exists()
        for room in rooms[1:]:
            other.call("mlgym_events", events(range(5), run=room))
        wire.until(lambda: len(wire.events()) == 15)
        for room, first in zip(rooms, (15, 0, 0), strict=True):
            got = [number for number, one in wire.events() if one["payload"]["grid_search_id"] == room]
            assert got == list(range(first, first + 5))


def test_from_beyond_the_end(hub: Service, run: str) -> None:
    """Who has more events than the log is told to begin anew: they came from another one."""
    with Wire(hub.url) as wire:
        wire.call("mlgym_events", events(range(5), run=run))
        wire.call("join", {"rooms": [run], "protocol": 2, "from_event_id": {run: 6}})
        wire.until(lambda: bool(wire.messages("resync")))
        assert wire.messages("resync") == [{"run_id": run, "from_event_id": 0}]
        wire.call("join", {"rooms": [run], "protocol": 2, "from_event_id": {run: 5}})
        wire.call("mlgym_event", event(5, run=run))
        wire.until(lambda: bool(wire.events()))
        assert [number for number, _ in wire.events()] == [5]


def test_old_log(hub: Service, run: str) -> None:
    """A log that MLgym 0.0.75 wrote, `NaN` in it, is replayed as JSON and goes on."""
    folder = hub.storage / run
    folder.mkdir()
    score = {"metric": "F1", "split": "val", "score": float("nan")}
    line = {
        "event_type": "evaluation_result",
        "creation_ts": 1,
        "payload": {"grid_search_id": run, "metric_scores": [score]},
    }
    (folder / "event_storage.log").write_text(json.dumps(line) + "\n")
    with Wire(hub.url) as wire:
        assert wire.call("mlgym_event", event(0, run=run)) == {"event_id": 1}
        wire.call("join", {"rooms": [run]})
        wire.until(lambda: bool(wire.events()))
        number, old = wire.events()[0]
        assert (number, old["payload"]["metric_scores"]) == (0, [{**score, "score": None, "non_finite": "nan"}])


def test_jsonp_and_long_bodies(hub: Service) -> None:
    """Answers that any page may read are not given; bodies without a length, or of no packets, are refused."""
    import httpx

    url = f"{hub.url}/socket.io/?EIO=4&transport=polling"
    with httpx.Client(trust_env=False, timeout=60) as http:
        assert http.get(url + "&j=0").status_code == 400
        sid = json.loads(http.get(url).text[1:])["sid"]
        assert http.post(f"{url}&sid={sid}", content="40").text == "OK"
        for body in ("", "x", "4x", "\x1e", b"\xff"):
            assert http.post(f"{url}&sid={sid}", content=body).status_code == 400, body
        assert http.post(f"{url}&sid={sid}", content=iter([b"40"])).status_code == 411
        assert http.get(f"{url}&sid={sid}").text.startswith("40")
