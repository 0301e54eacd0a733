"""A run on a real hub kept like the one here, and brought back, whatever is interrupted, killed or damaged."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from mlgym.errors import HubError
from mlgym.events import CheckpointDeleted, CheckpointSaved
from mlgym.tracking import RunFolder
from mlgym.tracking import hub_client as client_module
from mlgym.tracking.hub_client import HubClient
from mlgym.tracking.manifest import MANIFEST_FILE
from mlgym.tracking.mirror import Mirror, Pushed, push
from mlgym.tracking.pull import pull
from tests.events.samples import LEGACY_LINE, RUN_ID, lines
from tests.server.service import Service
from tests.tracking.conftest import MIB, content, save, write
from tests.tracking.web_server import web_server


def saved(name: str) -> CheckpointSaved:
    return CheckpointSaved(
        grid_search_id=RUN_ID,
        experiment_id=0,
        epoch=1,
        step=10,
        path=f"0/checkpoints/{name}",
        bytes=1,
        sha256={},
        reasons=[],
    )


def deleted(name: str) -> CheckpointDeleted:
    return CheckpointDeleted(grid_search_id=RUN_ID, experiment_id=0, epoch=1, step=10, path=f"0/checkpoints/{name}")


def test_push(hub: Service, client: HubClient, run: RunFolder) -> None:
    """The hub's folder becomes the run's, byte for byte; pushing again sends nothing."""
    first = push(run, client)
    assert (first.num_files, first.num_events, first.num_checkpoints, first.num_artifacts) == (3, 100, 1, 1)
    assert content(hub.storage) == content(run.storage)
    assert push(run, client) == Pushed()


def test_push_of_what_is_new(hub: Service, client: HubClient, run: RunFolder) -> None:
    """Later pushes cost what is new: more events, a changed config, another checkpoint."""
    mirror = Mirror(run, client)
    mirror.push()
    assert mirror.push() == Pushed()
    save(run, "epoch_2-step_20", b"y" * 500)
    write(run, saved("epoch_2-step_20"))
    run.write_text("run_config.yml", "threads: 2\n")
    for pushed in (mirror.push(), push(run, client)):
        assert content(hub.storage) == content(run.storage)
        assert pushed in (Pushed(1, 1, 1, 0, pushed.num_bytes), Pushed())
    assert 500 < client.bytes_sent < 60_000


def test_deletions(hub: Service, client: HubClient, run: RunFolder) -> None:
    """What the run has deleted goes from the hub; what is merely missing here, or known there alone, stays."""
    for name in ("epoch_2-step_20", "epoch_3-step_30"):
        save(run, name, b"y")
        write(run, saved(name))
    push(run, client)
    elsewhere = RunFolder(hub.storage, RUN_ID)
    save(elsewhere, "epoch_9-step_90", b"of another machine")
    for name in ("epoch_1-step_10", "epoch_2-step_20", "epoch_3-step_30"):
        run.checkpoints_dir(0).joinpath(name).rename(run.path / f".{name}")
    write(run, deleted("epoch_2-step_20"), deleted("epoch_3-step_30"), saved("epoch_3-step_30"))
    assert push(run, client).num_deleted == 1
    left = {path.name for path in elsewhere.checkpoints_dir(0).iterdir()}
    assert left == {"epoch_1-step_10", "epoch_3-step_30", "epoch_9-step_90"}


def test_lost_prefix(hub: Service, client: HubClient, run: RunFolder) -> None:
    """A hub with another log of the run gets what it lacks, each event once; without producers that is refused."""
    numbered = [line for index, line in enumerate(lines(100)) if index % 10 != 9]
    run.log_path.write_bytes(b"".join(numbered))
    client.send_events(RUN_ID, b"".join(numbered[5:20]), start=None)
    assert push(run, client).num_events == len(numbered) - 15
    there = (hub.storage / RUN_ID / "event_storage.log").read_bytes()
    assert sorted(there.splitlines()) == sorted(b"".join(numbered).splitlines())
    assert push(run, client).num_events == 0
    client.send_events(RUN_ID, b'{"event_type": "x", "payload": {}}', start=None)
    with run.log_path.open("ab") as file:
        file.write(lines(10)[9])
    with pytest.raises(HubError, match="another one than the one here"):
        push(run, client)


def test_old_logs(hub: Service, client: HubClient, run: RunFolder, tmp_path: Path) -> None:
    """Lines of 0.0.75, which have no checksum and NaN in them, arrive once as lines of today."""
    old = LEGACY_LINE.replace(b'"old"', f'"{RUN_ID}"'.encode())
    run.log_path.write_bytes(old * 3)
    assert [push(run, client).num_events for _ in range(2)] == [3, 0]
    brought = pull(RUN_ID, tmp_path / "there", client)
    assert list(brought.events()) == list(run.events())


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CHUNK_BYTES", 64 * 1024)


@pytest.mark.usefixtures("small_chunks")
def test_interrupted_push(hub: Service, run: RunFolder) -> None:
    """Cut off again and again, a push ends with no byte of a file sent twice."""
    save(run, "epoch_2-step_20", os.urandom(MIB))
    num_sent, num_attempts = 0, 0
    with HubClient(hub.url) as whole:
        push_of_rest = None
        while push_of_rest is None:
            num_attempts += 1
            assert num_attempts < 20
            budget = [300 * 1024]

            def goes_on(left: list[int] = budget) -> bool:
                return left[0] > 0

            def spend(num_bytes: int, left: list[int] = budget) -> None:
                left[0] -= num_bytes

            with HubClient(hub.url, goes_on=goes_on) as client:
                client.on_bytes = spend
                with suppress(HubError):
                    push_of_rest = push(run, client)
                num_sent += client.bytes_sent
        assert num_attempts >= 4
        assert push(run, whole) == Pushed()
    here = content(run.storage)
    num_bytes = sum(len(data) for name, data in here.items() if not name.endswith(MANIFEST_FILE))
    assert num_sent == num_bytes
    assert content(hub.storage) == here


@pytest.mark.usefixtures("small_chunks")
def test_killed_hub(hub: Service, run: RunFolder) -> None:
    """A hub that is killed in the middle of an upload and comes back gets the rest; the push only waits."""
    save(run, "epoch_2-step_20", os.urandom(2 * MIB))
    restarted: list[threading.Thread] = []

    client = HubClient(hub.url, patience_s=60.0)

    def kill_once(num_bytes: int) -> None:
        if not restarted and client.bytes_sent > MIB:
            hub.stop(signal.SIGKILL)
            restarted.append(threading.Thread(target=hub.start))
            restarted[0].start()

    with client:
        client.on_bytes = kill_once
        push(run, client)
        assert len(restarted) == 1
        restarted[0].join()
        assert push(run, client) == Pushed()
        here = content(run.storage)
        assert content(hub.storage) == here
        assert client.bytes_sent < sum(map(len, here.values())) + MIB // 4


def test_other_upload_begun(hub: Service, client: HubClient, run: RunFolder) -> None:
    """What somebody began to upload with another content costs one more upload, and no wrong checkpoint."""
    partial = hub.storage / RUN_ID / "0" / "checkpoints" / ".epoch_1-step_10.upload"
    partial.mkdir(parents=True)
    (partial / "model.safetensors").write_bytes(b"other")
    (partial / "state.json").write_bytes(b"much longer than it should be")
    client.send_events(RUN_ID, b"", start=None)
    push(run, client)
    assert content(hub.storage) == content(run.storage)


def test_damage_here_stays_here(hub: Service, client: HubClient, run: RunFolder) -> None:
    """A checkpoint that was damaged here does not replace anything on the hub, and is named."""
    path = save(run, "epoch_2-step_20", b"weights")
    (path / "model.safetensors").write_bytes(b"changed")
    mirror = Mirror(run, client)
    pushed = mirror.push()
    assert pushed.damaged == ("0/checkpoints/epoch_2-step_20",)
    assert pushed.num_checkpoints == 1
    assert [one.name for one in client.checkpoints(RUN_ID)] == ["epoch_1-step_10"]


def test_addresses() -> None:
    """What is no address, or nobody's, is said at once or after some patience."""
    for url in ("", "127.0.0.1:5001", "ftp://a", "http://", "http://a:x", "http://a?b"):
        with pytest.raises(HubError, match="no address of a hub"):
            HubClient(url)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with HubClient(url, patience_s=0.1) as client, pytest.raises(HubError, match="does not answer"):
            client.head("run")


def test_no_hub(tmp_path: Path) -> None:
    """A web server that is no hub is told apart."""
    with web_server() as url, HubClient(url) as client, pytest.raises(HubError, match="is it one"):
        client.head("run")
