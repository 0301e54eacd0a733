"""A run brought from a real hub: all of it, what is lacking here, and nothing where there are two histories."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from mlgym.errors import HubError, InvalidNameError, RunError
from mlgym.events import EventLog, RunFinished, RunResumed
from mlgym.events.codec import read_origin
from mlgym.server.senders import announce, has_sender
from mlgym.tracking import RunFolder, mirror, presence
from mlgym.tracking import pull as module
from mlgym.tracking.delivery import Hubs, delivering
from mlgym.tracking.histories import OTHER_HISTORY
from mlgym.tracking.hub_client import HubClient
from mlgym.tracking.hub_socket import HubSocket
from mlgym.tracking.manifest import FileEntry
from mlgym.tracking.mirror import Pushed, push
from mlgym.tracking.pull import CaughtUp, catch_up, pull, refuse_more_events
from tests.cli.calling import call
from tests.events.samples import RUN_ID, lines
from tests.server.service import Service
from tests.tracking.conftest import MIB, content, save, write
from tests.waiting import wait_for


def test_pull(hub: Service, client: HubClient, run: RunFolder, tmp_path: Path) -> None:
    """A run comes back as it was, once; its storage folder is made, and nothing else is left in it."""
    push(run, client)
    brought = pull(RUN_ID, tmp_path / "new" / "storage", client)
    assert content(brought.storage) == content(run.storage)
    assert [path.name for path in brought.storage.iterdir()] == [RUN_ID]
    with pytest.raises(RunError, match="already"):
        pull(RUN_ID, brought.storage, client)
    with pytest.raises(HubError, match="has no run `unknown`"):
        pull("unknown", brought.storage, client)
    for name in ("..", "a/b", ""):
        with pytest.raises(InvalidNameError):
            pull(name, brought.storage, client)


def test_interrupted_pull(hub: Service, client: HubClient, run: RunFolder, tmp_path: Path) -> None:
    """A pull that was cut off leaves no run, and goes on with what it had."""
    save(run, "epoch_2-step_20", os.urandom(MIB))
    push(run, client)
    received = [0]
    with HubClient(hub.url, goes_on=lambda: received[0] < MIB // 2) as cut:
        cut.on_bytes = lambda num_bytes: received.__setitem__(0, received[0] + num_bytes)
        with pytest.raises(HubError, match="cut short"):
            pull(RUN_ID, tmp_path / "there", cut)
    assert not (tmp_path / "there" / RUN_ID).exists()
    client.on_bytes = lambda num_bytes: received.__setitem__(0, received[0] + num_bytes)
    brought = pull(RUN_ID, tmp_path / "there", client)
    assert content(brought.storage) == content(run.storage)
    assert received[0] <= sum(map(len, content(run.storage).values()))


@pytest.mark.parametrize("file", ["0/checkpoints/epoch_1-step_10/model.safetensors", "event_storage.log"])
def test_damaged_hub(hub: Service, client: HubClient, run: RunFolder, tmp_path: Path, file: str) -> None:
    """What was changed on the hub is not taken: hashes of checkpoints, checksums of events."""
    push(run, client)
    damaged = hub.storage / RUN_ID / file
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    if file.endswith(".log"):
        # The hub itself shows what stands before the damage; resumed from there, results come again.
        assert len(list(pull(RUN_ID, tmp_path / "there", client).events())) < 100
        return
    with pytest.raises(HubError, match="sha256"):
        pull(RUN_ID, tmp_path / "there", client)
    assert not (tmp_path / "there" / RUN_ID).exists()


def test_names_that_a_hub_makes_up(hub: Service, client: HubClient, run: RunFolder, tmp_path: Path) -> None:
    """Paths in what a hub lists are checked before anything is written."""
    push(run, client)

    class Lying(HubClient):
        def files(self, run_id: str) -> dict[str, FileEntry]:
            return {"../../evil.yml": next(iter(super().files(run_id).values()))}

    class LyingMore(HubClient):
        def checkpoints(self, run_id: str) -> list[Any]:
            return [msgspec.structs.replace(one, name="..") for one in super().checkpoints(run_id)]

    for kind in (Lying, LyingMore):
        with kind(hub.url) as liar, pytest.raises(InvalidNameError):
            pull(RUN_ID, tmp_path / "there", liar)
    assert list(tmp_path.rglob("evil.yml")) == []


def resumed(name: str) -> RunResumed:
    return RunResumed(
        grid_search_id=RUN_ID, name=name, command=[], versions={}, num_experiments=2, validation_mode="grid_search"
    )


FINISHED = RunFinished(grid_search_id=RUN_ID, num_succeeded=2, num_failed=0, num_interrupted=0, num_not_started=0)


@pytest.fixture
def elsewhere(client: HubClient, run: RunFolder, tmp_path: Path) -> RunFolder:
    """The run as it went on on another machine, which brought it from the hub, and sent what came."""
    run.log_path.write_bytes(b"".join(line for line in lines(100) if read_origin(line)))
    push(run, client)
    folder = pull(RUN_ID, tmp_path / "elsewhere", client)
    save(folder, "epoch_2-step_20", os.urandom(1000))
    folder.write_text("run_config.yml", "threads: 1\nadmitted_changes: [lr]\n")
    write(folder, resumed("elsewhere"), FINISHED)
    push(folder, client)
    return folder


def test_an_older_copy_catches_up(client: HubClient, run: RunFolder, elsewhere: RunFolder) -> None:
    """It becomes what the hub has, byte for byte, once; until then it sends nothing."""
    there = content(elsewhere.storage)
    with pytest.raises(HubError, match=rf"has more of run .* than the folder here.*`mlgym sync {RUN_ID} --from"):
        push(run, client)
    assert catch_up(run, client) == CaughtUp(num_events=2, num_files=1, num_checkpoints=1)
    assert content(run.storage) == there
    assert catch_up(run, client) == CaughtUp()
    assert push(run, client) == Pushed()


def test_a_catching_up_that_was_cut_off(client: HubClient, hub: Service, run: RunFolder, elsewhere: RunFolder) -> None:
    """The events come last, so that the next one brings the rest; a hub that is behind changes nothing."""
    ended: list[int] = []
    with HubClient(hub.url, goes_on=lambda: not ended) as cut:
        cut.on_bytes = ended.append
        with pytest.raises(HubError, match="cut short"):
            catch_up(run, cut)
    assert run.log_path.read_bytes() != elsewhere.log_path.read_bytes()
    assert catch_up(run, client).num_events == 2
    write(run, resumed("here"), FINISHED)
    assert catch_up(run, client) == CaughtUp()
    assert (run.checkpoints_dir(0) / "epoch_2-step_20").is_dir()


@pytest.mark.parametrize("is_protected", [True, False])
def test_two_histories(
    is_protected: bool,
    client: HubClient,
    hub: Service,
    run: RunFolder,
    elsewhere: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that went on here and there is neither brought nor sent; control: without asking, the hub has both."""
    write(run, resumed("here"), FINISHED)
    if not is_protected:
        monkeypatch.setattr(mirror, "refuse_other_history", lambda *_: None)
        push(run, client)
        log = (hub.storage / RUN_ID / run.log_path.name).read_bytes()
        assert log.count(b'"run_resumed"') == 2
        return
    before = content(run.storage), content(hub.storage)
    for act in (catch_up, push):
        with pytest.raises(HubError, match=r"went on in two ways.*delete the run on the hub first") as caught:
            act(run, client)
        assert caught.value.code == OTHER_HISTORY
    assert (content(run.storage), content(hub.storage)) == before


