"""MLgym: PyTorch experiments that anybody can repeat.

Importing it is cheap: PyTorch is imported when something needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlgym.api import Experiment, Run, compare_runs, load_model, load_run, reproduce, resume, run, track
    from mlgym.components.tensors import StepOutput
    from mlgym.config import register, use

__version__ = "1.0.0.dev0"

__all__ = [
    "Experiment",
    "Run",
    "StepOutput",
    "compare_runs",
    "load_model",
    "load_run",
    "register",
    "reproduce",
    "resume",
    "run",
    "track",
    "use",
]

_LAZY = {
    "Experiment": "mlgym.api",
    "Run": "mlgym.api",
    "StepOutput": "mlgym.components.tensors",
    "compare_runs": "mlgym.api",
    "load_model": "mlgym.api",
    "load_run": "mlgym.api",
    "register": "mlgym.config.registry",
    "reproduce": "mlgym.api",
    "resume": "mlgym.api",
    "run": "mlgym.api",
    "track": "mlgym.api",
    "use": "mlgym.config",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module `mlgym` has no attribute `{name}`")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
