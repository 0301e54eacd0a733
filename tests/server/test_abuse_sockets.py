"""The websocket service under attack: every message without a token, with every hostile name and event, and as noise.

Each answer is an `error` or none, the service reports no exception, no file appears, no log changes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mlgym.events import EventLog, Producer
from mlgym.server.sockets import SocketService
from mlgym.server.store import HubStore
from mlgym.server.tokens import FULL_ACCESS, Tokens
from mlgym.tracking import create_run_folder
from tests.events.samples import log_event
from tests.server.attacks import NAMES, TEXTS, VALUES, everything
from tests.server.hub_program import PROGRAM
from tests.server.raw_socket import RawSocket
from tests.server.service import ALL, Service

TOKENS = Tokens("a-secret-of-twenty-or-more")
FUZZ_S = float(os.environ.get("MLGYM_FUZZ_S", "2"))
"""How long noise is sent; longer by hand: `MLGYM_FUZZ_S=600 pytest tests/server/test_abuse_sockets.py -k noise`."""
FUZZ_SEED = int(os.environ.get("MLGYM_FUZZ_SEED", "1"))
EVENT: dict[str, Any] = {"event_type": "x", "creation_ts": 1, "payload": {"grid_search_id": "run"}}
ARGUMENTS: dict[str, list[object]] = {
    "join": [{"rooms": ["run"]}],
    "leave": [],
    "ping": [],
    "mlgym_event": [EVENT],
    "mlgym_events": [[EVENT]],
    "mlgym_head": [{"run_id": "run"}],
    "follow_runs": [{"follows": False}],
    "*": [],
}
"""For each message that there is, what is right; a message that is missing here fails the walk."""
WRITING = ("mlgym_event", "mlgym_events")
READING = ("join", "mlgym_head")
OF_ALL = ("follow_runs",)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from _service(tmp_path_factory, ())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The same, with tokens."""
    yield from _service(tmp_path_factory, ("--require-token",))


def _service(tmp_path_factory: pytest.TempPathFactory, options: tuple[str, ...]) -> Iterator[Service]:
    storage = tmp_path_factory.mktemp("hub") / "storage"
    for run_id in ("run", "other"):
        folder = create_run_folder(storage, run_id)
        with EventLog.open(folder.log_path) as log:
            log.append([Producer().event(msgspec.structs.replace(log_event(), grid_search_id=run_id))])
    with Service(storage, program=ALL, options=options, environment={"MLGYM_TOKEN": TOKENS.write}) as running:
        yield running
        code, said = running.stop(signal.SIGTERM)
        assert (code, "Traceback" in said, "Error" in said) == (0, False, False), said


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def refused(answer: Any) -> bool:
    return isinstance(answer, dict) and set(answer) == {"error"}


def test_every_message_is_in_the_walk() -> None:
    """What the service listens to is what the tests here try."""
    handlers = SocketService(
        HubStore(__import__("pathlib").Path("x")), authorize=lambda scope, auth: FULL_ACCESS
    )._handlers()
    assert set(handlers) - {"connect", "disconnect"} == set(ARGUMENTS)


@pytest.mark.parametrize("event", ARGUMENTS)
def test_no_message_without_a_token(guarded: Service, event: str) -> None:
    """Who was not let in gets no answer: without a token, with a wrong one, and without asking to be let in."""
    before = everything(guarded.storage)
    message = f"420{json.dumps([event, *ARGUMENTS[event]])}"
    for auth in (None, {}, {"token": ""}, {"token": "wrong"}, {"token": TOKENS.read[:-1]}, {"Token": TOKENS.write}):
        with RawSocket(guarded) as client:
            assert not client.connect(auth)
            client.say(message)
            assert client.is_silent()
    with RawSocket(guarded) as client:
        client.say(message)
        assert client.is_silent()
    assert everything(guarded.storage) == before
    with RawSocket(guarded) as client:  # the control
        assert client.connect({"token": TOKENS.write})
        client.say("420" + json.dumps(["mlgym_head", {"run_id": "run"}]))
        assert not client.is_silent(5)


