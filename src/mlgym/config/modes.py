"""The table of validation modes: `{mode: NAME, ...}` is checked against the signature registered under that name.

The modes themselves are in `mlgym.validation.modes`.
"""

from __future__ import annotations

from typing import Final

from mlgym.config.registry import Registry

DEFAULT_MODE: Final = "grid_search"
VALIDATION_MODES: Final = Registry(modules=("mlgym.validation.modes",))
