"""What must hold before a run is started, so that its experiments do not all fail for one reason."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from mlgym.errors import RunError
from mlgym.execution.ray_options import RayOptions
from mlgym.tracking.delivery import Hubs

if TYPE_CHECKING:
    import torch

MAX_THREADS: Final = 1024
"""More threads than any machine has cores; far beyond it, libraries crash."""


def check_launch(
    *,
    devices: Sequence[str],
    threads: int | Literal["auto"],
    text_logging_path: Path | None,
    hubs: Hubs | None = None,
) -> None:
    """Checks what no experiment could do anything about.

    Args:
        devices: as given.
        threads: as given.
        text_logging_path: folder for text logs; None for none.
        hubs: where the run is to be sent; None for nowhere.

    Raises:
        HubError: one of them is no address.
        RunError: something is wrong; the text says what to change.
    """
    for device in devices:
        _check_device(device)
    if threads != "auto" and not 1 <= threads <= MAX_THREADS:
        raise RunError(f"`threads` must be from 1 to {MAX_THREADS} or `auto`, but is {threads}")
    if text_logging_path is not None:
        _check_folder(text_logging_path)
    if hubs is not None:
        hubs.check()


def local_devices(executor: str, devices: Sequence[str]) -> Sequence[str]:
    """Gives those of a run's devices that this machine must have; those of a cluster are elsewhere."""
    return () if executor in ("ray", "slurm") else devices


def check_cluster_options(
    executor: str, ray: RayOptions | Mapping[str, Any] | None, slurm: Mapping[str, str | Sequence[str]] | None
) -> None:
    """Checks that what was said about a cluster is about the executor's, since no other one would look at it.

    Args:
        executor: what will run the experiments.
        ray: options of a Ray cluster, where any were given.
        slurm: options of SLURM, where any were given.

    Raises:
        RunError: they are for another executor.
    """
    if slurm and executor != "slurm":
        raise RunError("options of SLURM (`--slurm`) say how jobs are submitted: they need `--executor slurm`")
    if executor != "ray" and RayOptions().changed(ray) != RayOptions():
        raise RunError(
            "options of a Ray cluster (`--address`, `--insecure-cluster`, `--ray-code`, `--cluster-wait-s`) need "
            "`--executor ray`"
        )


def _check_folder(wanted: Path) -> None:
    path = wanted.absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    if not there.is_dir():
        raise RunError(f"no text logs can be written to `{wanted}`: `{there}` is a file; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunError(f"no text logs can be written to `{wanted}`: `{there}` is not writable; name another folder")


def _check_device(name: str) -> None:
    # Torch is there already: checking the config imported the components.
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise RunError(f"there is no device `{name}`; devices are named `cpu`, `cuda` or `cuda:1`") from None
    if device.type == "cuda":
        _check_cuda(name, device.index or 0)
    elif device.type != "cpu":
        _check_other(name, device)


def _check_cuda(name: str, index: int) -> None:
    import torch

    # Counting asks the driver and leaves CUDA uninitialised; this process may still be forked.
    count = torch.cuda.device_count()
    if index >= count:
        raise RunError(
            f"device `{name}` is not there: PyTorch finds {count or 'no'} CUDA devices; `cpu` works everywhere"
        )


def _check_other(name: str, device: torch.device) -> None:
    import torch

    if device.type == "meta":
        raise RunError("device `meta` holds no values, so nothing can be trained on it; `cpu` works everywhere")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, NotImplementedError, AssertionError):
        raise RunError(
            f"device `{name}` is not there: this PyTorch is built without it, or finds none; `cpu` works everywhere"
        ) from None
