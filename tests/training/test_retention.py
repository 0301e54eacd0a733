"""Which checkpoints stand: those of the strategy, and the newest of those taken within an epoch."""

from __future__ import annotations

import json
from pathlib import Path

from mlgym.tracking.manifest import MANIFEST_FILE
from mlgym.training.retention import Retention
from mlgym.training.strategies import CheckpointStrategy, KeepAll, KeepBest, KeepLast, Snapshot


def _at(epoch: int, step: int, loss: float = 0.0) -> Snapshot:
    return Snapshot(epoch, step, {"val/loss": loss})


def _names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


def test_one_within_an_epoch_replaces_the_one_before(tmp_path: Path) -> None:
    """Only the newest is kept, and goes with the next of the strategy."""
    assert Retention(KeepAll(), tmp_path).newest is None
    retention = Retention(KeepAll(), tmp_path)
    assert retention.within_epoch(_at(0, 2)) == ()
    assert _names(retention.within_epoch(_at(0, 4))) == ["epoch_0-step_2"]
    assert retention.names == {"epoch_0-step_4"}
    reasons, replaced = retention.after_epoch(_at(1, 5))
    assert (reasons, _names(replaced)) == (("all",), ["epoch_0-step_4"])
    assert retention.newest == _at(1, 5)
    assert retention.names == {"epoch_1-step_5"}


def test_an_epoch_that_is_not_kept_leaves_the_passing_one(tmp_path: Path) -> None:
    """There must be something to go on from."""
    retention = Retention(KeepBest("val/loss", "min"), tmp_path)
    retention.after_epoch(_at(1, 5, 1.0))
    retention.within_epoch(_at(1, 8))
    assert retention.after_epoch(_at(2, 10, 2.0)) == ((), ())
    assert retention.names == {"epoch_1-step_5", "epoch_1-step_8"}
    assert retention.newest == _at(1, 8)
    reasons, replaced = retention.after_epoch(_at(3, 15, 0.5))
    assert reasons == ("best",)
    assert sorted(_names(replaced)) == ["epoch_1-step_5", "epoch_1-step_8"]


def test_the_same_moment_again_replaces_nothing(tmp_path: Path) -> None:
    """A checkpoint does not delete itself."""
    retention = Retention(KeepAll(), tmp_path)
    retention.within_epoch(_at(0, 2))
    assert retention.within_epoch(_at(0, 2)) == ()


def test_goes_on_from_its_state(tmp_path: Path) -> None:
    """It decides as it would have; what is gone from the disk meanwhile, or has lost its manifest, is forgotten."""

    def filled(strategy: CheckpointStrategy) -> Retention:
        retention = Retention(strategy, tmp_path)
        retention.after_epoch(_at(1, 5, 1.0))
        retention.after_epoch(_at(2, 10, 2.0))
        retention.within_epoch(_at(2, 12))
        return retention

    for name in ("epoch_1-step_5", "epoch_2-step_10", "epoch_2-step_12"):
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST_FILE).touch()
    before, after = filled(KeepLast(2)), Retention(KeepLast(2), tmp_path)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert after.names == before.names
    assert after.newest == before.newest
    assert after.after_epoch(_at(3, 15)) == before.after_epoch(_at(3, 15))
    (tmp_path / "epoch_1-step_5" / MANIFEST_FILE).unlink()
    late = Retention(KeepLast(2), tmp_path)
    late.load_state_dict(filled(KeepLast(2)).state_dict())
    assert late.names == {"epoch_2-step_10", "epoch_2-step_12"}
