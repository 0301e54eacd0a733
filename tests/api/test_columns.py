"""Frames and reports of runs whose components are called like columns."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import mlgym

FRACTIONS = {"train": 0.6, "val": 0.4}
CONFIG = {
    "version": 1,
    "components": {
        "data": mlgym.use("iris"),
        "split": {
            "sweep": [
                mlgym.use("random_split", dataset="$data", fractions=FRACTIONS),
                mlgym.use("stratified_split", dataset="$data", fractions=FRACTIONS),
            ]
        },
        "loaders": mlgym.use("data_loaders", datasets="$split", batch_size=30),
        "model": mlgym.use("mlp", hidden=[4]),
        "optimizer": mlgym.use("adam", model="$model"),
        "best": mlgym.use("cross_entropy", label_smoothing=0.1),
        "status": {"sweep": [mlgym.use("accuracy"), mlgym.use("f1")]},
        "trainer": mlgym.use("trainer", model="$model", optimizer="$optimizer", loss="$best", loader="$loaders.train"),
        "evaluator": mlgym.use("evaluator", model="$model", loss="$best", loaders="$loaders", metrics=["$status"]),
    },
    "experiment": mlgym.use("training", trainer="$trainer", evaluator="$evaluator", epochs=1),
}


def test_a_component_may_be_called_like_a_column(tmp_path: Path) -> None:
    """Swept components `split` and `status` have columns of their own beside the tables' columns of that name."""
    run = mlgym.run(CONFIG, storage=tmp_path, executor="inline", progress=False)
    assert run.exit_code == 0, run.report()
    frame = run.metrics()
    assert set(frame["split"]) == {"train", "val"}
    assert set(frame["components.split"]) == {"random_split", "stratified_split"}
    assert set(frame["status"]) == {"accuracy", "f1"}
    rows = list(csv.DictReader(io.StringIO(run.report("val/loss").to_csv())))
    assert {row["status"] for row in rows} == {"done"}
    assert {row["components.status"] for row in rows} == {"accuracy", "f1"}
    assert {row["split"] for row in rows} == {"random_split", "stratified_split"}
