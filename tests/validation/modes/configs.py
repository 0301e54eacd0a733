"""A small config on real data, and short ways to see what a mode makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlgym.config import Plan, check, load
from mlgym.errors import ConfigError

DIGITS: dict[str, Any] = {
    "version": 1,
    "name": "digits",
    "seed": 3,
    "extends": "preset/classification",
    "components": {
        "data": {"use": "digits"},
        "model": {"use": "mlp", "hidden": [8]},
        "optimizer": {"use": "adam", "model": "$model", "lr": {"sweep": [0.1, 0.01]}},
    },
}
WITHOUT_PRESET: dict[str, Any] = {
    "version": 1,
    "seed": 3,
    "components": {
        "data": {"use": "digits"},
        "split": {"use": "random_split", "dataset": "$data", "fractions": {"train": 0.8, "val": 0.2}},
        "loaders": {
            "use": "data_loaders", "datasets": {"train": "$split.train", "val": "$split.val"}, "batch_size": 64,
        },
        "model": {"use": "mlp", "hidden": [8]},
        "optimizer": {"use": "adam", "model": "$model", "lr": {"sweep": [0.1, 0.01]}},
        "loss": {"use": "cross_entropy"},
        "trainer": {
            "use": "trainer", "model": "$model", "optimizer": "$optimizer", "loss": "$loss", "loader": "$loaders.train",
        },
        "evaluator": {
            "use": "evaluator", "model": "$model", "loss": "$loss", "loaders": "$loaders",
            "metrics": [{"use": "f1", "average": "macro"}],
        },
    },
    "experiment": {"use": "training", "trainer": "$trainer", "evaluator": "$evaluator", "epochs": 2},
}  # fmt: skip


def with_validation(config: Mapping[str, Any], mode: str, **settings: Any) -> dict[str, Any]:
    """Gives a config with another section `validation`."""
    return {**config, "validation": {"mode": mode, **settings}}


def plan_of(config: Mapping[str, Any], mode: str, overrides: Sequence[str] = (), **settings: Any) -> Plan:
    """Gives the plan of a config under a mode."""
    return check(load(with_validation(config, mode, **settings), overrides))


def faults_of(config: Mapping[str, Any], mode: str, overrides: Sequence[str] = (), **settings: Any) -> list[str]:
    """Gives what is wrong, without the place."""
    try:
        plan_of(config, mode, overrides, **settings)
    except ConfigError as error:
        return [f"{fault.path}: {fault.message}" for fault in error.faults]
    return []


def split_of(plan: Plan, number: int) -> dict[str, Any]:
    """Gives what the split of an experiment has become."""
    split: dict[str, Any] = plan[number].config["components"]["split"]
    return split


def short_cuts(plan: Plan, number: int) -> list[tuple[Any, ...]]:
    """Gives the cuts of an experiment's split as (part, way to split, fold)."""
    return [(cut["part"], cut["folds"]["use"], cut["fold"]) for cut in split_of(plan, number)["cuts"]]
