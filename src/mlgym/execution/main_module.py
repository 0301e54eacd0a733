"""Components that a program registers in its own main module, which other processes cannot import by name."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mlgym.config import REGISTRY
from mlgym.errors import RegistryError, RunError

_MAIN: Final = "__main__"
_IMPORTED_AS: Final = "__mp_main__"
"""What `multiprocessing` calls the main module in its children; `if __name__ == "__main__":` is false there."""

_importing = False


def main_script_of(data: Any) -> Path | None:
    """Gives the script that workers must import because a config uses components of the main module; else None.

    Args:
        data: the merged config as plain data.

    Raises:
        RunError: such a component was defined in a notebook or another place without a file.
    """
    ours = sorted({name for name in used_names(data) if _is_of_main(name)})
    if not ours:
        return None
    file = getattr(sys.modules[_MAIN], "__file__", None)
    if file is None or not Path(file).is_file():
        raise RunError(
            f"worker processes cannot import `{ours[0]}`, which is defined in a notebook or an interactive session: "
            "move it to a module and name that in `imports`, or run with `executor=inline`"
        )
    return Path(file).absolute()


def import_main_script(path: Path) -> None:
    """Imports the driver's script under another name, so that it registers its components but runs nothing.

    Raises:
        Exception: whatever the script raises.
    """
    global _importing
    # Importing `multiprocessing` alone makes this a second name of the process's own main module.
    former = sys.modules.get(_IMPORTED_AS)
    if former is not None and former is not sys.modules[_MAIN]:
        return
    spec = importlib.util.spec_from_file_location(_IMPORTED_AS, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_IMPORTED_AS] = module
    _importing = True
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[_IMPORTED_AS]
        if former is not None:
            sys.modules[_IMPORTED_AS] = former
        raise
    finally:
        _importing = False


def refuse_launch_while_importing() -> None:
    """Keeps a script from launching its run again in the workers of that run.

    Raises:
        RunError: the main script is being imported by a worker.
    """
    if _importing:
        raise RunError(
            "workers import the script that launched the run, and it launches it again: put the launch under "
            '`if __name__ == "__main__":`'
        )


def used_names(data: Any) -> Iterator[str]:
    """Yields the names of the components that plain data uses, each as often as it does."""
    rest = [data]
    while rest:
        node = rest.pop()
        rest += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        if isinstance(node, dict) and isinstance(node.get("use"), str):
            yield node["use"]


def late_imports(data: Any) -> list[str]:
    """Gives the modules that the components in plain data import when they are used, each once."""
    return list(dict.fromkeys(module for name in used_names(data) for module in _late_imports_of(name)))


def _late_imports_of(name: str) -> tuple[str, ...]:
    try:
        return REGISTRY.find(name).late_imports
    except RegistryError:
        return ()


def _is_of_main(name: str) -> bool:
    try:
        return getattr(REGISTRY.find(name).target, "__module__", None) == _MAIN
    except RegistryError:
        return False
