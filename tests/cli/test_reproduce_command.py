"""`mlgym reproduce` as people and scripts use it, in processes of its own where code or hash seed must be fresh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mlgym
from mlgym.api import Run
from tests.api.trials import DIGITS, first_other_epoch, first_run
from tests.cli.calling import call

MODULE = """\
import random
import torch
from torch import nn
from mlgym import register

WORDS = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}

@register("scaled_net")
class ScaledNet(nn.Module):
    def __init__(self, width: int = 8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 10))

    def forward(self, inputs):
        return self.layers(inputs) * 1.0

@register("order_of_a_set")
class OrderOfASet:
    '''Scales the first weights by the place of a word in a set, before an epoch.'''

    def __init__(self, epoch: int):
        self.epoch = epoch

    def on_epoch_start(self, state):
        if state.epoch + 1 == self.epoch:
            with torch.no_grad():
                first = next(iter(state.model.parameters()))
                first[0] *= 1 + 0.1 * list(WORDS).index("alpha") + 0.01 * list(WORDS).index("beta")
"""
CONFIG = """\
version: 1
extends: preset/classification
name: project
imports: [project_parts]
components:
  data: {use: digits}
  model: {use: scaled_net}
  optimizer: {use: sgd, model: $model, lr: 0.1}
  loaders: {batch_size: 128}
experiment: {epochs: 3, callbacks: CALLBACKS}
"""


def mlgym_in(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `mlgym` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mlgym", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def project(folder: Path, callbacks: str = "[]") -> None:
    (folder / "project_parts.py").write_text(MODULE)
    (folder / "config.yml").write_text(CONFIG.replace("CALLBACKS", callbacks))


def first_and_verdict(folder: Path) -> tuple[Path, dict[str, Any], Path]:
    """Gives the first run of a storage folder, the verdict that was written into it, and the run that led to it."""
    storage = folder / "event_storage"
    first = next(path for path in sorted(storage.iterdir()) if path.name == "first")
    (event,) = mlgym.load_run("first", storage).reproductions
    new = storage / event.new_run_id
    return first, {"event": event, "named": {f"{each.kind} {each.key}" for each in event.differences}}, new


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of two experiments."""
    return first_run(DIGITS, tmp_path_factory.mktemp("storage"), run_id="done", overrides=["experiment.epochs=2"])


@pytest.fixture
def storage(pristine: Run, tmp_path: Path) -> Path:
    """A storage folder with that run in it."""
    shutil.copytree(pristine.path, tmp_path / "done")
    return tmp_path


def test_identical_exits_with_zero(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdicts go to stdout, what was checked and the progress to stderr."""
    assert call("reproduce", "done", "--all", "--storage", str(storage)) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "experiment 0: identical (2 digests, bit for bit)",
        "experiment 1: identical (2 digests, bit for bit)",
        "2 identical",
    ]
    assert "reproducing experiments 0, 1 of run done" in printed.err


@pytest.mark.parametrize(
    ("arguments", "code", "verdict"),
    [
        (["optimizer.weight_decay=1e-9", "--rtol", "1"], 3, "within_tolerance"),
        (["optimizer.lr=0.5"], 4, "diverged"),
        (["loaders.batch_size=1", "model.batch_norm=true"], 1, None),
    ],
)
def test_exit_codes_and_json(
    arguments: list[str], code: int, verdict: str | None, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """3 within tolerance, 4 diverged, 1 failed; `--json` has the same with all facts and nothing else on stdout."""
    assert call("reproduce", "done", "-e", "0", *arguments, "--storage", str(storage), "--json") == code
    facts = json.loads(capsys.readouterr().out)
    assert facts["exit_code"] == code
    (one,) = facts["verdicts"]
    assert (one["experiment_id"], one["verdict"]) == (0, verdict)
    assert {each["key"] for each in one["differences"] if each["kind"] == "setting"} == {
        argument.partition("=")[0] for argument in arguments if "=" in argument
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no run `nothing`"),
        (["done", "-e", "9"], "has no experiment 9"),
        (["done", "--all", "-e", "1"], "one of `--all`, `--experiment` and"),
        (["done", "--executor", "proceses"], "did you mean `processes`"),
        (["done", "--rtol", "-1"], "from 0 on"),
        (["done", "--against", "done"], "cannot be compared with itself"),
        (["done", "--against", "done", "--bisect"], "`--bisect` needs training"),
        (["done", "optimizer.lr=1", "--against", "done"], "`KEY=VALUE` needs training"),
        (["done", "optimizer.lrr=1"], "did you mean `lr`"),
    ],
)
def test_wrong_input_exits_with_two(
    arguments: list[str], message: str, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says what to change, no traceback, no new run."""
    assert call("reproduce", *arguments, "--storage", str(storage)) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.replace("│", " ").split())
    assert "Traceback" not in error
    assert [path.name for path in storage.iterdir()] == ["done"]


