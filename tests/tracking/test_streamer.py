"""Events on their way to real hubs: killed, stopped, absent, several, protected by a token, over the same folder."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from socketio.exceptions import BadNamespaceError

from mlgym.errors import HubError
from mlgym.events import Event, EventLog, Log, Producer, RunResumed, encode, read_log
from mlgym.events.codec import seal
from mlgym.tracking import RunFolder, create_run_folder
from mlgym.tracking.hub_client import HubClient
from mlgym.tracking.hub_socket import HubSocket
from mlgym.tracking.portable import body_of
from mlgym.tracking.streamer import Streamer
from tests.server.service import ALL, Service, free_port
from tests.tracking.web_server import web_server
from tests.waiting import wait_for

TOKEN = "a-token-that-is-long-enough"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("hub") / "storage", program=ALL) as running:
        yield running


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> RunFolder:
    """A run with an id of its own, since the hub is shared."""
    return create_run_folder(tmp_path / "here", request.node.name.replace("[", "-").strip("]"))


class Writer:
    """Writes events to the log of a run, as a driver does."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.producer = Producer()
        self._log = EventLog.open(folder.log_path)
        self._count = 0

    def write(self, count: int) -> None:
        events = [self.producer.event(self._payload(self._count + number)) for number in range(count)]
        self._count += count
        self._log.append(events)

    def _payload(self, number: int) -> Log:
        run_id = self.folder.run_id
        return Log(grid_search_id=run_id, experiment_id=0, level="info", logger="test", message=f"{number} ☃")

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()


class Sending:
    """A streamer at work, and what it warned of."""

    def __init__(self, folder: RunFolder, url: str) -> None:
        self.warnings: list[str] = []
        self.streamer = Streamer(folder, url, self.warnings.append)
        self.streamer.start()

    def until(self, num_sent: int) -> None:
        wait_for(lambda: self.streamer.num_sent >= num_sent)


def log_of(storage: Path, run: RunFolder) -> bytes:
    path = storage / run.run_id / run.log_path.name
    return path.read_bytes() if path.exists() else b""


def test_live(hub: Service, run: RunFolder) -> None:
    """Events reach the hub while the run goes on, byte for byte, and a second sender finds nothing to do."""
    with Writer(run) as writer:
        writer.write(10)
        sending = Sending(run, hub.url)
        for count in (0, 1, 2500):
            writer.write(count)
            wait_for(lambda: log_of(hub.storage, run) == run.log_path.read_bytes())
        sending.streamer.finish()
    again = Sending(run, hub.url)
    again.streamer.finish()
    assert (sending.streamer.num_sent, again.streamer.num_sent, sending.warnings, again.warnings) == (2511, 0, [], [])
    assert log_of(hub.storage, run) == run.log_path.read_bytes()


