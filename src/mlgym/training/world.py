"""The processes that train one experiment together: who is one of them, and their group.

How they are started and ended is up to whoever launches them; what they compute together is in `parallel`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import torch
from torch import distributed
from torch.distributed import distributed_c10d

from mlgym.errors import Interrupted, TrainingError

_BACKENDS: Final = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
"""Numbers of the host go through gloo beside NCCL too, so that agreeing on something does not wait for the device."""

TIMEOUT_S: Final = 1800.0
_ABORT_S: Final = 10.0
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class World:
    """One process among those that train an experiment together.

    Args:
        rank: its number, in [0, size).
        size: how many there are, >= 1.
        local_rank: its number among those of this machine, whatever its device is called.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def single(cls) -> World:
        """Gives the world of a process that trains alone."""
        return cls()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> World:
        """Gives the world that `torchrun` describes by `RANK`, `WORLD_SIZE` and `LOCAL_RANK`; a single one without.

        Args:
            environment: None for that of this process.

        Raises:
            TrainingError: some of these are missing, or no numbers that fit each other.
        """
        environment = os.environ if environment is None else environment
        if "WORLD_SIZE" not in environment:
            return cls.single()
        rank, size, local_rank = (_number(environment, name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        if not (0 <= rank < size and 0 <= local_rank <= rank):
            raise TrainingError(
                f"RANK={rank}, WORLD_SIZE={size} and LOCAL_RANK={local_rank} do not fit each other: ranks go from 0 to "
                f"{size - 1}"
            )
        return cls(rank, size, local_rank)

    @property
    def is_main(self) -> bool:
        """Whether it is the one that writes events and checkpoints."""
        return self.rank == 0

    def open(self, device: str = "cpu", *, store: Any = None, timeout_s: float = TIMEOUT_S) -> None:
        """Joins the group, which exists from when all have joined; one process alone is a group too.

        Several find each other by `MASTER_ADDR` and `MASTER_PORT`, once; a later group of the same processes needs a
        store with keys of its own.

        Args:
            device: where tensors live: gloo connects CPUs, NCCL GPUs.
            store: where they find each other, a `torch.distributed.Store`; None for the one at that address.
            timeout_s: seconds, > 0, that one waits for the others before it gives up.

        Raises:
            TrainingError: nothing connects such devices, or the others did not come.
        """
        kind = torch.device(device).type
        if kind not in _BACKENDS:
            raise TrainingError(f"several processes cannot train together on `{kind}`; `cpu` and `cuda` can")
        timeout = timedelta(seconds=timeout_s)
        try:
            if self.size == 1:
                alone = distributed.HashStore()  # type: ignore[attr-defined]  # imported where PyTorch has it
                distributed.init_process_group(_BACKENDS[kind], store=alone, rank=0, world_size=1, timeout=timeout)
                return
            if os.environ.get("MASTER_ADDR") in _LOOPBACK:
                # Else gloo listens on the address that the machine's name has, where it has one.
                os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
            distributed.init_process_group(
                _BACKENDS[kind],
                init_method="env://" if store is None else None,
                store=store,
                rank=self.rank,
                world_size=self.size,
                timeout=timeout,
            )
        except (RuntimeError, ValueError) as error:
            raise TrainingError(
                f"rank {self.rank} of {self.size} cannot reach the others at {os.environ.get('MASTER_ADDR')}:"
                f"{os.environ.get('MASTER_PORT')}: {str(error).splitlines()[0]}"
            ) from error

    def close(self) -> None:
        """Leaves the group, where it is in one."""
        if distributed.is_initialized():
            distributed.destroy_process_group()

    def abandon(self) -> None:
        """Leaves the group where something failed, though the others may be in the midst of it.

        To leave a group of NCCL in the usual way takes all of them, and as long as they wait for each other. So it is
        aborted, for which there is a time limit, too: some versions of NCCL wait in that as well.

        Source: https://github.com/pytorch/pytorch/pull/141510, https://github.com/NVIDIA/nccl/issues/1777.
        """
        if not self._leaves_together():
            self.close()
            return
        abort = threading.Thread(target=distributed_c10d._abort_process_group, name="abort group", daemon=True)
        abort.start()
        abort.join(_ABORT_S)

    def _leaves_together(self) -> bool:
        return self.size > 1 and distributed.is_initialized() and "nccl" in distributed.get_backend_config()

    @contextmanager
    def group(self, device: str = "cpu", *, alone: bool = False, timeout_s: float = TIMEOUT_S) -> Iterator[None]:
        """Is in the group while its body runs; see `open`.

        Where the body fails, a process may stay in a group that all would have to leave together: it has to tell why,
        and to end, while the others wait for it there.

        Args:
            device: where tensors live.
            alone: whether a single process, which hardly ever needs a group, joins one of its own.
            timeout_s: seconds, > 0, that one waits for the others.
        """
        if (self.size == 1 and not alone) or distributed.is_initialized():
            yield
            return
        self.open(device, timeout_s=timeout_s)
        try:
            yield
        except BaseException as error:
            if isinstance(error, Interrupted) or not self._leaves_together():
                self.close()
            raise
        self.close()


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not value.isdecimal():
        raise TrainingError(f"`{name}` in the environment must be a whole number >= 0, but is `{value}`")
    return int(value)
