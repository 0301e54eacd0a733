"""The hub on a full disk: events are refused for now, reading goes on, and with space everything goes on by itself."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from tests.events import test_full_disk
from tests.server.service import Service
from tests.server.test_sockets import WEBSOCKET
from tests.server.wire import RUN, Wire, event

small_disk = test_full_disk.small_disk


def test_hub_on_a_full_disk(small_disk: Path) -> None:
    """No event is lost, merged or shown that was refused; nobody has to start anything again."""
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 100_000)
    batches = ([event(seq, text="x" * 200) for seq in range(start, start + 30)] for start in itertools.count(0, 30))
    with Service(small_disk / "storage", program=WEBSOCKET) as hub, Wire(hub.url) as wire, Wire(hub.url) as board:
        board.call("join", {"rooms": [RUN], "protocol": 2})
        stored = 0
        for batch in batches:
            answer = wire.call("mlgym_events", batch)
            if "error" in answer:
                break
            stored += len(answer["event_ids"])
        refused = batch
        assert stored > 100
        assert answer["error"]["code"] == "disk_full"
        for _ in range(20):
            assert wire.call("mlgym_events", refused)["error"]["code"] == "disk_full"
        with Wire(hub.url) as late:
            late.call("join", {"rooms": [RUN], "protocol": 2})
            late.until_events(stored)
            assert wire.call("mlgym_head", {"run_id": RUN})["num_events"] == stored
            filler.unlink()
            assert wire.call("mlgym_events", refused)["event_ids"] == list(range(stored, stored + 30))
            for one in (board, late):
                one.until_events(stored + 30)
                assert [number for number, _ in one.events()] == list(range(stored + 30))
                assert [found["seq"] for _, found in one.events()] == list(range(stored + 30))
    logged = [
        json.loads(line) for line in (small_disk / "storage" / RUN / "event_storage.log").read_bytes().splitlines()
    ]
    assert [one["seq"] for one in logged] == list(range(stored + 30))