def without_resending(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the protection away: what was handed to the connection counts as delivered, and nobody asks the hub."""

    def send(self: HubSocket, lines: list[bytes]) -> list[int | None]:
        try:
            self._client.emit("mlgym_events", [msgspec.Raw(body_of(line)) for line in lines])
        except BadNamespaceError as error:
            raise HubError("lost") from error
        return [None] * len(lines)

    monkeypatch.setattr(HubSocket, "send", send)
    monkeypatch.setattr(Streamer, "_locate", lambda *_: None)


@pytest.mark.slow
@pytest.mark.parametrize("is_protected", [True, False], ids=["protected", "control"])
def test_killed_hub(is_protected: bool, run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that is killed with events on their way has all of them in the end, each once; without resending, not."""
    if not is_protected:
        without_resending(monkeypatch)
    with Service(tmp_path / "hub", program=ALL) as hub, Writer(run) as writer:
        sending = Sending(run, hub.url)
        for _ in range(2 if is_protected else 1):
            writer.write(500)
            sending.until(500)
            # Stopped first, so that the events do not get there before it is killed.
            hub.pause()
            writer.write(500)
            if is_protected:
                time.sleep(0.2)  # on their way, most of the time
            else:
                sending.until(1000)
            hub.stop(signal.SIGKILL)
            hub.start()
        writer.write(1)
        sending.streamer.finish()
        assert (log_of(hub.storage, run) == run.log_path.read_bytes()) == is_protected
    assert len(sending.warnings) <= 1


@pytest.mark.slow
def test_stopped_hub(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that takes nothing holds nobody up: the log grows on, and is the spool from which the rest comes.

    At the end, a hub that stays so is waited for as long as patience lasts, and not longer.
    """
    with Service(tmp_path / "hub", program=ALL) as hub, Writer(run) as writer:
        sending = Sending(run, hub.url)
        writer.write(10)
        sending.until(10)
        hub.pause()
        for _ in range(50):
            writer.write(1000)
        assert sum(1 for _ in read_log(run.log_path)) == 50_010
        assert sending.streamer.num_sent == 10
        hub.send_signal(signal.SIGCONT)
        sending.streamer.finish()
        assert log_of(hub.storage, run) == run.log_path.read_bytes()
        hub.pause()
        monkeypatch.setattr("mlgym.tracking.streamer._PATIENCE_S", 0.2)
        writer.write(1)
        frozen = Sending(run, hub.url)
        frozen.streamer.finish()
        assert frozen.streamer.is_alive()
        hub.send_signal(signal.SIGCONT)
        frozen.streamer.join()
        assert sending.warnings == []


def test_no_hub(run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    """A hub that is not there costs one warning, which says what brings the run there; the end does not wait for it."""
    url = f"http://127.0.0.1:{free_port()}"
    with caplog.at_level(logging.WARNING), Writer(run) as writer:
        sending = Sending(run, url)
        wait_for(lambda: bool(sending.warnings))
        writer.write(10)
        time.sleep(0.5)
        sending.streamer.finish()
    assert len(sending.warnings) == 1
    assert f"`mlgym sync {run.run_id} --to {url}` brings it later" in sending.warnings[0]
    assert "cannot be reached" in sending.warnings[0]
    assert "refused" in sending.warnings[0]
    assert caplog.text == ""


@pytest.mark.slow
def test_no_hub_at_the_end(
    run: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the hub was there and goes for good, the end says that it lacks something."""
    with Service(tmp_path / "hub", program=ALL) as hub, Writer(run) as writer:
        sending = Sending(run, f"http://127.0.0.1:{free_port()}")
        wait_for(lambda: bool(sending.warnings))
        sending.streamer._url = hub.url  # it comes up late
        writer.write(10)
        sending.until(10)
        hub.pause()
        writer.write(10)
        time.sleep(0.2)
        hub.stop(signal.SIGKILL)
        monkeypatch.setattr("mlgym.tracking.streamer._PATIENCE_S", 0.2)
        with caplog.at_level(logging.WARNING):
            sending.streamer.finish()
    assert "does not have all of the run" in caplog.text
    assert len(sending.warnings) == 1


def test_the_same_folder(hub: Service, request: pytest.FixtureRequest) -> None:
    """A hub over the folder in which the run is written acknowledges what stands there, and writes nothing."""
    folder = create_run_folder(hub.storage, request.node.name)
    with Writer(folder) as writer:
        sending = Sending(folder, hub.url)
        for _ in range(3):
            writer.write(100)
            time.sleep(0.1)
        sending.streamer.finish()
        assert sending.streamer._is_complete
    events = [logged.event for logged in read_log(folder.log_path)]
    assert [event["seq"] for event in events] == list(range(300))
    assert sending.warnings == []


def test_lines_taken_back(hub: Service, run: RunFolder) -> None:
    """Where a full disk made the writer take lines back that were read, what comes in their place arrives, once."""
    payload = Writer(run)._payload
    producer = Producer()
    lines = [seal(encode(producer.event(payload(number)))) for number in range(40)]
    run.log_path.write_bytes(b"".join(lines[:20]))
    sending = Sending(run, hub.url)
    sending.until(20)
    with run.log_path.open("r+b") as file:
        file.truncate(sum(map(len, lines[:10])))
        file.seek(0, os.SEEK_END)
        # Longer than before, and with another end of each line.
        file.write(b"".join(lines[25:]) + b"".join(lines[10:20]))
    wait_for(lambda: log_of(hub.storage, run).count(b"\n") == 35)
    sending.streamer.finish()
    there = log_of(hub.storage, run).splitlines()
    assert sorted(there) == sorted(run.log_path.read_bytes().splitlines())


def test_another_log(hub: Service, run: RunFolder, tmp_path: Path) -> None:
    """A hub that has other events of the run gets all of these; events without an origin cannot be told apart."""
    with Writer(run) as writer:
        writer.write(10)
        with HubClient(hub.url) as client:
            client.send_events(run.run_id, seal(encode(Producer().event(writer._payload(99)))), start=None)
        sending = Sending(run, hub.url)
        sending.until(10)
        sending.streamer.finish()
        assert log_of(hub.storage, run).count(b"\n") == 11
        anonymous = Event(event_type="log", creation_ts=1, payload=writer._payload(1))
        writer._log.append([anonymous])
    again = Sending(run, hub.url)
    wait_for(lambda: bool(again.warnings))
    again.streamer.finish()
    assert "another one than the one here" in again.warnings[0]
    assert log_of(hub.storage, run).count(b"\n") == 11


def test_another_history(hub: Service, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub where somebody else went on with the run gets nothing, and the warning says what to do."""
    monkeypatch.setattr("mlgym.tracking.streamer._ASK_S", 60.0)  # however slowly the hub answers
    with Writer(run) as writer, HubClient(hub.url) as client:
        there = RunResumed(
            grid_search_id=run.run_id,
            name="",
            command=[],
            versions={},
            num_experiments=1,
            validation_mode="grid_search",
        )
        client.send_events(run.run_id, seal(encode(writer.producer.event(there))), start=None)
        writer.write(10)
        sending = Sending(run, hub.url)
        sending.streamer.finish()
    assert log_of(hub.storage, run).count(b"\n") == 1
    (warning,) = sending.warnings
    assert "went on in two ways" in warning
    assert "--to" not in warning


def test_somebody_else_goes_on_meanwhile(hub: Service, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends notices by the numbers of its events that another driver went on, and leaves the hub to that one."""
    monkeypatch.setattr("mlgym.tracking.streamer._ASK_S", 60.0)  # however slowly the hub answers
    with Writer(run) as writer, HubClient(hub.url) as client:
        writer.write(10)
        sending = Sending(run, hub.url)
        sending.until(10)
        there = RunResumed(
            grid_search_id=run.run_id,
            name="",
            command=[],
            versions={},
            num_experiments=1,
            validation_mode="grid_search",
        )
        client.send_events(run.run_id, seal(encode(Producer().event(there))), start=10)
        writer.write(5)
        wait_for(lambda: bool(sending.warnings))
        writer.write(5)
        sending.streamer.finish()
    assert log_of(hub.storage, run).count(b"\n") == 16  # what was on its way when it was noticed
    assert "went on in two ways" in sending.warnings[0]


def test_an_event_that_is_refused(hub: Service, run: RunFolder) -> None:
    """What the hub never takes is left out, with one warning, and everything behind it arrives."""
    with Writer(run) as writer:
        writer.write(5)
        for _ in range(2):
            writer._log.append([b'{"event_type":"x","creation_ts":1,"payload":{},"producer":"p","seq":%d}' % _])
            writer.write(5)
        sending = Sending(run, hub.url)
        sending.streamer.finish()
    assert log_of(hub.storage, run).count(b"\n") == 15
    assert len(sending.warnings) == 1
    assert "stand in the run folder only" in sending.warnings[0]


@pytest.mark.slow
def test_several_hubs_and_a_token(
    hub: Service, run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hub gets everything, whatever becomes of the others; one with a token takes nothing without it."""
    asking = Service(tmp_path / "second", program=ALL, options=["--require-token"], environment={"MLGYM_TOKEN": TOKEN})
    with asking as second, Writer(run) as writer:
        strangers = Sending(run, second.url)
        wait_for(lambda: bool(strangers.warnings))
        monkeypatch.setenv("MLGYM_TOKEN", TOKEN)
        urls = [hub.url, second.url, f"http://127.0.0.1:{free_port()}"]
        sendings = [Sending(run, url) for url in urls]
        writer.write(100)
        for sending in (*sendings[:2], sendings[2]):
            sending.streamer.finish()
        for storage in (hub.storage, second.storage):
            assert log_of(storage, run) == run.log_path.read_bytes()
        assert [len(sending.warnings) for sending in sendings] == [0, 0, 1]
    assert "token" in strangers.warnings[0]
    assert TOKEN not in strangers.warnings[0]


@pytest.mark.slow
def test_a_full_hub(run: RunFolder, tmp_path: Path) -> None:
    """A hub whose disk is full takes nothing and says so; once there is room, everything comes, and nothing twice."""
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=600k none {small} 2>/dev/null") != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        with Service(small / "storage", program=ALL) as hub, Writer(run) as writer:
            (small / "ballast").write_bytes(bytes(400_000))
            sending = Sending(run, hub.url)
            writer.write(900)
            wait_for(lambda: bool(sending.warnings))
            (small / "ballast").unlink()
            sending.streamer.finish()
            assert log_of(hub.storage, run) == run.log_path.read_bytes()
            assert len(sending.warnings) == 1
    finally:
        os.system(f"umount -l {small}")


def test_interrupted_end(run: RunFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the last events are sent ends the wait and says what is missing."""

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    sending = Sending(run, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(Streamer, "join", join)
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        sending.streamer.finish()
    assert "it was interrupted" in caplog.text


def test_addresses(run: RunFolder) -> None:
    """What is no address is said before anything starts."""
    for url in ("", "127.0.0.1:5002", "ws://a"):
        with pytest.raises(HubError, match="no address of a hub"):
            Streamer(run, url, print)


def test_no_service_of_ours(run: RunFolder) -> None:
    """A web server that is no hub is told apart from one that is away."""
    with web_server() as url, pytest.raises(HubError, match="cannot be reached"):
        HubSocket(url)
    shutil.rmtree(run.path)
