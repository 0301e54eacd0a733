"""MLgym: PyTorch experiments that anybody can repeat.

Importing it is cheap: PyTorch is imported when something needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlgym.api import Experiment, Run, load_model, load_run, resume, run
    from mlgym.components.tensors import StepOutput
    from mlgym.config import register, use

__version__ = "1.0.0.dev0"

__all__ = ["Experiment", "Run", "StepOutput", "load_model", "load_run", "register", "resume", "run", "use"]

_LAZY = {
    "Experiment": "mlgym.api",
    "Run": "mlgym.api",
    "StepOutput": "mlgym.components.tensors",
    "load_model": "mlgym.api",
    "load_run": "mlgym.api",
    "register": "mlgym.config.registry",
    "resume": "mlgym.api",
    "run": "mlgym.api",
    "use": "mlgym.config",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module `mlgym` has no attribute `{name}`")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
