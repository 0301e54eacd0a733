"""Real runs of FSDP: each process writes its share, and any number of devices goes on from them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mlgym
from mlgym.api import checkpoints_of, export_weights
from mlgym.events import read_log
from mlgym.tracking import RunFolder
from tests.integration.test_resume import CONFIG as SMALL
from tests.integration.test_resume import digests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONFIG: dict[str, Any] = {
    **SMALL,
    "components": {
        **SMALL["components"],
        # Seven rows: one of four devices has a share of one row, and of two outputs more than its rows.
        "model": {"use": "mlp", "hidden": [7], "dropout": 0.2},
        "optimizer": {"use": "adam", "model": "$model", "lr": 1e-2},
        "trainer": {"parallelism": {"use": "fsdp"}},
    },
    "experiment": {**SMALL["experiment"], "checkpoint_every_n_steps": None},
}


def launch(storage: Path, epochs: int) -> mlgym.Run:
    config = CONFIG | {"experiment": {**CONFIG["experiment"], "epochs": epochs}}
    return mlgym.run(config, storage=storage, run_id="run", devices_per_experiment=2, progress=False)


def go_on(storage: Path, devices: int, checkpoint_place: str | None = None) -> mlgym.Run:
    resumed = mlgym.resume(
        "run",
        storage=storage,
        epochs=3,
        executor="inline" if devices == 1 else None,
        devices_per_experiment=devices,
        checkpoint_place=checkpoint_place,
        local_checkpoints=False if checkpoint_place else None,
        progress=False,
    )
    assert resumed.exit_code == 0
    return resumed


def test_any_number_of_devices_goes_on_from_what_two_wrote(tmp_path: Path) -> None:
    """On two the digests are those of an uninterrupted run; on four and on one it goes on, and the log says so."""
    launch(tmp_path / "whole", 3)
    run = launch(tmp_path / "two", 2)
    assert run.exit_code == 0
    (newest,) = [one for one in checkpoints_of(run, verify=True) if "last" in one.reasons]
    folder = RunFolder(tmp_path / "two", "run").checkpoints_dir(0) / newest.name
    shards = [f"shard-0000{number}-of-00002.safetensors" for number in (1, 2)]
    assert {path.name for path in folder.iterdir()} >= {*shards, "model.safetensors", "state.json", "manifest.json"}
    for devices in (1, 4):
        shutil.copytree(tmp_path / "two", tmp_path / str(devices))

    export_weights(run, 0, tmp_path / "weights.safetensors", checkpoint="last")
    weights = load_file(tmp_path / "weights.safetensors")
    model = run.experiment(0).load_model("last")
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())

    # The run folder lacks them, and what is fetched goes once it stands there: after both processes have read it.
    place = tmp_path / "place/run/0/checkpoints"
    place.parent.mkdir(parents=True)
    folder.parent.rename(place)
    go_on(tmp_path / "two", 2, f"file://{tmp_path}/place")
    assert len(list(place.glob("epoch_3-*/shard-*"))) == 2
    assert not list(folder.parent.glob("epoch_*"))
    assert digests(tmp_path / "two") == digests(tmp_path / "whole")
    for devices in (1, 4):
        resumed = go_on(tmp_path / str(devices), devices)
        assert resumed.experiment(0).state.lineage == 1
        events = [event for _, event in read_log(RunFolder(tmp_path / str(devices), "run").log_path)]
        warned = [event["payload"]["message"] for event in events if event["event_type"] == "log"]
        assert any(f"trained on 2 devices so far, and on {devices} from here on" in text for text in warned)
        assert any(event["event_type"] == "experiment_resumed" for event in events)
