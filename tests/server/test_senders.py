"""Whose driver is connected: known to every process over the storage, for as long as the connection lasts."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from mlgym.server.senders import Senders, has_sender
from mlgym.tracking import RunFolder, create_run_folder
from mlgym.tracking.hub_socket import HubSocket
from tests.events.samples import RUN_ID, lines
from tests.server.service import ALL, Service


def test_a_run_that_comes_after_its_driver(tmp_path: Path) -> None:
    """It is locked once it is there, until the last of those who send it is gone; nothing is left in its folder."""
    path = tmp_path / RUN_ID
    with Service(tmp_path, program=ALL) as hub, HubSocket(hub.url) as first, HubSocket(hub.url) as second:
        assert first.head(RUN_ID, goes_on=True).num_events == 0
        assert not path.exists()
        first.send(list(lines(3)))
        assert has_sender(path)
        second.head(RUN_ID, goes_on=True)
        first.close()
        second.head("another")
        assert has_sender(path)
        assert [each.name for each in path.iterdir()] == ["event_storage.log"]
        second.close()
        give_up_at = time.monotonic() + 60
        while has_sender(path):
            assert time.monotonic() < give_up_at
            time.sleep(0.01)


def test_clients_that_are_gone_before_they_are_shown(tmp_path: Path) -> None:
    """Whatever comes in between, no lock is left; another service's lock is taken over once that has ended."""

    async def act() -> list[bool]:
        folder = create_run_folder(tmp_path, "run")
        ours, theirs = Senders(), Senders()
        for one in (ours, theirs):
            one.add("a", folder)
        await theirs.show("a")
        await ours.show("a")
        theirs.close()
        found = [has_sender(folder.path)]
        await ours.show("a")
        found.append(has_sender(folder.path))
        ours.remove("a")
        ours.add("b", folder)
        showing = asyncio.create_task(ours.show("b"))
        await asyncio.sleep(0)
        ours.remove("b")
        await showing
        ours.add("c", RunFolder(tmp_path, "missing"))
        await ours.show("c")
        return [*found, has_sender(folder.path), has_sender(tmp_path / "missing")]

    assert asyncio.run(act()) == [False, True, False, False]
