"""Events in bulk: bytes of the file from any event on, ranges, `ETag`, and what is stored of a body that is cut off."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from mlgym.server.event_routes import event_routes
from mlgym.server.follow import LogFollower
from mlgym.server.store import HubStore
from tests.events.samples import RUN_ID, lines
from tests.server.service import Service
from tests.waiting import wait_for

URL = f"/api/v1/runs/{RUN_ID}/events"
SENT = [line for index, line in enumerate(lines(600)) if index % 10 != 9]
CONTENT = b"".join(SENT)


@pytest.fixture(scope="module", autouse=True)
def run(http: httpx.Client) -> None:
    assert http.post(URL, content=CONTENT).json()["num_stored"] == len(SENT)


@pytest.mark.parametrize("start", [0, 1, 255, 256, 539, 540, 10**15])
def test_from(http: httpx.Client, start: int) -> None:
    """Lines go out byte for byte as they stand, from any event on, with their length."""
    answer = http.get(URL, params={"from": start})
    assert answer.content == b"".join(SENT[start:])
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["Content-Type"] == "application/x-ndjson"


def test_a_log_that_grows_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies beyond the end that was seen is nothing, not less than nothing, where that has moved since."""
    store = HubStore(tmp_path)
    path = store.make_run(RUN_ID).log_path
    path.write_bytes(b"".join(SENT[:5]))
    head = LogFollower.head

    def head_of_a_moment_ago(follower: LogFollower) -> tuple[int, int, bytes | None]:
        found = head(follower)
        path.write_bytes(CONTENT)
        follower.look()
        return found

    monkeypatch.setattr(LogFollower, "head", head_of_a_moment_ago)
    (get_events,) = [
        route.endpoint
        for route in event_routes(store).routes
        if isinstance(route, APIRoute) and route.name == "get_events"
    ]
    answer = get_events(RUN_ID, 100, None, None, None)
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, "0")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-0", CONTENT[:1]),
        ("bytes=10-19", CONTENT[10:20]),
        ("bytes=100-", CONTENT[100:]),
        ("bytes=-7", CONTENT[-7:]),
        (f"bytes=5-{10**17}", CONTENT[5:]),
        (f"bytes=-{10**17}", CONTENT),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ranges(http: httpx.Client, asked: str, expected: bytes) -> None:
    """A part is asked for as of any file."""
    answer = http.get(URL, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == expected
    first = (
        CONTENT.index(expected) if len(expected) > 20 else int(answer.headers["Content-Range"].split()[1].split("-")[0])
    )
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(CONTENT)}"


def test_range_from_an_event_on(http: httpx.Client) -> None:
    """A range counts from the event that was asked for."""
    rest = b"".join(SENT[300:])
    answer = http.get(URL, params={"from": 300}, headers={"Range": "bytes=3-5"})
    assert (answer.content, answer.headers["Content-Range"]) == (rest[3:6], f"bytes 3-5/{len(rest)}")


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=0-1", "bytes=5-2", "bytes=x-", "bytes=-"])
def test_ranges_that_are_not_served(http: httpx.Client, asked: str) -> None:
    """What is no single range is answered with all of it, as HTTP allows."""
    answer = http.get(URL, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_range_beyond_the_end(http: httpx.Client) -> None:
    """A range that begins after the end is refused with the length."""
    for asked in (f"bytes={len(CONTENT)}-", "bytes=-0"):
        answer = http.get(URL, headers={"Range": asked})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")
        assert set(answer.json()["error"]) == {"code", "message", "path"}


def test_etag(http: httpx.Client) -> None:
    """Who has the latest is told so; each event and each place to begin from makes another one."""
    url = "/api/v1/runs/etag/events"
    tags = set()
    for number in range(3):
        body = json.dumps({"event_type": "x", "payload": {"n": number}, "producer": "p", "seq": number})
        http.post(url, content=body)
        for start in (0, 1):
            answer = http.get(url, params={"from": start})
            tags.add(answer.headers["ETag"])
            headers = {"If-None-Match": f'"other", {answer.headers["ETag"]}'}
            again = http.get(url, params={"from": start}, headers=headers)
            assert (again.status_code, again.content) == (304, b"")
    assert len(tags) == 6
    stale = http.get(url, headers={"Range": "bytes=0-0", "If-Range": '"stale"'})
    assert stale.status_code == 200
    fresh = http.get(url, headers={"Range": "bytes=0-0", "If-Range": http.get(url).headers["ETag"]})
    assert fresh.status_code == 206


def test_a_body_that_is_cut_off(service: Service, http: httpx.Client) -> None:
    """What came whole before the sender vanished may be stored; sent again, everything is there once, in order."""
    url = "/api/v1/runs/cut_off/events"
    body = b"".join(
        json.dumps({"event_type": "x", "payload": {"text": "x" * 200}, "producer": "p", "seq": seq}).encode() + b"\n"
        for seq in range(20_000)
    )
    head = f"POST {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    log = service.storage / "cut_off" / "event_storage.log"
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(head + body[: len(body) * 2 // 3])
        wait_for(lambda: log.exists() and log.stat().st_size > 0)
    answer = http.post(url, content=body).json()
    assert answer["num_received"] == answer["num_events"] == 20_000
    assert 0 < answer["num_stored"] < 20_000
    logged = log.read_bytes().splitlines()
    assert [json.loads(line)["seq"] for line in logged] == list(range(20_000))


def test_places_in_several_groups(http: httpx.Client, tmp_path: Path) -> None:
    """A body of many groups, for one place of the log, is stored there; for another place not at all."""
    url = "/api/v1/runs/places_in_groups/events"
    line = json.dumps({"event_type": "x", "payload": {"text": "x" * 1000}}).encode() + b"\n"
    body = line * 4000
    assert http.post(url, content=body, params={"from": 1}).status_code == 409
    answer = http.post(url, content=body, params={"from": 0}).json()
    assert answer == {"num_received": 4000, "num_stored": 4000, "num_events": 4000}
    assert http.post(url, content=body, params={"from": 0}).status_code == 409
    assert http.post(url, content=body, params={"from": 4000}).json()["num_events"] == 8000
