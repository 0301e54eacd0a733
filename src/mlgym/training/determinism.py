"""Settings of the process that decide the bits: threads, deterministic algorithms, precision of matrix products."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mlgym.components.data.global_generators import GeneratorStates
from mlgym.seeding import Purpose, derive_seed

CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def prepare_process(*, threads: int, deterministic: bool = True) -> None:
    """Sets what changes the bits of a result, before anything is computed.

    Args:
        threads: threads of one operation, >= 1. Part of a run's identity: 1 and 2 threads give other bits.
        deterministic: refuse operations without a reproducible algorithm and switch TF32 and cuDNN's search off.
    """
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        # Allowed before the first parallel work only; it does not change bits.
        with suppress(RuntimeError):
            torch.set_num_interop_threads(1)
    if deterministic:
        os.environ.setdefault(CUBLAS_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cuda.matmul.allow_tf32 = not deterministic
    torch.backends.cudnn.allow_tf32 = not deterministic


def seed_global_generators(seed: int, *purpose: Purpose) -> None:
    """Seeds the global generators of python, numpy, torch and each initialised device for one purpose.

    Args:
        seed: the experiment's seed, >= 0.
        purpose: what they will be used for; another purpose gives independent streams.
    """
    random.seed(derive_seed(seed, "python", *purpose))
    np.random.seed(derive_seed(seed, "numpy", *purpose) & 0xFFFFFFFF)
    torch.default_generator.manual_seed(derive_seed(seed, "torch", *purpose))
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(derive_seed(seed, "cuda", *purpose))


@dataclass(frozen=True, slots=True)
class AllStates:
    """States of the global generators of this machine: what cannot be derived from seed and position.

    Args:
        host: those of python, numpy and torch on the CPU.
        cuda: uint8 (state bytes,) of each CUDA device; empty where CUDA is not in use.
    """

    host: GeneratorStates
    cuda: tuple[Tensor, ...]


def generator_states() -> AllStates:
    """Gives a copy of the states of all global generators."""
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return AllStates(GeneratorStates.capture(), tuple(torch.cuda.get_rng_state_all()) if in_use else ())


def restore_generator_states(states: AllStates) -> None:
    """Puts the global generators back to `states`."""
    states.host.restore()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        # A machine that goes on with an experiment may have other devices than the one before.
        for device, state in zip(range(torch.cuda.device_count()), states.cuda, strict=False):
            torch.cuda.set_rng_state(state, device)


@contextmanager
def own_randomness(seed: int, *purpose: Purpose) -> Iterator[None]:
    """Runs its body on generators of their own, and leaves the global ones as they were.

    What happens inside, an evaluation that samples for instance, then changes nothing outside.
    """
    before = generator_states()
    seed_global_generators(seed, *purpose)
    try:
        yield
    finally:
        restore_generator_states(before)