def test_what_tokens_allow(guarded: Service) -> None:
    """The read token reads, the token of a run reads and writes it alone, by header as by message."""
    log = guarded.storage / "run" / "event_storage.log"
    before = log.read_bytes()
    for token, allowed in [
        (TOKENS.read, (*READING, *OF_ALL)),
        (TOKENS.of_run("other"), ()),
        (TOKENS.of_run("run"), (*READING, *WRITING)),
    ]:
        for headers, auth in ((bearer(token), None), ({}, {"token": token})):
            with RawSocket(guarded, headers) as client:
                assert client.connect(auth)
                for event in (*READING, *WRITING, *OF_ALL):
                    assert refused(client.call(event, *ARGUMENTS[event])) == (event not in allowed), (token, event)
        if token != TOKENS.of_run("run"):
            assert log.read_bytes() == before
    assert log.read_bytes() != before
    with RawSocket(guarded, bearer(TOKENS.of_run("run"))) as client:
        assert client.connect()
        forged = [EVENT, EVENT | {"payload": {"grid_search_id": "other"}}]
        unchanged = everything(guarded.storage)
        assert refused(client.call("mlgym_events", forged))
        assert everything(guarded.storage) == unchanged


def test_handshakes(guarded: Service, service: Service) -> None:
    """A wrong token, a foreign page or a foreign name is refused at the handshake, by polling and by websocket."""
    for hub, headers, status in [
        (guarded, bearer("wrong"), 401),
        (service, {"Origin": "http://evil.example"}, 403),
        (service, {"Origin": "null"}, 403),
        (service, {"Host": "evil.example"}, 403),
        (service, {"Host": f"127.0.0.1.evil.example:{service.port}"}, 403),
    ]:
        url = f"{hub.url}/socket.io/?EIO=4&transport=polling"
        for method in ("GET", "POST", "OPTIONS", "DELETE", "PUT"):
            assert httpx.request(method, url, headers=headers, trust_env=False, timeout=60).status_code == status
        if "Host" not in headers:  # a second one, beside the library's own
            with pytest.raises(InvalidStatus) as caught:
                RawSocket(hub, {k: v for k, v in headers.items() if k != "Origin"}, headers.get("Origin"))
            assert caught.value.response.status_code == status
    with RawSocket(service, origin=service.url) as client:  # the control: its own page
        assert client.connect()


def names() -> list[str]:
    return [*(unquote(name) for name in NAMES), *(text for text in TEXTS if text not in ("true", "null", "0x10")), ""]


def test_names(service: Service) -> None:
    """No name of a run is anything but an error, in any field of any message; nothing is made, nothing changes."""
    before = everything(service.storage.parent)
    with RawSocket(service) as client:
        assert client.connect()
        for name in names():
            if name.isascii() and name.isalnum() and len(name) < 129 and name != "latest":
                continue  # a name that a run may have
            for event, argument in [
                ("join", {"rooms": [name]}),
                ("join", {"rooms": ["run", name]}),
                ("mlgym_head", {"run_id": name}),
                ("mlgym_event", EVENT | {"payload": {"grid_search_id": name}}),
                ("mlgym_events", [EVENT, EVENT | {"payload": {"grid_search_id": name}}]),
            ]:
                assert refused(client.call(event, argument)), (event, name[:40])
        assert not refused(client.call("join", {"rooms": ["not-there-yet"]}))
    assert everything(service.storage.parent) == before


@pytest.mark.parametrize("event", [*READING, *WRITING])
def test_values(service: Service, event: str) -> None:
    """Whatever JSON, or none, stands in place of an argument or of one of its fields: the log stays as it was."""
    log = service.storage / "run" / "event_storage.log"
    before, others = log.read_bytes(), everything(service.storage / "other")
    num_taken = num_asked = 0
    argument = ARGUMENTS[event][0]
    event_fields = [("grid_search_id", json.dumps({**EVENT, "payload": {"grid_search_id": 0}}).rpartition("0"))]
    for value in (one.decode("latin-1") for one in VALUES):
        texts = [value, f"{value},{value}"]
        if isinstance(argument, dict):
            texts += [
                json.dumps({**argument, field: "@"}).replace('"@"', value)
                for field in (*argument, "event_type", "payload", "from_event_id", "protocol")
            ]
        if event == "mlgym_events":
            texts += [f"[{value}]", f"[{json.dumps(EVENT)},{value}]"]
        texts += [head + value + tail for _, (head, _, tail) in event_fields if event in WRITING]
        with RawSocket(service) as client:
            assert client.connect()
            for text in texts:
                answer = client.call_raw(f'["{event}",{text}]')
                num_taken += not refused(answer)
                num_asked += 1
    written = log.read_bytes()
    assert 0 < num_taken < num_asked  # `-1` is a fine time stamp
    assert written.startswith(before)
    if event in READING:
        assert written == before
    lines = written[len(before) :].splitlines()
    assert all(json.loads(line)["payload"]["grid_search_id"] == "run" for line in lines)
    assert everything(service.storage / "other") == others


