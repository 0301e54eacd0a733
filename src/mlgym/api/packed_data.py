"""Finds the files that a run's config reads as data, as far as the config names them by path."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mlgym.execution.run_record import EXPERIMENT_CONFIG_FILE
from mlgym.tracking import RunFolder

_PATH_PARAMETERS: Final = ("path", "root", "folder", "file", "data_files", "data_dir")
"""Parameters that name files or folders; where theirs is not there, that is said."""


def data_files(folder: RunFolder) -> tuple[dict[str, Path], list[str]]:
    """Gives the files that the components of a run's experiments name by path, and what is missing.

    Args:
        folder: the run; relative paths count from the working directory, as they did in the run.

    Returns:
        The files by their path from the working directory, and a line for each that cannot be packed.
    """
    here = Path.cwd().resolve()
    files: dict[str, Path] = {}
    left_out: list[str] = []
    for use, parameter, text in sorted(set(_paths_in_configs(folder))):
        what = f"data of `{use}`: `{text}`"
        path = here / text
        # The sets that MLgym downloads lie in a folder of their own below the `root` that several may share.
        path = path / use if parameter == "root" and (path / use).is_dir() else path
        resolved = path.resolve()
        if not path.exists():
            if parameter in _PATH_PARAMETERS:
                left_out.append(f"{what} is not below `{here.name}`, the working directory")
        elif Path(text).is_absolute() or not resolved.is_relative_to(here) or resolved == here:
            left_out.append(f"{what} lies outside of the working directory; whoever unpacks it has to say where it is")
        else:
            files |= {each.relative_to(here).as_posix(): each for each in _files_below(resolved)}
    return files, left_out


def _paths_in_configs(folder: RunFolder) -> Iterator[tuple[str, str, str]]:
    """Yields component, parameter and text wherever a text may be a path."""
    for experiment_id in sorted(folder.state().experiments):
        if not (folder.path / str(experiment_id) / EXPERIMENT_CONFIG_FILE).is_file():
            continue
        config = folder.read_json(f"{experiment_id}/{EXPERIMENT_CONFIG_FILE}")
        rest = [config.get("components") if isinstance(config, dict) else None]
        while rest:
            node = rest.pop()
            if isinstance(node, Mapping):
                rest += node.values()
                if isinstance(node.get("use"), str):
                    yield from _texts_of(node)
            elif isinstance(node, list):
                rest += node


def _texts_of(component: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for parameter, value in component.items():
        for text in value if isinstance(value, list) else [value]:
            may_be_path = isinstance(text, str) and (parameter in _PATH_PARAMETERS or "/" in text)
            if may_be_path and text and not text.startswith("$") and "://" not in text and "\0" not in text:
                yield str(component["use"]), str(parameter), text


def _files_below(path: Path) -> Iterator[Path]:
    """Yields a file, or the files below a folder but for hidden ones and links."""
    if path.is_file():
        yield path
        return
    for parent, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(parent, name)
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                yield file
