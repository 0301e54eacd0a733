"""What a run's numbers depend on beside its config: versions, hardware, settings. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    "mlgym",
    "torch",
    "numpy",
    "torchmetrics",
    "scikit-learn",
    "scipy",
    "pydantic",
    "PyYAML",
    "msgspec",
    "safetensors",
    "polars",
)
_VARIABLE_PREFIXES: Final = (
    "ATEN_", "CUBLAS_", "CUDA_", "CUDNN_", "DNNL_", "KMP_", "MKL_", "MLGYM_", "NCCL_", "NVIDIA_TF32_", "OMP_",
    "ONEDNN_", "OPENBLAS_", "PYTHONHASHSEED", "PYTORCH_", "TORCH_", "SLURM_JOB_ID",
)  # fmt: skip
_SECRET: Final = ("TOKEN", "KEY", "SECRET", "PASSWORD")
_GIT_TIMEOUT_S: Final = 0.2


def capture_environment(
    *, threads: int, deterministic: bool, folder: Path | None, variables: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """Gives the surroundings of a run as plain data, in a fraction of a second.

    Args:
        threads: threads of one operation in each experiment.
        deterministic: whether deterministic algorithms are asked for.
        folder: where the config lies, for the git commit; None for the working directory.
        variables: the environment variables of the experiments.
    """
    return {
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
        },
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "libc": " ".join(platform.libc_ver()),
            "host": platform.node(),
        },
        "cpu": {"model": cpu_model(), "cores": os.cpu_count(), "usable_cores": usable_cores()},
        "memory_bytes": memory_bytes(),
        "packages": package_versions(),
        "git": git_state(folder or Path.cwd()),
        "threads": threads,
        "deterministic": deterministic,
        "environment_variables": {
            name: value
            for name, value in sorted(variables.items())
            if name.startswith(_VARIABLE_PREFIXES) and not any(word in name for word in _SECRET)
        },
    }


def package_versions() -> dict[str, str]:
    """Gives the installed versions of what computes the numbers, by package name, without importing them."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def cpu_model() -> str | None:
    """Gives the name of the processor, which decides the instruction set and so the bits; None where it is unknown."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or None


def usable_cores() -> int:
    """Gives the number of cores that this process may use, >= 1."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """Gives the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def git_state(folder: Path) -> dict[str, Any] | None:
    """Gives the commit of the repository around `folder` and whether tracked files differ; None where there is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            command,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()
