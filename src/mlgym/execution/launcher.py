"""Command lines of fresh Python processes that find the same modules as this one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def python_command(module: str, *arguments: str) -> list[str]:
    """Gives the command that calls `start()` of a module in a fresh interpreter with this one's `sys.path`.

    `python -m` would search the module on the new interpreter's own path, and would load it twice, as `__main__` too.
    """
    return [
        sys.executable,
        "-c",
        f"import sys; sys.path[:] = {sys.path!r}; from {module} import start; start()",
        *arguments,
    ]


def worker_environment(threads: int, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Gives the environment variables of the fork server and its workers.

    Args:
        threads: threads of one operation, >= 1; it changes the bits of results, so the user's own setting yields.
        environment: what to start from.
    """
    changed = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # OpenBLAS starts its threads when NumPy is imported, and a process with threads must not be forked.
        "OPENBLAS_NUM_THREADS": "1",
        # So does the allocator of pyarrow, which scikit-learn imports by way of pandas where both are installed.
        "JE_ARROW_MALLOC_CONF": _without_background_thread(environment.get("JE_ARROW_MALLOC_CONF", "")),
        # Asking for CUDA must not initialise it: it does not survive a fork.
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    }
    return {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8", **environment, **changed}


def _without_background_thread(options: str) -> str:
    """Gives options of jemalloc, those of the user first, of which the last one counts."""
    return ",".join([*filter(None, [options]), "background_thread:false"])
