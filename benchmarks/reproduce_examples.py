"""Runs the experiments of the examples again and counts how many are identical; then injects differences into a run.

Everything goes through the command line, each launch in a process of its own, as users do it. 20 experiments of the
examples are run for two epochs and reproduced. Then a small run with dropout is reproduced with one thing changed at a
time: is it named, and is the first epoch that differs the one that a plain look at the hashes in both logs finds?
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from report import print_rows

EXAMPLES = Path(__file__).parents[1] / "examples"
CONFIGS = (
    "grid_search/gs_config.yml", "own_dataset/config.yml", "regression_table/config.yml", "autoencoder/config.yml",
    "multi_output/config.yml", "adversarial/config.yml", "callbacks/config.yml",
)  # fmt: skip
CONFIG = """\
version: 1
extends: preset/classification
name: injected
imports: [parts]
components:
  data: {use: table, path: data.csv, target: label}
  model: {use: dropout_net}
  optimizer: {use: adam, model: $model, lr: 0.01}
  schedule: {use: multi_step_lr, optimizer: $optimizer, milestones: [3]}
  trainer: {lr_scheduler: $schedule}
experiment: {epochs: 4, callbacks: [{use: order_of_a_set, epoch: 3}]}
"""
PARTS = """\
import torch
from torch import nn
from mlgym import register

WORDS = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}


@register("dropout_net")
class DropoutNet(nn.Module):
    def __init__(self, width: int = 16, dropout: float = 0.1):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 3))

    def forward(self, inputs):
        return self.layers(inputs) * 1.0


@register("order_of_a_set")
class OrderOfASet:
    def __init__(self, epoch: int):
        self.epoch = epoch

    def on_epoch_start(self, state):
        if state.epoch + 1 == self.epoch:
            with torch.no_grad():
                next(iter(state.model.parameters()))[0] *= 1 + 0.01 * list(WORDS).index("alpha")
