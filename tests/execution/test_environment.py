"""The surroundings of a run: complete, quick, and without secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from mlgym.execution.environment import capture_environment, git_state, package_versions


def test_it_is_plain_data_with_what_changes_numbers(tmp_path: Path) -> None:
    """Python, packages, processor, threads and flags are there, and it is JSON."""
    found = capture_environment(threads=2, deterministic=True, folder=tmp_path)
    assert json.loads(json.dumps(found)) == found
    assert found["python"]["version"] == sys.version.split()[0]
    assert found["packages"]["numpy"] == np.__version__
    assert found["cpu"]["usable_cores"] >= 1
    assert (found["threads"], found["deterministic"]) == (2, True)
    assert found["memory_bytes"] > 2**28


def test_variables_that_matter_are_kept_and_secrets_are_not(tmp_path: Path) -> None:
    """Thread and library settings are recorded; home folders and tokens are nobody's business."""
    variables = {
        "OMP_NUM_THREADS": "3",
        "PYTHONHASHSEED": "0",
        "HOME": "/root",
        "MLGYM_TOKEN": "x",
        "CUDA_API_KEY": "y",
    }
    found = capture_environment(threads=1, deterministic=True, folder=tmp_path, variables=variables)
    assert found["environment_variables"] == {"OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "0"}


def test_git_commit_and_changes(tmp_path: Path) -> None:
    """A repository has its commit, dirty once a tracked file differs; a plain folder has none."""
    folder = tmp_path / "plain"
    folder.mkdir()
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    assert git_state(Path("/proc")) is None

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", "-C", str(folder), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()

    git("init", "-q")
    (folder / "model.py").write_text("a = 1\n")
    git("add", "model.py")
    git("commit", "-q", "-m", "model: add")
    assert git_state(folder) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (folder / "model.py").write_text("a = 2\n")
    assert git_state(folder) == {"commit": git("rev-parse", "HEAD"), "dirty": True}


def test_it_is_quick_and_imports_nothing_heavy() -> None:
    """It takes a fraction of a second of CPU time and loads no PyTorch."""
    code = (
        "import sys, time; from mlgym.execution.environment import capture_environment as capture;"
        "start = time.process_time(); capture(threads=1, deterministic=True, folder=None);"
        "print(time.process_time() - start); sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    before = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.3
    assert time.monotonic() - before < 20


def test_versions_are_those_installed() -> None:
    """What computes the numbers is listed."""
    assert {"torch", "numpy", "torchmetrics", "scikit-learn"} <= package_versions().keys()
