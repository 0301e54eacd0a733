"""Repeating each configuration under several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field

from mlgym.config import ModeView
from mlgym.errors import Fault

Seeds: TypeAlias = Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=0, lt=2**63)]]
"""A number of seeds, >= 1, counted from the run's own; or the seeds themselves."""

NO_SEEDS: Final[Sequence[int]] = ()


def seeds_of(view: ModeView, seeds: Seeds | None) -> Sequence[int]:
    """Gives the seeds; none where the experiments keep the run's own."""
    if seeds is None:
        return NO_SEEDS
    if isinstance(seeds, int):
        first = view.seed or 0
        return range(first, first + seeds)
    return tuple(seeds)


def faults_of_seeds(view: ModeView, seeds: Seeds | None) -> list[Fault]:
    """Gives what is wrong with the seeds."""
    if seeds is None:
        return []
    if view.seed is None:
        return [view.fault("seeds", "the config sweeps over `seed` already; give one of the two")]
    if isinstance(seeds, list):
        if not seeds:
            return [view.fault("seeds", "needs at least one seed")]
        twice = next((seed for place, seed in enumerate(seeds) if seed in seeds[:place]), None)
        if twice is not None:
            return [view.fault("seeds", f"has the seed {twice} twice, which gives the same experiment twice")]
    return []


def with_seed(config: dict[str, Any], seed: int | None) -> dict[str, Any]:
    """Gives a config under another seed; None for its own."""
    return config if seed is None else {**config, "seed": seed}
