"""Builds MLboard into the package when a wheel or a source archive is made, so that nobody needs Node to use it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCES = ("src", "public", "index.html", "vite.config.ts", "package-lock.json", "tsconfig.json")
_REQUIRE = "MLGYM_REQUIRE_BOARD"


class BoardBuildHook(BuildHookInterface[Any]):
    """Runs `npm ci` and the production build, where the built files are missing or older than their sources."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the board, or says why the package has none.

        Args:
            version: `editable` where nothing is copied; then `make board` is the way.
            build_data: of hatch; left as it is.
        """
        frontend = Path(self.root, "frontend")
        built = Path(self.root, "src", "mlgym", "board", "index.html")
        if version == "editable" or _is_fresh(frontend, built):
            return
        npm = shutil.which("npm")
        if npm is not None:
            subprocess.run([npm, "ci", "--silent"], cwd=frontend, check=True)  # noqa: S603
            subprocess.run([npm, "run", "--silent", "build"], cwd=frontend, check=True)  # noqa: S603
        elif built.is_file():
            self.app.display_warning("MLboard: Node is missing, so the files that were built before are packed.")
        else:
            self._go_without()

    def _go_without(self) -> None:
        message = (
            "MLboard cannot be built: there is no `npm`. Install Node 20.19 or newer and build again; "
            "or install a wheel, which has the board in it."
        )
        if os.environ.get(_REQUIRE):
            raise RuntimeError(message)
        self.app.display_warning(f"{message} This package goes without the board: everything else works.")


def _is_fresh(frontend: Path, built: Path) -> bool:
    """Tells whether there is nothing to build: no sources, as in a source archive, or none that is newer."""
    newest = max((path.stat().st_mtime for path in _files(frontend)), default=0.0)
    return not newest or (built.is_file() and built.stat().st_mtime >= newest)


def _files(frontend: Path) -> Iterator[Path]:
    for name in _SOURCES:
        path = frontend / name
        yield from (
            (one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path] if path.is_file() else []
        )
