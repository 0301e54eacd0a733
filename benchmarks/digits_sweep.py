"""The config of which several benchmarks measure what surrounds it: many runs of a tiny network on digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlgym.config import Document, load

ONE_SHORT_EPOCH = ("experiment.epochs=1", "experiment.steps_per_epoch=20")


def digits_sweep(
    learning_rates: Any, changes: Sequence[str] = (), *, validation: dict[str, Any] | None = None
) -> Document:
    """Gives a config that trains an MLP (64-64-10), without early stopping, with one learning rate after the other.

    Args:
        learning_rates: what `sweep` takes.
        changes: as on the command line.
        validation: that section; None for the grid.
    """
    config: dict[str, Any] = {
        "version": 1,
        "extends": "preset/classification",
        "components": {
            "data": {"use": "digits"},
            "model": {"use": "mlp", "hidden": [64]},
            "optimizer": {"use": "adam", "model": "$model", "lr": {"sweep": learning_rates}},
        },
    }
    if validation is not None:
        config["validation"] = validation
    return load(config, [*changes, "experiment.early_stopping=[]"])