def test_events(service: Service) -> None:
    """Events that are too long, too deep or damaged are refused; numbers beyond all bounds are stored as they are."""
    log = service.storage / "other" / "event_storage.log"
    before = log.read_bytes()
    payload = {"grid_search_id": "other"}
    with RawSocket(service) as client:
        assert client.connect()
        for text in [
            '{"event_type":"x","payload":{"grid_search_id":"other"},"crc":"00000000"}',
            '{"event_type":"x","payload":{"grid_search_id":"other"},"producer":"p","seq":-1}',
            '{"event_type":"x","payload":{"grid_search_id":"other","a":' + "[" * 5000 + "]" * 5000 + "}}",
            '{"payload":{"grid_search_id":"other"}}',
            '{"event_type":"x"}',
            '{"event_type":"x","payload":{"grid_search_id":"other"}',
        ]:
            assert refused(client.call_raw(f'["mlgym_event",{text}]')), text[:80]
        assert log.read_bytes() == before
        odd = {"event_type": "unheard_of", "payload": payload, "producer": "p", "seq": 2**63}
        assert "event_id" in client.call("mlgym_event", odd)
        assert client.call("mlgym_event", odd) == {"event_id": None}
        escapes = {"event_type": "log", "payload": payload | {"message": "\x1b]0;x\x07\x1b[2J\r\n\u202e"}}
        assert "event_id" in client.call("mlgym_event", escapes)
    assert log.read_bytes().count(b"\n") == before.count(b"\n") + 2
    assert not set(log.read_bytes()) & set(range(32)) - {10}  # `tail -f` shows no escape sequences
    with RawSocket(service) as client:
        assert client.connect()
        large = {"event_type": "x", "payload": payload | {"a": "x" * (17 * 2**20)}}
        assert refused(client.call("mlgym_event", large))
    assert log.read_bytes().count(b"\n") == before.count(b"\n") + 2


def test_too_many(service: Service) -> None:
    """Rooms and batches are bounded, and a client that was refused goes on as before."""
    with RawSocket(service) as client:
        assert client.connect()
        assert refused(client.call("join", {"rooms": [f"r{number}" for number in range(10_000)]}))
        answers = [client.call("join", {"rooms": [f"r{number}"]}) for number in range(200)]
        assert 0 < sum(map(refused, answers)) < 200
        assert refused(client.call("mlgym_events", [EVENT] * 10_001))
        assert not refused(client.call("mlgym_head", {"run_id": "run"}))


@pytest.mark.slow
def test_connections_flood(service: Service) -> None:
    """Several hundred sockets that connect, connect again, and go without a word leave the service as it was."""
    for _ in range(300):
        client = RawSocket(service)
        client.say("40")
        client.say("40")
        client.say("41")
        client.close()
    with RawSocket(service) as client:
        assert client.connect()
        assert not refused(client.call("mlgym_head", {"run_id": "run"}))


@pytest.mark.slow
def test_answers_that_nobody_takes(service: Service) -> None:
    """Who sends and takes no answer is not read any more; once it takes them, all are there, and it is read again."""
    url = f"{service.url}/socket.io/"
    with httpx.Client(trust_env=False, params={"EIO": "4", "transport": "polling"}, timeout=120) as client:
        params = {"sid": json.loads(client.get(url).text[1:])["sid"]}
        client.post(url, params=params, content="40")
        pings = b"\x1e".join([b'42["ping"]'] * 900)
        for _ in range(2):
            assert client.post(url, params=params, content=pings).status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            client.post(url, params=params, content=pings, timeout=0.5)
        num_pongs = 0
        while num_pongs < 1800:
            num_pongs += client.get(url, params=params).text.count("pong")
        assert client.post(url, params=params, content=pings).status_code == 200


@pytest.mark.slow
def test_one_too_many(tmp_path: Path) -> None:
    """Who is one too many is told so, by polling and by websocket; those who are there stay."""
    with Service(tmp_path / "storage", program=PROGRAM, options=("--sessions", "3")) as hub, RawSocket(hub) as client:
        assert client.connect()
        url = f"{hub.url}/socket.io/?EIO=4&transport=polling"
        assert [httpx.get(url, trust_env=False, timeout=60).status_code for _ in range(3)] == [200, 200, 503]
        with pytest.raises(InvalidStatus) as caught:
            RawSocket(hub)
        assert caught.value.response.status_code == 503
        assert not refused(client.call("mlgym_head", {"run_id": "run"}))


