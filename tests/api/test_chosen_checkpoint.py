"""Which checkpoint `best` and `last` mean, and that none is taken for another one that is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlgym.api import chosen_checkpoint as module
from mlgym.api.chosen_checkpoint import chosen_checkpoint
from mlgym.errors import RunError
from mlgym.events import CheckpointRecord, ExperimentState
from mlgym.tracking import RunFolder
from mlgym.tracking.manifest import MANIFEST_FILE, manifest_bytes
from mlgym.tracking.places import HUB


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run with three checkpoints."""
    folder = RunFolder(tmp_path, "run")
    for epoch in (1, 2, 3):
        path = folder.checkpoints_dir(0) / f"epoch_{epoch}-step_{epoch}"
        path.mkdir(parents=True)
        (path / MANIFEST_FILE).write_bytes(manifest_bytes({}))
    return folder


def state(*reasons: list[str]) -> ExperimentState:
    """An experiment that saved a checkpoint in each epoch, for these reasons."""
    found = ExperimentState(0)
    for epoch, why in enumerate(reasons, 1):
        path = f"0/checkpoints/epoch_{epoch}-step_{epoch}"
        found.checkpoints[path] = CheckpointRecord(epoch, epoch, path, 1, {}, why)
    return found


def chosen(folder: RunFolder, one: ExperimentState, checkpoint: str) -> str:
    with chosen_checkpoint(folder, one, checkpoint) as found:
        return found.path.name


def test_the_log_says_what_is_best(folder: RunFolder) -> None:
    """The latest that is called best; the last one where none is, or where the log has lost its end."""
    marked = state(["best"], ["best", "last"], ["last"])
    assert [chosen(folder, marked, which) for which in ("best", "last")] == ["epoch_2-step_2", "epoch_3-step_3"]
    assert chosen(folder, state(["last"], ["last"]), "best") == "epoch_3-step_3"
    assert chosen(folder, marked, "epoch_1-step_1") == "epoch_1-step_1"


def test_no_other_one_is_taken_for_it(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the best or the last one is gone, the error says which it was, where it may be, and what there is."""
    marked = state(["best"], ["best"], ["last"])
    for name in ("epoch_2-step_2", "epoch_3-step_3"):
        shutil.rmtree(folder.checkpoints_dir(0) / name)
    with pytest.raises(
        RunError, match=r"the last checkpoint .*, epoch_3-step_3, is not in the run folder\. To take ano"
    ):
        chosen(folder, marked, "last")
    monkeypatch.setattr(module, "recorded_place", lambda _: HUB)
    with pytest.raises(RunError, match=r"epoch_2-step_2, .*`mlgym checkpoints run --fetch --rest-endpoint URL` brings"):
        chosen(folder, marked, "best")
    assert chosen(folder, marked, "epoch_1-step_1") == "epoch_1-step_1"
