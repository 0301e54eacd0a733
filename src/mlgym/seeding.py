"""Random streams that depend on (seed, purpose) alone, never on what ran before.

Each use of randomness names its purpose; two purposes, two neighbouring seeds or two epochs never share a stream.
"""

from __future__ import annotations

import hashlib

import numpy as np

Purpose = str | int


def _words(purpose: Purpose) -> list[int]:
    # The type is part of the key, so that the epoch 3 and the component "3" are different purposes.
    text = f"{type(purpose).__name__}:{purpose}".encode()
    digest = hashlib.sha256(text).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]


def seed_sequence(seed: int, *purpose: Purpose) -> np.random.SeedSequence:
    """Gives the seed sequence of one purpose.

    Args:
        seed: the seed of the run or the one pinned on a component, >= 0.
        purpose: what the randomness is for, from general to special: `"order", 3` for the order of epoch 3.

    Raises:
        ValueError: the seed is negative.

    Source: counter-based seeding as in `numpy.random.SeedSequence` (O'Neill's seed_seq_fe, NumPy NEP 19).
    """
    return np.random.SeedSequence(seed, spawn_key=tuple(word for part in purpose for word in _words(part)))


def generator(seed: int, *purpose: Purpose) -> np.random.Generator:
    """Gives a fresh NumPy generator (PCG64) for one purpose."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, *purpose)))


def derive_seed(seed: int, *purpose: Purpose) -> int:
    """Gives an integer seed in [0, 2**63) for one purpose, for APIs that take an integer."""
    return int(seed_sequence(seed, *purpose).generate_state(1, np.uint64)[0] >> np.uint64(1))
