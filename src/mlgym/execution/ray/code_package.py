"""The user's code on its way to the nodes: the folder of the config, without what cannot be meant."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlgym.errors import RunError
from mlgym.execution.environment.user_modules import MAIN_SCRIPT, user_modules

MAX_BYTES: Final = 64 * 1024 * 1024
_NUM_NAMED: Final = 3
_NEVER: Final = frozenset({"__pycache__", "node_modules"})
_SCRIPT_FILE: Final = "mlgym_main_script.py"


@dataclass(frozen=True, kw_only=True)
class UserCode:
    """What the experiments of a run import beside installed packages.

    Args:
        folder: where the config lies, absolute.
        imports: names of modules, as the config has them; imported already.
        main_script: the program whose components the config uses; None where it uses none.
        storage: the folder of all runs, which is never sent anywhere.
    """

    folder: Path
    imports: Sequence[str]
    main_script: Path | None
    storage: Path

    @property
    def is_empty(self) -> bool:
        """Whether installed packages are all that experiments need."""
        return not self.imports and self.main_script is None

    def collect(self, target: Path, *, max_bytes: int = MAX_BYTES) -> None:
        """Copies the code to a folder as nodes are to have it.

        Args:
            target: an empty folder.
            max_bytes: how large it may be in all.

        Raises:
            RunError: it is larger.
        """
        budget = _Budget(self.folder, max_bytes)
        for path in _files(self.folder, self.storage):
            budget.spend(path)
            _copy(path, target / path.relative_to(self.folder))
        # Modules that were found elsewhere: in the current folder, or where `PYTHONPATH` points.
        for name, path in self._modules():
            place = target / (_SCRIPT_FILE if name == MAIN_SCRIPT else _place_of(name, path))
            if not place.exists():
                budget.spend(path)
                _copy(path, place)

    def on_node(self) -> tuple[Path, Path | None]:
        """Gives the folder of the modules and the main script, relative to where the code is unpacked on a node."""
        return Path(), Path(_SCRIPT_FILE) if self.main_script else None

    def _modules(self) -> Iterator[tuple[str, Path]]:
        for name in user_modules(self.folder, self.imports, None):
            file = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(file, str):
                yield name, Path(file)
        if self.main_script is not None:
            yield MAIN_SCRIPT, self.main_script


class _Budget:
    """Counts bytes by the first part of the path below a folder, and refuses more than there may be."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max = max_bytes
        self._spent: Counter[str] = Counter()

    def spend(self, path: Path) -> None:
        first = path.relative_to(self._folder).parts[0] if path.is_relative_to(self._folder) else str(path)
        self._spent[first] += path.stat().st_size
        if self._spent.total() > self._max:
            largest = ", ".join(
                f"`{name}` ({size / 2**20:.0f} MB so far)" for name, size in self._spent.most_common(_NUM_NAMED)
            )
            raise RunError(
                f"the folder of the config, {self._folder}, would have to go to the nodes of the Ray cluster, since "
                f"the config imports modules, and it has more than {self._max / 2**20:.0f} MB: {largest}. Keep data "
                "and results elsewhere, or pass `--ray-code shared` where the nodes see this folder under the same path"
            )


def _files(folder: Path, storage: Path) -> Iterator[Path]:
    """Yields the files below a folder but for hidden ones, caches, virtual environments and the storage folder."""
    never = {storage.resolve(), (folder / ".git").resolve()}
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _NEVER
            and not (here / name / "pyvenv.cfg").exists()
            and (here / name).resolve() not in never
        )
        for name in sorted(names):
            path = here / name
            if not name.startswith(".") and path.is_file():
                yield path


def _place_of(name: str, path: Path) -> Path:
    parts = name.split(".")
    return Path(*parts, "__init__.py") if path.name == "__init__.py" else Path(*parts[:-1], path.name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
