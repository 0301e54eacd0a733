"""Real runs whose checkpoints stand elsewhere, too: they go on from there, and repeat their digests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import mlgym
from mlgym.api import checkpoints_of, export_weights
from mlgym.api.checkpoint_places import fetch_checkpoints, place_of, send_checkpoints
from mlgym.config import dump_yaml
from mlgym.errors import PlaceError, RunError
from mlgym.tracking import RunFolder
from tests.integration.test_resume import CONFIG as SMALL
from tests.integration.test_resume import digests
from tests.programs import environment
from tests.server.service import Service
from tests.waiting import wait_for

CONFIG: dict[str, Any] = {**SMALL, "experiment": {**SMALL["experiment"], "epochs": 15}}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("hub")) as running:
        yield running


def launch(storage: Path, *, epochs: int = 15, checkpoint_place: str | None = None, keep: bool = True) -> mlgym.Run:
    return mlgym.run(
        CONFIG | {"experiment": {**CONFIG["experiment"], "epochs": epochs}},
        storage=storage,
        run_id="run",
        executor="inline",
        checkpoint_place=checkpoint_place,
        local_checkpoints=keep,
        progress=False,
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """Digests of fifteen epochs that nothing happened to."""
    storage = tmp_path_factory.mktemp("plain")
    launch(storage)
    return digests(storage)


@pytest.mark.parametrize("kind", ["file", "hub"])
def test_killed_and_moved_it_goes_on_from_the_place(
    kind: str, hub: Service, expected: dict[int, Any], tmp_path: Path
) -> None:
    """A driver and its workers are killed, their disk with all checkpoints is lost: the digests are the same.

    The newest is damaged where it stands, so that the one before it is taken.
    """
    storage = tmp_path / "here"
    shutil.rmtree(hub.storage / "run", ignore_errors=True)
    options = ["--checkpoint-place", f"file://{tmp_path}/place"]
    there, rest_endpoint = tmp_path / "place/run", None
    if kind == "hub":
        options = ["--checkpoint-place", "hub", "--rest-endpoint", hub.url]
        there, rest_endpoint = hub.storage / "run", hub.url
    hold = tmp_path / "hold"
    hold.touch()
    (tmp_path / "config.yml").write_text(dump_yaml(held(hold, after_batches=325)))
    command = [sys.executable, "-m", "mlgym", "run", str(tmp_path / "config.yml"), "--storage", str(storage)]
    command += ["--run-id", "run", "experiment.checkpoints={use: keep_all}", "--no-local-checkpoints", "-p", "1"]
    driver = subprocess.Popen([*command, *options], env=environment(), stderr=subprocess.DEVNULL)
    try:
        newest = there / "0/checkpoints/epoch_4-step_320"
        wait_for(lambda: driver.poll() is not None or (newest / "manifest.json").exists())
        assert driver.poll() is None
        workers = psutil.Process(driver.pid).children(recursive=True)
    finally:
        driver.kill()
        driver.wait()
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    assert not psutil.wait_procs(workers, timeout=60)[1]
    hold.unlink()
    for checkpoints in (storage / "run").glob("*/checkpoints"):
        shutil.rmtree(checkpoints)
    model = newest / "model.safetensors"
    weights = model.read_bytes()
    model.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    resumed = mlgym.resume("run", storage=storage, progress=False, rest_endpoint=rest_endpoint)
    assert resumed.exit_code == 0
    assert digests(storage) == expected
    warned = [event["payload"]["message"] for _, event in RunFolder(storage, "run").events() if _is_warning(event)]
    assert any("should have" in text or "does not match its manifest" in text for text in warned)
    assert not list((storage / "run").glob("*/checkpoints/epoch_*"))
    standing = {path.parent.name for path in (there / "0/checkpoints").glob("*/manifest.json")}
    assert standing == {Path(path).name for path in resumed.experiment(0).state.checkpoints}


def held(hold: Path, *, after_batches: int) -> dict[str, Any]:
    """The config, with a loss that waits while a file is there."""
    loss = {"use": "held_cross_entropy", "hold": str(hold), "after_batches": after_batches}
    return {**CONFIG, "imports": ["tests.held_loss"], "components": {**CONFIG["components"], "loss": loss}}


def _is_warning(event: dict[str, Any]) -> bool:
    return bool(event["event_type"] == "log" and event["payload"]["level"] == "warning")


def test_whoever_looks_finds_what_stands_elsewhere(tmp_path: Path) -> None:
    """Listing, exporting and loading reach the place; sending and fetching make both alike."""
    storage, place_url = tmp_path / "here", f"file://{tmp_path}/place"
    run = launch(storage, checkpoint_place=place_url, keep=False, epochs=2)
    folder = RunFolder(storage, "run")
    assert not list((storage / "run").glob("*/checkpoints/epoch_*"))
    with place_of(folder) as place:
        found = checkpoints_of(run, verify=True, place=place)
        assert {(one.place, one.saved_at, one.damage) for one in found} == {(place_url, None, None)}
        assert all(one.damage for one in checkpoints_of(run))
        target = tmp_path / "weights.safetensors"
        exported = export_weights(run, 0, target)
        assert exported.name in {one.name for one in found}
        assert sum(parameter.numel() for parameter in run.experiment(0).load_model().parameters()) > 0
        assert not list((storage / "run").glob("*/checkpoints/epoch_*"))
        assert place is not None
        brought = fetch_checkpoints(folder, run.state, place)
        assert sorted(brought) == sorted(path for one in run.experiments for path in one.state.checkpoints)
        shutil.rmtree(tmp_path / "place/run/1")
        assert send_checkpoints(folder, run.state, place) == sorted(run.experiment(1).state.checkpoints)
        assert send_checkpoints(folder, run.state, place) == []
        assert all(one.place and one.saved_at for one in checkpoints_of(run, verify=True, place=place))
    shutil.rmtree(tmp_path / "place")
    shutil.rmtree(storage / "run/0/checkpoints")
    with pytest.raises(RunError, match=r"has no checkpoint `best`; it has none here; those at file://"):
        export_weights(run, 0, tmp_path / "other.safetensors")


def test_a_taken_place_leaves_no_run_behind(tmp_path: Path) -> None:
    """Another run of the same id cannot mix its checkpoints with those that are there."""
    url = f"file://{tmp_path}/place"
    launch(tmp_path / "a", checkpoint_place=url, epochs=1)
    before = sorted((tmp_path / "place").rglob("*"))
    with pytest.raises(PlaceError, match="has a run `run` already"):
        launch(tmp_path / "b", checkpoint_place=url, epochs=1)
    assert sorted((tmp_path / "place").rglob("*")) == before
    assert not list((tmp_path / "b").iterdir())
