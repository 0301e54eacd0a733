"""What an experiment is for, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def trial_words(trial: Mapping[str, Any]) -> list[str]:
    """Gives `["outer fold 1", "inner fold 0", "seed 4"]`; nothing for a plain point of the grid."""
    words = []
    if _is_number(trial.get("outer_fold")):
        words.append(f"outer fold {trial['outer_fold']}")
    if _is_number(trial.get("fold")):
        words.append(f"{'inner ' if trial.get('role') == 'inner' else ''}fold {trial['fold']}")
    if trial.get("role") == "outer":
        words.append("fit of the winner")
    if _is_number(trial.get("seed_index")) and _is_number(trial.get("seed")):
        words.append(f"seed {trial['seed']}")
    return words


def _is_number(value: Any) -> bool:
    return type(value) is int
