"""Importing the user's modules, so that their components are registered.

The folder of the config, then the current folder, come first on `sys.path` and stay there: modules import their
neighbours later too, and a worker process does the same with the same arguments.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from mlgym.config.document import Document
from mlgym.config.nodes import ListNode
from mlgym.errors import ConfigError, Fault, RegistryError
from mlgym.names import nearest


def import_user_modules(names: Sequence[str], folder: Path | None) -> None:
    """Imports modules by name, those beside the config first.

    Args:
        names: such as `my_project.components`.
        folder: where the config lies; None for a config built in Python.

    Raises:
        ConfigError: modules that are missing or fail; has a fault for each.
    """
    _extend_path(folder)
    faults = []
    for number, name in enumerate(names):
        message = _import(name, folder)
        if message:
            faults.append(Fault((0, 0, number), "", f"imports[{number}]", message))
    if faults:
        raise ConfigError(faults)


def import_faults(document: Document) -> list[Fault]:
    """Imports the modules of a config and gives a fault, with its place, for each that fails."""
    node = document.root.get("imports")
    if not document.imports or not isinstance(node, ListNode):
        return []
    _extend_path(document.folder)
    faults = []
    for number, item in enumerate(node.items):
        name = getattr(item, "value", None)
        message = _import(name, document.folder) if isinstance(name, str) else None
        if message:
            faults.append(item.mark.fault(("imports", number), message))
    return faults


def _extend_path(folder: Path | None) -> None:
    for path in (str(Path.cwd()), str(folder.resolve()) if folder else None):
        if path is None or path in sys.path[:2]:
            continue
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)
    importlib.invalidate_caches()


def _import(name: str, folder: Path | None) -> str | None:
    """Imports a module; gives what went wrong."""
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        return f"`{name}` is no module name; write it with dots and without `.py`: `my_project.components`"
    try:
        _forget_namesake(name.partition(".")[0], folder)
        importlib.import_module(name)
    except RegistryError as error:
        return f"`{name}` cannot be imported: {error}"
    except ModuleNotFoundError as error:
        if error.name is not None and (name + ".").startswith(error.name + "."):
            return _missing_message(name, error.name, folder)
        return _failure_message(name, error)
    except (Exception, SystemExit) as error:
        return _failure_message(name, error)
    return None


def _forget_namesake(top: str, folder: Path | None) -> None:
    """Drops a loaded module of the same name that lies elsewhere, such as the `model.py` of another example."""
    loaded = sys.modules.get(top)
    if loaded is None or folder is None or top in sys.stdlib_module_names or _lies_in(loaded, folder):
        return
    if not ((folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()):
        return
    for name in [name for name in sys.modules if name == top or name.startswith(top + ".")]:
        del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder.resolve())


def _missing_message(name: str, missing: str, folder: Path | None) -> str:
    parent, _, _ = missing.rpartition(".")
    places = [Path(path) for path in ([folder] if folder else []) + [Path.cwd()]]
    if parent:
        places = [place / parent.replace(".", os.sep) for place in places]
    known = {path.stem for place in places if place.is_dir() for path in place.iterdir() if _is_module(path)}
    near = nearest(missing.rpartition(".")[2], sorted(known))
    tail = f"; did you mean `{f'{parent}.{near}' if parent else near}`?" if near else ""
    looked = f" beside the config ({folder}), in the current folder or among the installed packages" if folder else ""
    return f"there is no module `{missing}`{looked}{tail}" + (f" (needed for `{name}`)" if missing != name else "")


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


def _failure_message(name: str, error: BaseException) -> str:
    """Gives the last line of a failure and where in the user's code it happened."""
    last = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError):
        return f"`{name}` cannot be imported: {error.filename}:{error.lineno}: {last}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen") and "importlib" not in frame.filename
    ]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"`{name}` cannot be imported: {last}{place}"
