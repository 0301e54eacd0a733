"""The user's own code: which modules a config brought in, and the hash of each of their files."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

MAIN_SCRIPT: Final = "__main__"
_NEVER: Final = ("mlgym", "__main__", "__mp_main__")


def user_modules(folder: Path, imports: Sequence[str], main_script: Path | None) -> dict[str, dict[str, str]]:
    """Gives path and sha256 of each file of the user's code that is loaded.

    That is: what lies below the folder of the config, the modules that the config imports and what lies beside them,
    and the main script where the config uses its components. Installed packages do not count, but for those that the
    config imports; nor does MLgym itself.

    Args:
        folder: where the config lies, absolute.
        imports: names of modules, as the config has them.
        main_script: the program; None where no component is its own.

    Returns:
        By module name: `path`, relative to the folder from which it was imported, and `sha256`.
    """
    found: dict[str, dict[str, str]] = {}
    roots = [folder.resolve(), *_roots(imports)]
    for name, path in _candidates({name.partition(".")[0] for name in imports}):
        root = next((root for root in roots if path.is_relative_to(root)), None)
        if root is not None:
            _add(found, name, path, root)
    if main_script is not None:
        path = main_script.resolve()
        _add(found, MAIN_SCRIPT, path, next((root for root in roots if path.is_relative_to(root)), path.parent))
    return dict(sorted(found.items()))


def code_hashes(environment: Mapping[str, Any]) -> dict[str, str]:
    """Gives the hash of each of the user's modules in recorded surroundings, by module."""
    return {name: file["sha256"] for name, file in environment.get("code", {}).items()}


def code_files(environment: Mapping[str, Any]) -> dict[str, str]:
    """Gives the path of each of the user's modules in recorded surroundings, by module."""
    return {name: file["path"] for name, file in environment.get("code", {}).items()}


def _add(found: dict[str, dict[str, str]], name: str, path: Path, root: Path) -> None:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return
    found[name] = {"path": path.relative_to(root).as_posix(), "sha256": sha256}


def _candidates(wanted: Container[str]) -> Iterator[tuple[str, Path]]:
    """Yields name and file of each loaded module that is not installed, or whose package is wanted."""
    installed = _installed_folders()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        top = name.partition(".")[0]
        if not isinstance(file, str) or top in _NEVER or (file.startswith(installed) and top not in wanted):
            continue
        # Resolving all of some thousand files would take 0.2 s.
        path = Path(file).resolve()
        if top in wanted or not str(path).startswith(installed):
            yield name, path


def _roots(imports: Sequence[str]) -> Iterator[Path]:
    """Yields the folders from which the modules were imported, as far as they were."""
    for name in imports:
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str):
            path = Path(file).resolve()
            depth = name.count(".") + (path.name == "__init__.py")
            yield path.parents[depth] if depth < len(path.parents) else path.parent


def _installed_folders() -> tuple[str, ...]:
    places = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    # As they are named and as they are: an environment may be reached through links.
    folders = {*places, *(place.resolve() for place in places)}
    return tuple(f"{folder}/" for folder in folders)
