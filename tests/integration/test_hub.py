"""A run that goes to a hub while it runs is gone on with on another machine, and ends as if nothing had been."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlgym
from mlgym.events import EventLog
from mlgym.events.writer_mark import MARK
from mlgym.server.senders import announce
from mlgym.tracking import pull
from mlgym.tracking.hub_client import HubClient
from tests.integration.test_resume import CONFIG, digests, held, results, send_when, start, state
from tests.server.gate import Gate
from tests.server.service import ALL, Service, free_port
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("hub") / "storage") as running:
        yield running


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "small.yml"
    file.write_text(json.dumps(CONFIG))
    return file


def test_another_machine(hub: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, its folder lost, the run comes from the hub: the results are those of an undisturbed run, each once."""
    config, hold = held(tmp_path, after_batches=100), tmp_path / "hold"
    hold.unlink()
    undisturbed = mlgym.run(config, storage=tmp_path / "undisturbed", run_id="run", progress=False)
    assert undisturbed.exit_code == 0
    lost = tmp_path / "lost"
    hold.touch()
    program = start("run", str(config), "--run-id", "run", "--storage", str(lost), "--rest-endpoint", hub.url)
    with HubClient(hub.url) as client:
        assert send_when(program, signal.SIGKILL, lambda: client.checkpoints("run")) == -9
        hold.unlink()
        monkeypatch.setattr(pull, "_WATCH_S", 0.5)  # nothing more comes of it
        announce(hub.storage / "run", 0.0)  # it had announced itself for 20 s, which nobody has to wait for here
        # Nothing is left of it but an older copy.
        lost.rename(tmp_path / "older")
        older = tmp_path / "older" / "run" / "event_storage.log"
        older.write_bytes(b"".join(older.read_bytes().splitlines(keepends=True)[:20]))
        for checkpoints in older.parent.glob("*/checkpoints"):
            shutil.rmtree(checkpoints)
        resumed = mlgym.resume("run", storage=tmp_path / "new", rest_endpoint=hub.url, progress=False)
        assert (resumed.exit_code, resumed.status) == (0, "finished")
        assert digests(tmp_path / "new") == digests(tmp_path / "undisturbed")
        assert results(tmp_path / "new") == results(tmp_path / "undisturbed")
    log = (tmp_path / "new" / "run" / "event_storage.log").read_bytes()
    assert (hub.storage / "run" / "event_storage.log").read_bytes() == log
    assert results(hub.storage) == results(tmp_path / "undisturbed")
    # The older copy has nothing left to do, once it has what came after it.
    assert mlgym.resume("run", storage=tmp_path / "older", rest_endpoint=hub.url, progress=False).exit_code == 0
    assert older.read_bytes() == log


def test_no_hub(config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A hub that is away costs a warning that says what to do; `mlgym sync` does it, and again without effect."""
    port = free_port()
    with caplog.at_level(logging.WARNING):
        run = mlgym.run(
            config,
            overrides=["experiment.epochs=1"],
            storage=tmp_path,
            run_id="run",
            rest_endpoint=f"http://127.0.0.1:{port}",
            progress=False,
        )
    assert run.exit_code == 0
    assert f"`mlgym sync run --to http://127.0.0.1:{port}`" in caplog.text
    assert state(tmp_path).status == "finished"
    with Service(tmp_path / "hub", port) as hub:
        for num_checkpoints in (len(list(tmp_path.glob("run/*/checkpoints/*"))), 0):
            command = [sys.executable, "-m", "mlgym", "sync", "run", "--to", hub.url, "--storage", str(tmp_path)]
            sent = subprocess.run([*command, "--json"], capture_output=True, check=True, text=True)
            assert json.loads(sent.stdout)["num_checkpoints"] == num_checkpoints
    with EventLog.open(tmp_path / "hub" / "run" / "event_storage.log") as log:
        assert log.num_events > 0
    assert results(tmp_path / "hub") == results(tmp_path)


def test_live_to_several_hubs(tmp_path: Path) -> None:
    """Two hubs get the events of a run as they happen, one is killed meanwhile; the one with files gets these, too."""
    config = held(tmp_path, after_batches=100)
    one = Service(tmp_path / "one", program=ALL)
    here = tmp_path / "here" / "run" / "event_storage.log"
    with one, Service(tmp_path / "two", program=ALL) as two:
        servers = ["--websocket-logging-servers", one.url, two.url, "--rest-endpoint", two.url]
        program = start("run", str(config), "--run-id", "run", "--storage", str(tmp_path / "here"), *servers)
        for hub in (one, two):
            wait_for((hub.storage / "run" / here.name).exists)
        one.stop(signal.SIGKILL)
        wait_for(lambda: state(tmp_path / "here").counts["running"] > 0)
        one.start()
        wait_for(lambda: (one.storage / "run" / here.name).read_bytes() == here.read_bytes())
        (tmp_path / "hold").unlink()
        _, said = program.communicate(timeout=240)
        assert program.returncode == 0, said
        assert state(tmp_path / "here").status == "finished"
        for hub in (one, two):
            assert (hub.storage / "run" / here.name).read_bytes() == here.read_bytes()
        sent = subprocess.run(
            [
                sys.executable,
                "-m",
                "mlgym",
                "sync",
                "run",
                "--to",
                two.url,
                "--storage",
                str(tmp_path / "here"),
                "--json",
            ],
            capture_output=True,
            check=True,
            text=True,
        )
        assert not any(json.loads(sent.stdout)[f"num_{kind}"] for kind in ("events", "files", "checkpoints"))
    assert said.count("`mlgym sync run --to") <= 1


def test_the_folder_of_the_hub(config: Path, tmp_path: Path) -> None:
    """A run in the hub's own folder that also streams there stands there once."""
    with Service(tmp_path, program=ALL) as hub:
        run = mlgym.run(
            config,
            overrides=["experiment.epochs=1"],
            storage=tmp_path,
            run_id="run",
            websocket_logging_servers=[hub.url],
            rest_endpoint=hub.url,
            progress=False,
        )
        assert run.exit_code == 0
    assert set(results(tmp_path).values()) == {1}


@pytest.mark.parametrize("num_kills", [6])
def test_killed_sync(num_kills: int, tmp_path: Path) -> None:
    """`mlgym sync`, killed again and again in the middle of files, ends with all of the run on the hub."""
    with mlgym.track("large", storage=tmp_path / "here", run_id="run") as tracked:
        for number in range(3):
            (tmp_path / "file").write_bytes(os.urandom(24 * 2**20))
            tracked.log_artifact(tmp_path / "file", f"file {number}")
            tracked.log({"val/f1": 0.1 * number})
    with Service(tmp_path / "hub", program=ALL) as hub, Gate(hub.port) as gate:
        arguments = ("sync", "run", "--to", gate.url, "--storage", str(tmp_path / "here"))
        for _ in range(num_kills):
            gate.let_through(72 * 2**20 // (num_kills + 1))
            assert send_when(start(*arguments), signal.SIGKILL, lambda: gate.is_held) == -signal.SIGKILL
        gate.let_through()
        _, said = start(*arguments, "--json").communicate(timeout=120)
        assert said == ""
        there = {path.relative_to(hub.storage): path.read_bytes() for path in files(hub.storage / "run")}
        here = {path.relative_to(tmp_path / "here"): path.read_bytes() for path in files(tmp_path / "here" / "run")}
        here.pop(Path("run") / MARK)  # of this machine alone
        assert there == here


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(folder / ".cache")]
