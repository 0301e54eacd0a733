"""The table of validation modes: `{mode: NAME, ...}` is checked against the signature registered under that name.

Modes other than the grid itself are registered from `mlgym.validation`.
"""

from __future__ import annotations

from typing import Final

from mlgym.config.registry import Registry

DEFAULT_MODE: Final = "grid_search"
VALIDATION_MODES: Final = Registry(modules=("mlgym.validation",))


@VALIDATION_MODES.register(DEFAULT_MODE)
class GridSearch:
    """Runs each point of the grid once, on the splits as the config has them."""
