"""The order of samples in an epoch: a pure function of (seed, epoch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from mlgym import seeding
from mlgym.components.data.labels import Labels

Sampler: TypeAlias = Literal["random", "weighted_random", "sequential"]
Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """Which sample comes when.

    Args:
        num_samples: in the dataset, and drawn in an epoch; > 0.
        sampler: `random` is a fresh permutation in each epoch; `weighted_random` draws with replacement, each sample
            in proportion to its weight; `sequential` is the order of the dataset.
        seed: >= 0; unused by `sequential`.
        weights: float64 (samples,) > 0, for `weighted_random`.
    """

    num_samples: int
    sampler: Sampler = "sequential"
    seed: int = 0
    weights: npt.NDArray[np.float64] | None = None

    @property
    def draws_each_once(self) -> bool:
        """Whether an epoch has every sample exactly once."""
        return self.sampler != "weighted_random"

    def indices(self, epoch: int) -> Indices:
        """Gives the sample at each place of the epoch, int64 (samples,)."""
        if self.sampler == "sequential":
            return np.arange(self.num_samples)
        generator = seeding.generator(self.seed, "order", epoch)
        if self.weights is None:
            return generator.permutation(self.num_samples)
        return _draw(generator, self.weights)


def _draw(generator: np.random.Generator, weights: npt.NDArray[np.float64]) -> Indices:
    ends = np.cumsum(weights)
    drawn: Indices = np.searchsorted(ends, generator.random(len(weights)) * ends[-1], side="right")
    # Rounding in the product can reach the very end.
    return np.asarray(np.minimum(drawn, len(weights) - 1), dtype=np.int64)


def inverse_class_frequency(labels: Labels) -> npt.NDArray[np.float64]:
    """Gives each sample the weight 1 / (samples of its class), so that all classes are drawn equally often.

    Args:
        labels: int64 (samples,).

    Returns:
        float64 (samples,), in (0, 1].
    """
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[place], dtype=np.float64)


def count_repeats(indices: Indices) -> Indices:
    """Gives for each place how often its sample came before, int64 (samples,)."""
    by_sample = np.argsort(indices, kind="stable")
    ordered = indices[by_sample]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(ordered)])
    repeats = np.empty_like(indices)
    repeats[by_sample] = np.arange(len(ordered)) - np.repeat(starts, lengths)
    return repeats
