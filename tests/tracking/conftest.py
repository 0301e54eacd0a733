"""A hub, and a run with something of everything."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgym.events import EventLog, Payload, Producer
from mlgym.tracking import RunFolder, create_run_folder
from mlgym.tracking.artifacts import save_artifact
from mlgym.tracking.hub_client import HubClient
from mlgym.tracking.manifest import MANIFEST_FILE, FileEntry, manifest_bytes
from tests.events.samples import RUN_ID, lines
from tests.server.service import ALL, Service

MIB = 2**20


@pytest.fixture(scope="module")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("hub"), program=ALL) as running:
        yield running


@pytest.fixture
def hub(shared_hub: Service) -> Service:
    """A hub that does not know the run."""
    shutil.rmtree(shared_hub.storage / RUN_ID, ignore_errors=True)
    return shared_hub


@pytest.fixture
def client(hub: Service) -> Iterator[HubClient]:
    with HubClient(hub.url) as one:
        yield one


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with configs, a hundred events, some of them without a producer, a checkpoint and an artifact."""
    folder = create_run_folder(tmp_path / "here", RUN_ID)
    folder.log_path.write_bytes(b"".join(lines(100)))
    folder.write_text("run_config.yml", "threads: 1\n")
    for experiment_id in range(2):
        folder.write_json(f"{experiment_id}/experiment_config.json", {"lr": experiment_id})
    save(folder, "epoch_1-step_10", os.urandom(1000))
    save_artifact(folder, 1, "curve", 0, "curve.png", lambda path: path.write_bytes(os.urandom(500)))
    return folder


def save(folder: RunFolder, name: str, weights: bytes, experiment_id: int = 0) -> Path:
    """Writes a checkpoint of two files."""
    path = folder.checkpoints_dir(experiment_id) / name
    path.mkdir(parents=True)
    files = {"model.safetensors": weights, "state.json": b"{}"}
    entries = {}
    for file, content in files.items():
        (path / file).write_bytes(content)
        entries[file] = FileEntry(len(content), hashlib.sha256(content).hexdigest())
    (path / MANIFEST_FILE).write_bytes(manifest_bytes(entries))
    return path


def write(folder: RunFolder, *payloads: Payload) -> None:
    producer = Producer()
    with EventLog.open(folder.log_path) as log:
        log.append([producer.event(payload) for payload in payloads])


def content(storage: Path) -> dict[str, bytes]:
    """Every file of the run by its path, hidden ones too."""
    folder = storage / RUN_ID
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
