"""The command `init`: a project to start from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import typer

from mlgym.errors import MlgymError

_FILES: Final = {
    "config.yml": "config.yml",
    "model.py": "model.py",
    "test_config.py": "test_config.py",
    "README.md": "README.md",
    "gitignore": ".gitignore",
}


def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]) -> None:
    """Make a starter project: config, model, test, README."""
    if folder.is_file():
        raise MlgymError(f"`{folder}` is a file; choose a new folder")
    if any((folder / name).exists() for name in _FILES.values()):
        raise MlgymError(f"`{folder}` has files that a starter project would replace; choose a new folder")
    templates = resources.files("mlgym.cli") / "starter"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for template, name in _FILES.items():
            (folder / name).write_text((templates / template).read_text())
            print(folder / name)
    except OSError as error:
        raise MlgymError(f"`{folder}` cannot be written: {error.strerror}; choose another folder") from error
    print(f"\nnext:\n    cd {folder}\n    mlgym run config.yml")


def add_to(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(init)
