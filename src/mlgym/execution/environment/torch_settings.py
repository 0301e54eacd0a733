"""How PyTorch computes in the processes of the experiments: its build, and the flags that decide bits.

PyTorch is imported when it is asked for, since some only ask for other parts of the surroundings.
"""

from __future__ import annotations

from typing import Any


def instruction_set() -> str:
    """Gives the processor's instruction set as PyTorch uses it, such as `AVX2`."""
    import torch

    return torch.backends.cpu.get_cpu_capability()


def torch_settings(*, deterministic: bool | None) -> dict[str, Any]:
    """Gives PyTorch's build and flags without initialising a device.

    Args:
        deterministic: whether experiments run with deterministic algorithms, see `mlgym.training.prepare_process`;
            None where this process computes, with the settings that it has now.

    Returns:
        `config` and `parallel` as PyTorch words them, without thread counts, which are those of this process; `cuda`,
        `hip` and `cudnn` versions, None in builds without; `flags` of the experiments' processes.
    """
    import torch

    cudnn: Any = torch.backends.cudnn
    return {
        "version": str(torch.__version__),
        "config": torch.__config__.show(),
        "parallel": "\n".join(_parallel_lines(torch.__config__.parallel_info())),
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "cudnn": cudnn.version() if cudnn.is_available() else None,
        "flags": {
            **(_flags_now() if deterministic is None else _flags_of_experiments(deterministic)),
            "cudnn_enabled": cudnn.enabled,
            "mkldnn_enabled": torch.backends.mkldnn.enabled,
            "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
            "fill_uninitialized_memory": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]  # set when imported
        },
    }


def _flags_of_experiments(deterministic: bool) -> dict[str, Any]:
    return {
        "deterministic_algorithms": deterministic,
        "cudnn_benchmark": not deterministic,
        "cudnn_deterministic": deterministic,
        "cudnn_allow_tf32": not deterministic,
        "matmul_allow_tf32": not deterministic,
        "float32_matmul_precision": "highest" if deterministic else "high",
    }


def _flags_now() -> dict[str, Any]:
    import torch

    cudnn: Any = torch.backends.cudnn
    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": cudnn.benchmark,
        "cudnn_deterministic": cudnn.deterministic,
        "cudnn_allow_tf32": cudnn.allow_tf32,
        "matmul_allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def _parallel_lines(text: str) -> list[str]:
    lines = text.partition("Environment variables:")
    told = [line.strip() for line in (lines[0] + lines[2]).splitlines()]
    of_this_process = ("_threads() :", "NUM_THREADS :", "hardware_concurrency() :")
    return [line for line in told if line and not any(part in line for part in of_this_process)]
