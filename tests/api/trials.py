"""Small runs to be reproduced, and an answer of its own to where two logs part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlgym.api import Run, run
from mlgym.api.reproduction import reproduce
from mlgym.reproduction.verdict import Verdict

DIGITS: dict[str, Any] = {
    "version": 1,
    "name": "trial",
    "seed": 3,
    "extends": "preset/classification",
    "components": {
        "data": {"use": "digits"},
        "model": {"use": "mlp", "hidden": [8], "dropout": 0.2},
        "optimizer": {"use": "adam", "model": "$model", "lr": {"sweep": [0.01, 0.003]}},
        "schedule": {"use": "multi_step_lr", "optimizer": "$optimizer", "milestones": [3]},
        "trainer": {"lr_scheduler": "$schedule"},
        "loaders": {"batch_size": 64},
    },
    "experiment": {"epochs": 4},
}

NOISY: dict[str, Any] = {
    "version": 1,
    "name": "noisy",
    "seed": 5,
    "imports": ["tests.integration.noisy"],
    "components": {
        "data": {"use": "noisy_points"},
        "loaders": {"use": "data_loaders", "datasets": {"train": "$data"}, "batch_size": 8},
        "model": {"use": "dropout_net"},
        "optimizer": {"use": "sgd", "model": "$model", "lr": 0.05, "momentum": 0.9},
        "loss": {"use": "cross_entropy"},
        "trainer": {
            "use": "trainer", "model": "$model", "optimizer": "$optimizer", "loss": "$loss", "loader": "$loaders.train",
        },
        "evaluator": {"use": "evaluator", "model": "$model", "loss": "$loss", "loaders": "$loaders"},
    },
    "experiment": {"use": "training", "trainer": "$trainer", "evaluator": "$evaluator", "epochs": 3},
}  # fmt: skip


def first_run(config: dict[str, Any], storage: Path, **options: Any) -> Run:
    """Gives a finished run of a config, made in this process unless told otherwise."""
    finished = run(config, storage=storage, progress=False, **{"executor": "inline", **options})
    assert finished.exit_code == 0
    return finished


def again(storage: Path, run_id: str, **options: Any) -> Verdict:
    """Gives the verdict on one experiment that is run again."""
    (verdict,) = reproduce(run_id, storage=storage, progress=False, **options)
    return verdict


def states(folder: Path, experiment_id: int = 0) -> dict[int, tuple[str, str]]:
    """Gives the hashes at the end of each epoch straight from the lines of a log."""
    found: dict[int, tuple[str, str]] = {}
    for line in (folder / "event_storage.log").read_text().splitlines():
        event = json.loads(line)
        payload = event["payload"]
        if event["event_type"] == "digest" and payload["experiment_id"] == experiment_id:
            found.setdefault(payload["epoch"], (payload["parameters"], payload["optimizer"]))
    return found


def first_other_epoch(one: Path, other: Path) -> int | None:
    """Gives the first epoch after which two runs are in different states; None where there is none."""
    before, after = states(one), states(other)
    assert before
    assert after
    return next((epoch for epoch in sorted(before.keys() & after.keys()) if before[epoch] != after[epoch]), None)


def verdict_events(folder: Path) -> list[dict[str, Any]]:
    """Gives the verdicts that a log holds."""
    events = map(json.loads, (folder / "event_storage.log").read_text().splitlines())
    return [event["payload"] for event in events if event["event_type"] == "reproduction_verdict"]
