"""The model card of an experiment: what was recorded of model, data, training, metrics, machine and proof."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mlgym.events import CheckpointRecord, ExperimentState, ReproductionRecord
from mlgym.server.api.table import Table, value_of
from mlgym.tracking import RunFolder

_REFERENCE: Final = re.compile(r"\$([A-Za-z_]\w*)(?:\.\w+)*")
_EMISSIONS: Final = "emissions.csv"
"""What `codecarbon` writes; within the folder of the experiment or of the run."""


def model_card(folder: RunFolder, table: Table, experiment: ExperimentState) -> dict[str, Any]:
    """Gives a `ModelCard`.

    Args:
        folder: of the run, for what `codecarbon` left there.
        table: the run; its projection is held.
        experiment: one of it.
    """
    from mlgym.config import config_id  # takes longer to import than a service to start

    state, parts = table.view.state, Parts(experiment.config)
    trainer = parts.trainer
    model, size = parts.follow(trainer.get("model", "$model")), experiment.model
    return {
        "run_id": folder.run_id,
        "experiment_id": experiment.experiment_id,
        "at": table.view.at,
        "run_name": state.name,
        "model": {
            "name": _name_of(model) or (size.name if size else None),
            "config": model,
            "num_parameters": size.num_parameters if size else None,
            "num_trainable_parameters": size.num_trainable_parameters if size else None,
            "num_bytes": size.num_bytes if size else None,
        },
        "data": _data(parts, experiment),
        "training": _training(table, parts, experiment),
        "metrics": _metrics(table, experiment),
        "environment": state.environment,
        "energy": energy_of(folder, experiment.experiment_id),
        "checkpoints": [checkpoint_facts(one) for one in experiment.checkpoints.values()],
        "command": state.command,
        "versions": state.versions,
        "reproduction": reproduction_facts(experiment.reproduction),
        "config_sha256": config_id(experiment.config) if experiment.config else None,
        "config": experiment.config,
    }


class Parts:
    """The components of an experiment's config, found by what refers to them, also in configs of MLgym 0.0.75."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        components = config.get("components")
        self._components: Mapping[str, Any] = components if isinstance(components, Mapping) else config
        self._experiment = config.get("experiment")

    @property
    def trainer(self) -> Mapping[str, Any]:
        """The component that trains; empty where there is none."""
        root = self._experiment if isinstance(self._experiment, Mapping) else {}
        found = self.follow(root.get("trainer", "$trainer"))
        return found if isinstance(found, Mapping) else {}

    def follow(self, value: Any) -> Any:
        """Gives the component that a reference stands for, every other value as it is; None where it is missing."""
        match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        return self._components.get(match[1]) if match else value

    def below(self, value: Any) -> dict[str, Any]:
        """Gives the components that a value refers to, and those that they refer to, by name, the nearest first."""
        found: dict[str, Any] = {}
        waiting = list(_references(value))
        while waiting:
            name = waiting.pop(0)
            if name not in found and name in self._components:
                found[name] = self._components[name]
                waiting.extend(_references(found[name]))
        return found


def energy_of(folder: RunFolder, experiment_id: int) -> dict[str, Any] | None:
    """Gives a `CardEnergy` of what `codecarbon` wrote last for an experiment, None where it wrote nothing."""
    for path in (folder.path / str(experiment_id) / _EMISSIONS, folder.path / _EMISSIONS):
        row = _last_row(path)
        if row is not None:
            return {
                "energy_kwh": _number(row.get("energy_consumed")),
                "emissions_kg": _number(row.get("emissions")),
                "duration_s": _number(row.get("duration")),
                "country": row.get("country_name") or None,
                "source": f"codecarbon {row.get('codecarbon_version') or ''}".strip(),
            }
    return None


def checkpoint_facts(record: CheckpointRecord) -> dict[str, Any]:
    """Gives `CheckpointFacts`."""
    return {
        "epoch": record.epoch,
        "step": record.step,
        "path": record.path,
        "num_bytes": record.num_bytes,
        "files": record.sha256,
        "reasons": record.reasons,
    }


def reproduction_facts(record: ReproductionRecord | None) -> dict[str, Any] | None:
    """Gives `ReproductionFacts`."""
    if record is None:
        return None
    names = ("original_run_id", "new_run_id", "verdict", "num_digests", "epoch", "step", "tensor")
    return {name: getattr(record, name) for name in names}


def _data(parts: Parts, experiment: ExperimentState) -> dict[str, Any]:
    below = parts.below([parts.trainer.get("loader", "$loaders")])
    # The last one needs no other: the samples come from it.
    name = next((_name_of(one) for one in reversed(below.values()) if _name_of(one)), None)
    return {
        "name": name,
        "config": below,
        "splits": [
            {
                "name": split,
                "num_samples": num_samples,
                "classes": experiment.classes.get(split) or None,
                "sha256": experiment.fingerprints.get(split) or None,
            }
            for split, num_samples in experiment.sizes.items()
        ],
    }


def _training(table: Table, parts: Parts, experiment: ExperimentState) -> dict[str, Any]:
    trainer = parts.trainer
    loader = parts.follow(trainer.get("loader", "$loaders"))
    last = [history[-1] for history in experiment.metrics.values() if len(history)]
    steps = [point.step for point in last if point.step >= 0]
    return {
        "status": table.status_of(experiment),
        "num_epochs": max((point.epoch for point in last), default=None),
        "num_steps": max(steps, default=None),
        "seed": experiment.config.get("seed"),
        "swept": experiment.swept,
        "trial": {key: value for key, value in experiment.trial.items() if value is not None},
        "optimizer": parts.follow(trainer.get("optimizer", "$optimizer")),
        "loss": parts.follow(trainer.get("loss", "$loss")),
        "lr_scheduler": parts.follow(trainer.get("lr_scheduler")),
        "batch_size": loader.get("batch_size") if isinstance(loader, Mapping) else None,
        "started_at": experiment.started_at,
        "finished_at": experiment.finished_at,
        "duration_s": table.duration_of(experiment),
        "device": experiment.device,
        "stop_reason": experiment.stop_reason,
    }


def _metrics(table: Table, experiment: ExperimentState) -> list[dict[str, Any]]:
    found = []
    for key in table.metrics:
        latest, best = experiment.latest(key), experiment.best(key, table.directions[key])
        if latest is not None:
            split, _, metric = key.partition("/")
            facts = {"split": split, "metric": metric, "direction": table.directions[key]}
            found.append(facts | {"latest": value_of(latest), "best": value_of(best) if best else None})
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        match = _REFERENCE.fullmatch(value)
        if match:
            yield match[1]
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _name_of(component: Any) -> str | None:
    if not isinstance(component, Mapping):
        return None
    name = component.get("use") or component.get("variant_key") or component.get("component_type_key")
    return name if isinstance(name, str) else None


def _last_row(path: Path) -> dict[str, str] | None:
    try:
        if path.is_symlink() or path.stat().st_size > 2**20:
            return None
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{str(key): str(value) for key, value in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error):
        return None
    return rows[-1] if rows else None


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None