def connected(hub: Service) -> RawSocket:
    """A client that has connected before it was dismissed as a stranger."""
    while True:
        client = RawSocket(hub)
        with suppress(ConnectionClosed):
            if client.connect():
                return client
        client.close()


@pytest.mark.slow
def test_strangers(tmp_path: Path) -> None:
    """Who opens a session and never connects is dismissed, by polling and by websocket; who does connect stays."""
    options = ("--stranger", "2")
    with Service(tmp_path / "storage", program=PROGRAM, options=options) as hub, connected(hub) as client:
        url = f"{hub.url}/socket.io/?EIO=4&transport=polling"
        sid = json.loads(httpx.get(url, trust_env=False, timeout=60).text[1:])["sid"]
        with RawSocket(hub) as stranger, pytest.raises(ConnectionClosed):
            stranger.receive_all()
        give_up_at = time.monotonic() + 120
        while httpx.post(f"{url}&sid={sid}", content="3", trust_env=False, timeout=60).status_code == 200:
            assert time.monotonic() < give_up_at
            time.sleep(0.1)
        assert not refused(client.call("mlgym_head", {"run_id": "run"}))


def noise(generator: random.Random) -> str | bytes:
    """A packet that begins as one and goes on as anything."""
    event = generator.choice([*ARGUMENTS, "connect", "disconnect", "malformed message", "__proto__", ""])
    value = generator.choice([*VALUES, json.dumps(EVENT).encode(), b'{"rooms":["run"]}']).decode("latin-1")[:2000]
    packet = generator.choice(
        [
            f'42{generator.choice(["", "0", "7", "9" * 30])}["{event}",{value}]',
            f"{generator.randrange(10)}{generator.randrange(10)}{value}",
            f'42/{value[:50]},["{event}"]',
            f'45{generator.randrange(3)}-["{event}",{{"_placeholder":true,"num":0}}]',
            f'451-["{event}",{{"_placeholder":true,"num":{generator.randrange(-5, 10**9)}}}]',
            "40" + value,
            "".join(map(chr, (generator.randrange(1, 0x500) for _ in range(generator.randrange(40))))),
            f"43{generator.randrange(100)}[{value}]",
            "1",
            "2probe",
            "5",
        ]
    )
    cut = generator.randrange(len(packet) + 1) if generator.random() < 0.2 else len(packet)
    packet = packet[:cut]
    if generator.random() < 0.1:
        return generator.randbytes(generator.randrange(100))
    return packet


@pytest.mark.slow
def test_noise(service: Service) -> None:
    """Random packets, by websocket and by polling, cost a connection at most; the service goes on."""
    generator = random.Random(FUZZ_SEED)
    head = {"run_id": "other"}
    give_up_at = time.monotonic() + FUZZ_S
    before = everything(service.storage / "other")
    num_packets = 0
    while time.monotonic() < give_up_at or num_packets <= 100:
        with RawSocket(service) as client:
            client.connect()
            try:
                for _ in range(50):
                    client.say(noise(generator))
                    num_packets += 1
            except ConnectionClosed:
                pass
        poll(service, generator)
    with RawSocket(service) as client:
        assert client.connect()
        assert not refused(client.call("mlgym_head", head))
    assert everything(service.storage / "other") == before
    known = {".cache", ".notes.log", "run", "other"}
    assert {path.name for path in service.storage.iterdir()} <= known


def poll(service: Service, generator: random.Random) -> None:
    """Opens a session by polling, and posts noise to it and to sessions that are none."""
    url = f"{service.url}/socket.io/"
    with httpx.Client(trust_env=False, timeout=60, params={"EIO": "4", "transport": "polling"}) as client:
        opened = client.get(url)
        sid = json.loads(opened.text[1:])["sid"]
        client.post(url, params={"sid": sid}, content="40")
        for _ in range(5):
            packets = [noise(generator) for _ in range(generator.randrange(1, 20))]
            body = b"\x1e".join(one.encode("utf-8", "replace") if isinstance(one, str) else one for one in packets)
            for some in (sid, sid[:-1], "x", "../x", ""):
                assert client.post(url, params={"sid": some}, content=body).status_code < 500
        query = {generator.choice(["EIO", "transport", "t", "j", "sid", "b64"]): generator.choice(TEXTS)[:500]}
        assert client.get(url, params=query).status_code < 500