class Elsewhere(threading.Thread):
    """Another machine that goes on with a run, and tells the hub again and again, until it is left."""

    def __init__(self, folder: RunFolder, url: str) -> None:
        super().__init__()
        self.folder = folder
        self.url = url
        self.num_told = 0
        self._is_left = threading.Event()

    def run(self) -> None:
        while not self._is_left.wait(0.1):
            with HubClient(self.url) as client:
                write(self.folder, resumed("elsewhere"))
                push(self.folder, client)
            self.num_told += 1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_left.set()
        self.join()


def test_a_run_that_goes_on_elsewhere(
    hub: Service, client: HubClient, run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hub hears of still, and what somebody here is at, is left alone."""
    push(run, client)
    folder = pull(RUN_ID, tmp_path / "elsewhere", client)
    write(folder, resumed("elsewhere"))
    push(folder, client)
    num_told = 1
    with monkeypatch.context() as patched:
        patched.setattr(module, "_WATCH_S", 120.0)  # however slowly the other one tells
        for copy in (run, pull(RUN_ID, tmp_path / "copy", client)):
            with Elsewhere(folder, hub.url) as elsewhere, pytest.raises(RunError, match="goes on elsewhere"):
                catch_up(copy, client)
            num_told += elsewhere.num_told
    assert catch_up(run, client, while_it_goes_on=True).num_events == num_told
    monkeypatch.setattr(module, "_WATCH_S", 0.3)
    assert catch_up(run, client) == CaughtUp()  # it was killed: nothing came of it any more
    write(folder, FINISHED)
    push(folder, client)
    with EventLog.open(run.log_path), pytest.raises(RunError, match="wait until that has ended"):
        catch_up(run, client)
    assert catch_up(run, client).num_events == 1


def test_a_silent_run_whose_driver_is_connected(
    hub: Service, client: HubClient, run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on, however long it says nothing; control: without a connection it looks like one that was killed."""
    monkeypatch.setattr(module, "_WATCH_S", 0.1)
    push(run, client)
    copy = pull(RUN_ID, tmp_path / "copy", client)
    with HubSocket(hub.url) as driver, HubSocket(hub.url) as other:
        driver.head(RUN_ID, goes_on=True)
        other.head(RUN_ID)
        log = hub.storage / RUN_ID / copy.log_path.name
        os.utime(log, (0, 0))
        found = client.head(RUN_ID)
        assert found is not None
        assert (found.is_live, found.has_sender) == (True, True)
        with monkeypatch.context() as patched:
            patched.setattr(module, "_WATCH_SENDER_S", 0.1)
            with pytest.raises(RunError, match="goes on elsewhere"):
                catch_up(copy, client)
        # It is killed while somebody watches.
        driver.close()
        assert catch_up(copy, client) == CaughtUp()
        found = client.head(RUN_ID)
        assert found is not None
        assert (found.is_live, found.has_sender) == (False, False)


def test_a_silent_run_whose_driver_has_no_connection(
    hub: Service, client: HubClient, run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It announces itself, and goes on however long it says nothing; control: at its end it takes that back."""
    monkeypatch.setattr(module, "_WATCH_S", 0.1)
    monkeypatch.setattr(module, "_WATCH_SENDER_S", 0.1)
    monkeypatch.setattr(presence, "_EVERY_S", 0.05)
    monkeypatch.setattr(presence, "_LAST_WORD_S", 60.0)
    push(run, client)
    copy = pull(RUN_ID, tmp_path / "copy", client)
    with delivering(run, Hubs(rest_endpoint=hub.url), warn=pytest.fail):
        wait_for(lambda: has_sender(hub.storage / RUN_ID))
        os.utime(hub.storage / RUN_ID / copy.log_path.name, (0, 0))
        found = client.head(RUN_ID)
        assert found is not None
        assert (found.is_live, found.has_sender) == (True, True)
        with pytest.raises(RunError, match="goes on elsewhere"):
            catch_up(copy, client)
    found = client.head(RUN_ID)
    assert found is not None
    assert (found.is_live, found.has_sender) == (False, False)
    assert catch_up(copy, client) == CaughtUp()


def test_an_announcement_ends_by_itself(hub: Service, client: HubClient, run: RunFolder) -> None:
    """A driver that was killed is not there for ever, nor one of which a clock says so; unknown runs are none."""
    assert not client.announce(RUN_ID, 1.0)
    push(run, client)
    assert client.announce(RUN_ID, 0.01)
    wait_for(lambda: not has_sender(hub.storage / RUN_ID))
    announce(hub.storage / RUN_ID, 60.0)
    assert has_sender(hub.storage / RUN_ID)
    os.utime(hub.storage / RUN_ID / ".sender", (2**33, 2**33))
    assert not has_sender(hub.storage / RUN_ID)
    with pytest.raises(HubError, match="for_s"):
        client.announce(RUN_ID, 301.0)


def test_a_service_that_cannot_give_back(hub: Service, client: HubClient, run: RunFolder) -> None:
    """A websocket service with more events than are here is refused, with what to name beside it."""
    push(run, client)
    refuse_more_events(run, hub.url)
    with run.log_path.open("r+b") as file:
        file.truncate(len(file.readline()))
    with pytest.raises(RunError, match=rf"has 99 events of run `{RUN_ID}` that are not here.*--rest-endpoint"):
        refuse_more_events(run, hub.url)


def test_sync_from(
    hub: Service, elsewhere: RunFolder, run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mlgym sync --from` brings a run that is not here, or the rest of one that is."""
    new = str(tmp_path / "new")
    for storage, said in ((new, "all of it, 92 events"), (new, "0 events"), (str(run.storage), "2 events, 1 configs")):
        assert call("sync", RUN_ID, "--from", hub.url, "--storage", storage) == 0
        assert f"brought {said}" in capsys.readouterr().err
    assert content(tmp_path / "new") == content(run.storage) == content(elsewhere.storage)
    assert call("sync", "nobody", "--from", hub.url, "--storage", new) == 2
    assert "has no run `nobody`" in capsys.readouterr().err
    assert call("sync", RUN_ID, "--storage", new) == 2
    assert "name one hub" in capsys.readouterr().err
