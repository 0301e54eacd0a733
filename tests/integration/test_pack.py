"""A run in one file: packed here, unpacked in another folder for another interpreter, and reproduced there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

import mlgym

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONFIG = """\
version: 1
extends: preset/classification
name: packed
seed: 4
imports: [own_model]
components:
  data: {use: table, path: data/points.csv, target: label}
  model: {use: own_net}
  optimizer: {use: adam, model: $model, lr: {sweep: [0.05, 0.01]}}
experiment: {epochs: 2, early_stopping: null}
"""
MODEL = """\
from torch import Tensor, nn
from mlgym import register
from own_parts import WIDTH


@register("own_net")
class OwnNet(nn.Module):
    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 3))

    def forward(self, points: Tensor) -> Tensor:
        return self.layers(points)
"""


class Elsewhere:
    """A folder that has nothing but an unpacked archive, and an interpreter of its own."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python = python
        self.folder = folder

    def mlgym(self, *arguments: str, code: int = 0) -> str:
        """Runs a command there and gives what it printed."""
        called = subprocess.run(
            [str(self.python), "-m", "mlgym", *arguments],
            cwd=self.folder, capture_output=True, text=True, timeout=300, check=False,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )  # fmt: skip
        assert called.returncode == code, called.stderr
        return called.stdout

    def verdict(self, *arguments: str, code: int) -> dict[str, Any]:
        """Reproduces the run there and gives the one verdict."""
        found = json.loads(self.mlgym("reproduce", "first", *arguments, "--json", code=code))
        return dict(found["verdicts"][0])


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """Where a run came to whose own folder, modules and data are gone."""
    project = tmp_path_factory.mktemp("here") / "project"
    (project / "data").mkdir(parents=True)
    (project / "config.yml").write_text(CONFIG)
    (project / "own_model.py").write_text(MODEL)
    (project / "own_parts.py").write_text("WIDTH = 8\n")
    rows = [f"{(i * 7919 % 101) / 10},{(i * 104729 % 97) / 10},{i % 3}" for i in range(120)]
    (project / "data" / "points.csv").write_text("\n".join(["a,b,label", *rows]) + "\n")
    here = Elsewhere(Path(sys.executable), project)
    here.mlgym("run", "config.yml", "--run-id", "first")
    here.mlgym("pack", "first", "--data")
    there = Elsewhere(_interpreter(tmp_path_factory.mktemp("venv")), tmp_path_factory.mktemp("there"))
    shutil.move(project / "first.zip", there.folder / "first.zip")
    shutil.rmtree(project)
    there.mlgym("unpack", "first.zip")
    return there


def _interpreter(folder: Path) -> Path:
    """Makes a virtual environment that has the packages of this one."""
    venv.create(folder, symlinks=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    source = Path(mlgym.__file__).parents[1]
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{source}\n")
    return folder / "bin" / "python"


def test_both_experiments_are_identical(elsewhere: Elsewhere) -> None:
    """Every digest, with nothing of the project left but the archive."""
    found = json.loads(elsewhere.mlgym("reproduce", "first", "--all", "--json"))
    assert [(one["verdict"], one["num_digests"]) for one in found["verdicts"]] == [("identical", 2)] * 2
    # MLgym itself is read where it lies, and may be edited meanwhile.
    differing = {each["key"] for one in found["verdicts"] for each in one["differences"] if each["changes_bits"]}
    assert differing <= {"mlgym"}
    assert json.loads(elsewhere.mlgym("show", "latest", "--json"))["run_id"] == "first"


def test_it_goes_on_there(elsewhere: Elsewhere, tmp_path: Path) -> None:
    """A run out of an archive has checkpoints: it goes on to more epochs, and all of them repeat from the start."""
    copy = Elsewhere(elsewhere.python, Path(shutil.copytree(elsewhere.folder, tmp_path / "copy")))
    copy.mlgym("resume", "first", "--epochs", "3")
    assert copy.verdict("-e", "0", code=0)["num_digests"] == 3


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("data/points.csv", "4.1,6.6,1", "4.2,6.6,1", "data"),
        ("unpacked_code/first/own_model.py", "Dropout(0.2)", "Dropout(0.3)", "code"),
    ],
)
def test_control_what_is_changed_there_is_named(
    elsewhere: Elsewhere, tmp_path: Path, file: str, old: str, new: str, named: str
) -> None:
    """Data and modules are those of the archive, so that a change of them shows."""
    copy = Elsewhere(elsewhere.python, Path(shutil.copytree(elsewhere.folder, tmp_path / "copy")))
    text = (copy.folder / file).read_text()
    assert old in text
    (copy.folder / file).write_text(text.replace(old, new))
    verdict = copy.verdict("-e", "0", "--rtol", "0", code=4)
    assert named in {each["kind"] for each in verdict["differences"] if each["changes_bits"]}
