"""The whole record of a run's surroundings, as it stands in `environment.json`; the parts are beside this module."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mlgym.execution.environment.hardware import cpu_model, gpus, memory_bytes, nvidia_driver, usable_cores
from mlgym.execution.environment.packages import installed_packages, package_hashes
from mlgym.execution.environment.repository import git_state
from mlgym.execution.environment.torch_settings import instruction_set, torch_settings
from mlgym.execution.environment.user_modules import user_modules
from mlgym.reproduction.secrets import mask_command, mask_variables, secret_values

VARIABLE_PREFIXES: Final = (
    "ATEN_", "CUBLAS_", "CUDA_", "CUDNN_", "DNNL_", "GOMP_", "HIP_", "KMP_", "LD_PRELOAD", "MIOPEN_", "MKL_", "MLGYM_",
    "NCCL_", "NPY_", "NVIDIA_TF32_", "OMP_", "ONEDNN_", "OPENBLAS_", "PYTHONHASHSEED", "PYTORCH_", "ROCBLAS_",
    "SLURM_JOB_ID", "TORCH_", "TORCHINDUCTOR_", "XLA_",
)  # fmt: skip
_NO_HASH_SEED: Final = "random"


def recorded_command(command: Sequence[str], variables: Mapping[str, str] = os.environ) -> list[str]:
    """Gives a command line as it may be recorded: `***` in place of each secret.

    Args:
        command: program and arguments.
        variables: what secret ones of them hold is masked too.
    """
    return mask_command(command, secret_values(variables))


def capture_environment(
    *,
    threads: int | None,
    deterministic: bool | None,
    folder: Path | None,
    variables: Mapping[str, str] = os.environ,
    command: Sequence[str] = (),
    imports: Sequence[str] = (),
    main_script: Path | None = None,
    world_size: int | None = None,
    backend: str | None = None,
) -> dict[str, Any]:
    """Gives the surroundings of a run's experiments as plain data, without secrets, in a fraction of a second.

    What is recorded holds for the processes that run the experiments; CUDA is not initialised. It is called where the
    config has been checked, so that PyTorch and the user's modules are loaded already; where PyTorch is not, it stays
    so and nothing is recorded of it.

    Args:
        threads: threads of one operation in each experiment; None where nobody says it.
        deterministic: whether the experiments' processes use deterministic algorithms; None where this process is the
            one that computes, and its settings are recorded as they are.
        folder: where the config lies, for the git commit and the user's modules; None for the working directory.
        variables: the environment variables of the experiments.
        command: how the run was launched.
        imports: the user's modules that the config names.
        main_script: the program whose own components the config uses; None where it uses none.
        world_size: processes that train an experiment together; None where nobody says it.
        backend: what connects them, `gloo` or `nccl`; None where there is one.
    """
    place = (folder or Path.cwd()).absolute()
    # What is secret in the driver's own environment may also stand in a diff.
    secrets = secret_values({**os.environ, **variables})
    with_torch = "torch" in sys.modules
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
        "cpu": {
            "model": cpu_model(),
            "isa": instruction_set() if with_torch else None,
            "cores": os.cpu_count(),
            "usable_cores": usable_cores(),
        },
        "memory_bytes": memory_bytes(),
        "gpus": gpus(),
        "driver": nvidia_driver(),
        "packages": installed_packages(),
        "package_hashes": package_hashes(),
        "git": git_state(place, secrets),
        "command": mask_command(command, secrets),
        "torch": torch_settings(deterministic=deterministic) if with_torch else None,
        "threads": threads,
        "deterministic": deterministic,
        "world_size": world_size,
        "backend": backend,
        "hash_seed": variables.get("PYTHONHASHSEED", _NO_HASH_SEED),
        "environment_variables": mask_variables(
            {name: value for name, value in sorted(variables.items()) if name.startswith(VARIABLE_PREFIXES)}, secrets
        ),
        "code": user_modules(place, imports, main_script),
    }
