"""Subscribers that take nothing: what they cost, and how they come back."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.hub_program import PROGRAM
from tests.server.service import Service
from tests.server.wire import RUN, Wire, event

PATIENCE_S = 1.0
MIB = 2**20


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    storage = tmp_path_factory.mktemp("slow") / "storage"
    with Service(storage, program=PROGRAM, options=["--patience", str(PATIENCE_S)]) as running:
        yield running


class Deaf:
    """A subscriber that never reads: its end of the connection holds a few kB."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        head = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        self.socket.sendall(
            f"{head}Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        assert b" 101 " in self.socket.recv(1024)
        self._say("40")
        self._say("42" + json.dumps(["join", {"rooms": [RUN], "protocol": 2}]))

    def _say(self, text: str) -> None:
        # A text frame, masked with zeros.
        self.socket.sendall(struct.pack("!BBH4x", 0x81, 0x80 | 126, len(text)) + text.encode())


def memory(hub: Service) -> int:
    """The most memory that a service has had, in bytes."""
    assert hub._process is not None
    status = dict(line.split(":", 1) for line in Path(f"/proc/{hub._process.pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def follow(board: Wire, run: str, numbers: list[int], least: int) -> None:
    """Takes the numbers of events until there are so many, and comes back where the hub found it too slow, too."""
    while len(numbers) < least:
        board.until(lambda: bool(board.received))
        numbers += [number for number, _ in board.events()]
        is_left = bool(board.messages("resync"))
        board.received.clear()
        if is_left:
            board.call("join", {"rooms": [run], "protocol": 2, "from_event_id": {run: len(numbers)}})


@pytest.mark.slow
def test_200_slow_subscribers(hub: Service) -> None:
    """With 200 subscribers that take nothing of 40 MB, the hub stays under 300 MB and others get everything."""
    deaf = [Deaf(hub.port) for _ in range(200)]
    text = "x" * 2000
    num_events = 20_000
    numbers: list[int] = []
    try:
        with Wire(hub.url) as producer, Wire(hub.url) as board:
            board.call("join", {"rooms": [RUN], "protocol": 2})
            for start in range(0, num_events, 100):
                group = [event(seq, text=text) for seq in range(start, start + 100)]
                assert producer.call("mlgym_events", group)["event_ids"] == list(range(start, start + 100))
                follow(board, RUN, numbers, start - 500)
            follow(board, RUN, numbers, num_events)
            assert numbers == list(range(num_events))
        assert (hub.storage / RUN / "event_storage.log").stat().st_size > 40e6
        assert memory(hub) < 300e6
    finally:
        for one in deaf:
            one.socket.close()


@pytest.mark.slow
def test_a_slow_subscriber_comes_back(hub: Service) -> None:
    """Who takes nothing for too long is told from where to go on, loses nothing, and gets nothing twice."""
    run, text, num_events = "comes_back", "x" * 20_000, 2000
    with Wire(hub.url) as producer, Wire(hub.url) as slow:
        slow.call("join", {"rooms": [run], "protocol": 2})
        for start in range(0, num_events, 50):
            producer.call("mlgym_events", [event(seq, run=run, text=text) for seq in range(start, start + 50)])
        time.sleep(3 * PATIENCE_S)
        slow.until(lambda: bool(slow.messages("resync")))
        (told,) = slow.messages("resync")
        got = [number for number, _ in slow.events()]
        assert told == {"run_id": run, "from_event_id": len(got)}
        assert got == list(range(len(got)))
        assert 0 < len(got) < num_events
        slow.received.clear()
        slow.call("join", {"rooms": [run], "protocol": 2, "from_event_id": {run: len(got)}})
        follow(slow, run, got, num_events)
    assert got == list(range(num_events))
