"""A run that goes to a hub while it runs is gone on with on another machine, and ends as if nothing had been."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlgym
from mlgym.events import EventLog
from mlgym.tracking.hub_client import HubClient
from tests.integration.test_resume import CONFIG, digests, results, send_when, start, state
from tests.server.service import Service, free_port

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


def test_another_machine(hub: Service, config: Path, tmp_path: Path) -> None:
    """Killed, its folder lost, the run comes from the hub: the results are those of an undisturbed run, each once."""
    undisturbed = mlgym.run(config, storage=tmp_path / "undisturbed", run_id="run", progress=False)
    assert undisturbed.exit_code == 0
    lost = tmp_path / "lost"
    program = start("run", str(config), "--run-id", "run", "--storage", str(lost), "--rest-endpoint", hub.url)
    with HubClient(hub.url) as client:
        assert send_when(program, signal.SIGKILL, lambda: bool(client.checkpoints("run"))) == -9
        shutil.rmtree(lost)
        resumed = mlgym.resume("run", storage=tmp_path / "new", rest_endpoint=hub.url, progress=False)
        assert (resumed.exit_code, resumed.status) == (0, "finished")
        assert digests(tmp_path / "new") == digests(tmp_path / "undisturbed")
        assert results(tmp_path / "new") == results(tmp_path / "undisturbed")
    log = (tmp_path / "new" / "run" / "event_storage.log").read_bytes()
    assert (hub.storage / "run" / "event_storage.log").read_bytes() == log
    assert results(hub.storage) == results(tmp_path / "undisturbed")


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
