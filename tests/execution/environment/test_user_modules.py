"""The user's modules: all that the config brought in, each with its hash, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json, sys
from pathlib import Path
from mlgym.config import import_user_modules
from mlgym.execution.environment.user_modules import user_modules
folder, imports, main = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
import_user_modules(imports, folder)
print(json.dumps(user_modules(folder, imports, Path(main) if main else None)))
"""


def modules(folder: Path, imports: list[str], *, main: Path | None = None, cwd: Path | None = None) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    arguments = [str(folder), json.dumps(imports), json.dumps(main and str(main))]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=environment, cwd=cwd or folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    package = project / "parts" / "inner"
    package.mkdir(parents=True)
    (project / "model.py").write_text("import helper\n")
    (project / "helper.py").write_text("x = 1\n")
    (project / "unused.py").write_text("")
    (project / "parts" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "losses.py").write_text("y = 1\n")
    return project


def test_imports_and_what_they_import(folder: Path) -> None:
    """Modules and packages that the config names, and their neighbours; what nobody imports is left out."""
    found = modules(folder, ["model", "parts.inner.losses"])
    assert {name: entry["path"] for name, entry in found.items()} == {
        "helper": "helper.py",
        "model": "model.py",
        "parts": "parts/__init__.py",
        "parts.inner": "parts/inner/__init__.py",
        "parts.inner.losses": "parts/inner/losses.py",
    }
    assert found["helper"]["sha256"] == hashlib.sha256(b"x = 1\n").hexdigest()


def test_modules_of_the_working_directory(folder: Path, tmp_path: Path) -> None:
    """A module that is not beside the config but in the working directory is found there, with its neighbours."""
    configs = tmp_path / "configs"
    configs.mkdir()
    found = modules(configs, ["model"], cwd=folder)
    assert {name: entry["path"] for name, entry in found.items()} == {"helper": "helper.py", "model": "model.py"}


def test_installed_packages_count_only_where_they_are_named(folder: Path, tmp_path: Path) -> None:
    """Of an environment below the config's folder nothing counts; a package that the config imports does."""
    site = Path(os.__file__).parent / "json"
    assert site.is_dir()
    assert modules(Path("/usr") if str(site).startswith("/usr") else site.parents[2], []) == {}
    found = modules(folder, ["json.decoder"])
    assert found["json.decoder"]["path"] == "json/decoder.py"
    assert "os" not in found


def test_the_main_script(folder: Path) -> None:
    """A program whose own components the config uses is code too."""
    script = folder / "train.py"
    script.write_text("print()\n")
    found = modules(folder, [], main=script)
    assert found == {"__main__": {"path": "train.py", "sha256": hashlib.sha256(b"print()\n").hexdigest()}}
