"""Experiments that score what their config says, and wait or fail when a file says so."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlgym.components.data import TensorData
from mlgym.config import register
from mlgym.events import EvaluationResult, MetricScore
from mlgym.training import ExperimentContext
from mlgym.validation.splitter import Indices, Rows


@register("unsteady_data")
def unsteady_data(num_rows: int = 24) -> TensorData:
    """Gives rows that are their own number."""
    return TensorData(torch.arange(float(num_rows))[:, None], torch.arange(num_rows) % 2)


@register("every_other")
class EveryOther:
    """A way to split of one's own: even rows or odd ones."""

    num_folds = 2

    def split(self, rows: Rows) -> Iterator[tuple[Indices, Indices]]:
        """See `Splitter`."""
        places = np.arange(rows.num_rows)
        yield places[1::2], places[::2]
        yield places[::2], places[1::2]


@register("unsteady")
class Unsteady:
    """Scores `quality` on each part but `train`, a little less on later folds.

    Args:
        datasets: the parts.
        quality: the score.
        failing: file with the numbers of the experiments that fail; none where it does not exist. Those in the file
            `held.json` beside it wait for as long as that is there.
        fold: see `$run.fold`.
    """

    def __init__(self, datasets: dict[str, Any], quality: float, failing: str, fold: int | None) -> None:
        self.datasets = datasets
        self.quality = quality
        self.failing = Path(failing)
        self.fold = fold

    def run(self, context: ExperimentContext) -> None:
        """See `Experiment`."""
        held = self.failing.with_name("held.json")
        with suppress(FileNotFoundError):
            while context.experiment_id in json.loads(held.read_text()):
                time.sleep(0.02)
        if self.failing.exists() and context.experiment_id in json.loads(self.failing.read_text()):
            raise ValueError("as the file says")
        context.sink.emit(
            EvaluationResult(
                grid_search_id=context.run_id,
                experiment_id=context.experiment_id,
                epoch=1,
                step=1,
                metric_scores=[
                    MetricScore("score", part, self.quality - 0.01 * (self.fold or 0))
                    for part in self.datasets
                    if part != "train"
                ],
                loss_scores=[],
            )
        )


def unsteady_config(failing: Path, qualities: list[float], **validation: Any) -> dict[str, Any]:
    """Gives a config with three parts and one configuration for each quality."""
    fractions = {"train": 0.6, "val": 0.2, "test": 0.2}
    return {
        "imports": ["tests.integration.unsteady"],
        "components": {
            "data": {"use": "unsteady_data"},
            "split": {"use": "random_split", "dataset": "$data", "fractions": fractions},
        },
        "experiment": {
            "use": "unsteady", "datasets": "$split", "quality": {"sweep": qualities}, "failing": str(failing),
            "fold": "$run.fold",
        },
        "validation": {
            "mode": "nested_cross_validation", "outer_folds": 3, "inner_folds": 2,
            "select": {"metric": "val/score", "best": "max"}, **validation,
        },
    }  # fmt: skip
