"""The global random generators of python, numpy and torch: keeping them, and seeding them for one sample.

User code augments with whichever of the three it likes, so all three are a function of (seed, epoch, index) while a
sample is read. Generators of devices are not touched: samples are read on the CPU.
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlgym import seeding


@dataclass(frozen=True, slots=True)
class GeneratorStates:
    """States of the three global generators.

    Args:
        python: as `random.getstate` gives it.
        numpy: as `numpy.random.get_state` gives it.
        torch: uint8 (state bytes,), of the CPU generator.
    """

    python: tuple[Any, ...]
    numpy: dict[str, Any]
    torch: Tensor

    @classmethod
    def capture(cls) -> GeneratorStates:
        """Gives the states as they are now."""
        return cls(random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state())

    def restore(self) -> None:
        """Puts the three generators back into these states."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.torch)


@contextmanager
def preserved_generators() -> Iterator[None]:
    """Puts the global generators back, at the end, into the states that they have now."""
    states = GeneratorStates.capture()
    try:
        yield
    finally:
        states.restore()


class SampleSeeds:
    """Seeds the global generators for one sample at a time, as a function of (seed, epoch, index) alone.

    Args:
        seed: of the loader, >= 0.
        purpose: keeps samples, collating and other uses of one seed apart.

    Source: a keyed hash (BLAKE2, RFC 7693) as counter-based generator: 1 us for a sample where
    `numpy.random.SeedSequence` takes 20.
    """

    def __init__(self, seed: int, purpose: str = "sample") -> None:
        self._key = seeding.seed_sequence(seed, purpose).generate_state(8, np.uint32).tobytes()

    def apply(self, epoch: int, index: int, repeat: int = 0) -> None:
        """Seeds the three generators.

        Args:
            epoch: number of the epoch, >= 0.
            index: of the sample in its dataset.
            repeat: how often this epoch drew the sample before, so that a sample drawn twice is augmented twice.
        """
        counter = struct.pack("<qqq", epoch, index, repeat)
        words = struct.unpack("<QQI", hashlib.blake2b(counter, key=self._key, digest_size=20).digest())
        # Not `torch.manual_seed`: it queues a seeding of every device, with a traceback, for 200 us a call.
        torch.default_generator.manual_seed(words[0])
        random.seed(words[1])
        # An integer of 32 bits, since seeding from an array takes 17 us instead of 3.
        np.random.seed(words[2])
