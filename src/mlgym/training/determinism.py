"""Settings of the process that decide the bits: threads, deterministic algorithms, precision of matrix products."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
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
    """Seeds the global generators of python, numpy, torch and each device for one purpose.

    Args:
        seed: the experiment's seed, >= 0.
        purpose: what they will be used for; another purpose gives independent streams.
    """
    random.seed(derive_seed(seed, "python", *purpose))
    np.random.seed(derive_seed(seed, "numpy", *purpose) & 0xFFFFFFFF)
    torch.default_generator.manual_seed(derive_seed(seed, "torch", *purpose))
    # Kept until the devices are initialised, where they are not yet; it does not initialise them.
    torch.cuda.manual_seed_all(derive_seed(seed, "cuda", *purpose))
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(derive_seed(seed, "mps", *purpose))


@dataclass(frozen=True, slots=True)
class AllStates:
    """States of the global generators of this machine: what cannot be derived from seed and position.

    Args:
        host: those of python, numpy and torch on the CPU.
        cuda: uint8 (state bytes,) of each CUDA device; empty where CUDA is not in use.
        cuda_device: which of them computes.
        mps: uint8 (state bytes,) of an Apple GPU; None where there is none.
    """

    host: GeneratorStates
    cuda: tuple[Tensor, ...] = ()
    cuda_device: int = 0
    mps: Tensor | None = None


def generator_states() -> AllStates:
    """Gives a copy of the states of all global generators."""
    host = GeneratorStates.capture()
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    if not torch.cuda.is_initialized():
        return AllStates(host, mps=mps)
    return AllStates(host, tuple(torch.cuda.get_rng_state_all()), torch.cuda.current_device(), mps)


def restore_generator_states(states: AllStates) -> None:
    """Puts the global generators back to `states`, also where another device computes than the one before."""
    states.host.restore()
    if states.cuda and torch.cuda.is_initialized():
        placed = states_by_device(
            states.cuda, before=states.cuda_device, now=torch.cuda.current_device(), count=torch.cuda.device_count()
        )
        for device, state in enumerate(placed):
            torch.cuda.set_rng_state(state, device)
    if states.mps is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states.mps)


def states_by_device(states: Sequence[Tensor], *, before: int, now: int, count: int) -> list[Tensor]:
    """Gives the state for each device of a machine: the one that computes goes on with that of the one that did.

    Args:
        states: uint8 (state bytes,) of each device that there was, at least one.
        before: the one that computed then.
        now: the one that computes now.
        count: how many devices there are now.
    """
    placed = [states[device] if device < len(states) else states[before] for device in range(count)]
    if before < count:
        placed[before] = placed[now]
    placed[now] = states[before]
    return placed


class BatchDraws:
    """Makes what is drawn for a batch a function of the batch, whichever batches were before it in this process.

    Seeding for each batch would cost time where nothing is drawn, as usual: so that is found out with the first one.

    Args:
        seed: of all batches.
        purpose: keeps them apart from others of the same seed.
    """

    def __init__(self, seed: int, *purpose: Purpose) -> None:
        self._seed = seed
        self._purpose = purpose
        self._before: AllStates | None = None
        self._draws = True

    def begin(self, batch: int) -> None:
        """Seeds for a batch, by its number in the epoch."""
        if self._draws:
            seed_global_generators(self._seed, *self._purpose, batch)
            self._before = generator_states()

    def end(self) -> None:
        """Notices whether anything was drawn."""
        if self._draws:
            assert self._before is not None
            self._draws = not _are_equal(self._before, generator_states())


def _are_equal(one: AllStates, other: AllStates) -> bool:
    tensors = [[each.host.torch, *each.cuda, *([] if each.mps is None else [each.mps])] for each in (one, other)]
    if len(tensors[0]) != len(tensors[1]):
        return False
    same_numpy = repr(one.host.numpy["state"]["pos"]) == repr(other.host.numpy["state"]["pos"]) and np.array_equal(
        one.host.numpy["state"]["key"], other.host.numpy["state"]["key"]
    )
    return same_numpy and one.host.python == other.host.python and all(map(torch.equal, *tensors))


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