"""


@dataclass(frozen=True)
class Injection:
    """One thing that is changed between a run and its repetition.

    Args:
        what: how it is called in the table.
        named: kind and key that the verdict must name.
        arguments: of `mlgym reproduce`.
        edit: changes files; is given the project and the run folder.
        variables: of the environment.
    """

    what: str
    named: str
    arguments: Sequence[str] = ()
    edit: Callable[[Path, Path], None] = lambda project, run: None
    variables: dict[str, str] = field(default_factory=dict)


def _other_source(project: Path, run: Path) -> None:
    (project / "parts.py").write_text(PARTS.replace("* 1.0", "* 1.01"))


def _other_sample(project: Path, run: Path) -> None:
    lines = (project / "data.csv").read_text().splitlines()
    lines[1] = ",".join(["9.9", *lines[1].split(",")[1:]])
    (project / "data.csv").write_text("\n".join(lines) + "\n")


def _other_torch(project: Path, run: Path) -> None:
    recorded = json.loads((run / "environment.json").read_text())
    recorded["packages"]["torch"] = "2.9.0"
    (run / "environment.json").write_text(json.dumps(recorded))


INJECTIONS = (
    Injection("nothing", ""),
    Injection("seed", "setting seed", ["seed=1"]),
    Injection("batch order", "order epoch 1", ["loaders.seed=1"]),
    Injection("batch size", "setting loaders.batch_size", ["loaders.batch_size=16"]),
    Injection("number of threads", "threads threads", ["--threads", "2"]),
    Injection("precision (dtype)", "setting trainer.precision", ["trainer.precision=bf16"]),
    Injection("optimizer default (betas)", "setting optimizer.betas.1", ["optimizer.betas=[0.9, 0.99]"]),
    Injection("optimizer default (eps)", "setting optimizer.eps", ["optimizer.eps=1e-7"]),
    Injection("weight decay 1e-9", "setting optimizer.weight_decay", ["optimizer.weight_decay=1e-9"]),
    Injection("learning rate schedule", "setting schedule.milestones.0", ["schedule.milestones=[2]"]),
    Injection("dropout", "setting model.dropout", ["model.dropout=0.2"]),
    Injection("model width", "setting model.width", ["model.width=17"]),
    Injection("changed sample", "data train", edit=_other_sample),
    Injection("changed source file", "code parts", edit=_other_source),
    Injection("hash seed", "hash_seed PYTHONHASHSEED", variables={"PYTHONHASHSEED": "2"}),
    Injection("package version (as recorded)", "package torch", edit=_other_torch),
)


def main() -> None:
    """Prints both tables; exit code 1 where an experiment is not identical or a difference is not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two examples and three differences")
    found = rows(quick=parser.parse_args().quick)
    print_rows(found)
    sys.exit(int(not all(row["as it should be"] == "yes" for row in found)))


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives the rows of both tables."""
    with tempfile.TemporaryDirectory() as folder:
        examples = [_example(name, Path(folder)) for name in (CONFIGS[-2:] if quick else CONFIGS)]
    identical, count = sum(row["identical"] for row in examples), sum(row["experiments"] for row in examples)
    total = {"example": "all", "experiments": count, "identical": identical}
    examples.append(_with_table("re-runs of the examples", total, is_right=identical == count))
    return examples + [_injected(one) for one in (INJECTIONS[:3] if quick else INJECTIONS)]


def _example(name: str, folder: Path) -> dict[str, Any]:
    project, storage = (EXAMPLES / name).parent, folder / Path(name).parent.name
    first = _mlgym(
        project, "run", Path(name).name, "experiment.epochs=2", "--storage", str(storage), "--run-id", "first"
    )
    if first.returncode != 0:
        raise RuntimeError(f"{name}: {first.stderr}")
    again = _mlgym(project, "reproduce", "first", "--all", "--json", "--storage", str(storage))
    verdicts = [one["verdict"] for one in json.loads(again.stdout)["verdicts"]]
    identical = verdicts.count("identical")
    row = {"example": Path(name).parent.name, "experiments": len(verdicts), "identical": identical}
    return _with_table("re-runs of the examples", row, is_right=identical == len(verdicts))


def _injected(one: Injection) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        _write_project(project)
        run = project / "event_storage" / "first"
        # In this process's own interpreter, whose hash seed the variable decides; workers have a fixed one.
        first = _mlgym(project, "run", "config.yml", "--executor", "inline", "--run-id", "first", PYTHONHASHSEED="1")
        if first.returncode != 0:
            raise RuntimeError(first.stderr)
        one.edit(project, run)
        variables = {"PYTHONHASHSEED": "1", **one.variables}
        again = _mlgym(project, "reproduce", "first", *one.arguments, "--keep-going", "--json", **variables)
        (verdict,) = json.loads(again.stdout)["verdicts"]
        names = {f"{each['kind']} {each['key']}" for each in verdict["differences"] if each["changes_bits"]}
        expected = _first_other_epoch(run, project / "event_storage" / verdict["new_run_id"])
    is_named = not names if not one.named else one.named in names
    row = {
        "changed": one.what,
        "named": "yes" if is_named else f"no: {sorted(names)}",
        "verdict": verdict["verdict"],
        "parts in epoch": verdict["epoch"] or "",
        "by the hashes": expected or "",
    }
    return _with_table("injected differences", row, is_right=is_named and verdict["epoch"] == expected)


def _with_table(table: str, row: dict[str, Any], *, is_right: bool) -> dict[str, Any]:
    return {"table": table, **row, "as it should be": "yes" if is_right else "NO"}


def _write_project(project: Path) -> None:
    (project / "config.yml").write_text(CONFIG)
    (project / "parts.py").write_text(PARTS)
    # Three classes; no two rows are the same.
    rows = [[(i * 7919 % 101) / 10, (i * 104729 % 97) / 10, (i % 13) / 3, (i % 5) / 2, i % 3] for i in range(150)]
    lines = ["a,b,c,d,label", *(",".join(f"{value:g}" for value in row) for row in rows)]
    (project / "data.csv").write_text("\n".join(lines) + "\n")


def _mlgym(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlgym", *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def _first_other_epoch(one: Path, other: Path) -> int | None:
    """Gives the first epoch after which the hashes in two logs differ, read without any of MLgym's own code."""
    before, after = _hashes(one), _hashes(other)
    return next((epoch for epoch in sorted(before) if before[epoch] != after.get(epoch)), None)


def _hashes(run: Path) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for line in (run / "event_storage.log").read_text().splitlines():
        event = json.loads(line)
        if event["event_type"] == "digest":
            payload = event["payload"]
            found.setdefault(payload["epoch"], (payload["parameters"], payload["optimizer"]))
    return found


if __name__ == "__main__":
    main()
