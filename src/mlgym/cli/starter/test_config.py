"""`pytest` runs one short experiment of the config, so that a broken model shows before the long run does."""

from pathlib import Path
from typing import Any

import mlgym

CONFIG = Path(__file__).parent / "config.yml"


def test_one_epoch_runs(tmp_path: Path) -> None:
    """One experiment of one epoch succeeds and is evaluated."""
    changes: dict[str, Any] = {"experiment.epochs": 1, "model.width": 16, "optimizer.lr": 0.01}
    run = mlgym.run(CONFIG, storage=tmp_path, executor="inline", progress=False, **changes)
    assert run.num_failed == 0
    assert "val/f1_macro" in run.experiments[0].latest