def test_verdicts_are_shown_afterwards(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`show`, its JSON, the page of an experiment, `log`, the report and the Python API all know of a verdict."""
    assert call("reproduce", "done", "-e", "1", "optimizer.lr=0.5", "--storage", str(storage)) == 4
    capsys.readouterr()
    line = "diverged (1 digest, bits part in epoch 1"
    for arguments in (["show", "done"], ["show", "done", "-e", "1"]):
        assert call(*arguments, "--storage", str(storage)) == 0
        assert line in capsys.readouterr().out
    assert call("show", "done", "--storage", str(storage), "--json") == 0
    shown = json.loads(capsys.readouterr().out)["experiments"]
    assert {one["experiment_id"]: (one["reproduction"] or {}).get("verdict") for one in shown} == {
        0: None,
        1: "diverged",
    }
    assert call("log", "done", "--storage", str(storage)) == 0
    assert "repeats done: diverged, parts in epoch 1" in capsys.readouterr().out
    run = mlgym.load_run("done", storage)
    assert line in run.report().to_text()
    assert line in run.report().to_html()
    assert [(event.experiment_id, event.verdict) for event in run.reproductions] == [(1, "diverged")]


def test_two_runs_are_compared(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--against` needs no training and says the same as a reproduction would."""
    first_run(DIGITS, storage, run_id="other", overrides=["experiment.epochs=2"])
    assert call("reproduce", "done", "--against", "other", "--storage", str(storage)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 identical"


def test_the_python_function_is_what_the_package_gives(storage: Path) -> None:
    """`mlgym.reproduce` is callable, also once its parts have been imported."""
    (verdict,) = mlgym.reproduce("done", storage=storage, progress=False)
    assert verdict.verdict == "identical"
    assert callable(mlgym.reproduce)


@pytest.mark.slow
def test_a_changed_source_file_is_named(tmp_path: Path) -> None:
    """The user's module differs by a factor: named with its module before training; epoch 1 is where they part."""
    project(tmp_path)
    first = mlgym_in(tmp_path, "run", "config.yml", "--executor", "inline", "--run-id", "first")
    assert first.returncode == 0, first.stderr
    source = tmp_path / "project_parts.py"
    source.write_text(source.read_text().replace("* 1.0", "* 1.01"))
    again = mlgym_in(tmp_path, "reproduce", "first", "--keep-going")
    assert again.returncode in (3, 4), again.stderr
    assert "differs: code project_parts:" in again.stderr
    original, verdict, new = first_and_verdict(tmp_path)
    assert "code project_parts" in verdict["named"]
    assert verdict["event"].epoch == first_other_epoch(original, new) == 1


@pytest.mark.slow
def test_another_hash_seed_is_named_and_the_epoch_is_right(tmp_path: Path) -> None:
    """A callback that iterates a set before epoch 2: with the same hash seed identical, with another it parts there."""
    project(tmp_path, "[{use: order_of_a_set, epoch: 2}]")
    run = ("run", "config.yml", "--executor", "inline", "--run-id", "first")
    first = mlgym_in(tmp_path, *run, PYTHONHASHSEED="1")
    assert first.returncode == 0, first.stderr
    shutil.copytree(tmp_path / "event_storage" / "first", tmp_path / "kept")
    same = mlgym_in(tmp_path, "reproduce", "first", PYTHONHASHSEED="1")
    assert same.returncode == 0, same.stdout + same.stderr
    shutil.rmtree(tmp_path / "event_storage")
    shutil.copytree(tmp_path / "kept", tmp_path / "event_storage" / "first")
    other = mlgym_in(tmp_path, "reproduce", "first", "--keep-going", PYTHONHASHSEED="2")
    assert other.returncode in (3, 4), other.stdout + other.stderr
    original, verdict, new = first_and_verdict(tmp_path)
    assert "hash_seed PYTHONHASHSEED" in verdict["named"]
    assert verdict["event"].epoch == first_other_epoch(original, new) == 2
