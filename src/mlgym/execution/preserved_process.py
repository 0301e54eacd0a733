"""A process as it was before a job ran in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def preserved_process(*, uses_torch: bool) -> Iterator[None]:
    """Puts back afterwards what a job changes of the process: environment, working directory, PyTorch's settings.

    Args:
        uses_torch: whether the job uses PyTorch; else its settings matter only where somebody has imported it.
    """
    environment, folder = dict(os.environ), Path.cwd()
    restore_torch = _remember_torch() if uses_torch or "torch" in sys.modules else None
    try:
        yield
    finally:
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        os.chdir(folder)
        if restore_torch is not None:
            restore_torch()


def _remember_torch() -> Callable[[], None]:
    import torch

    from mlgym.components.data.global_generators import GeneratorStates

    generators = GeneratorStates.capture()
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    cudnn: Any = torch.backends.cudnn
    flags = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    matmul_tf32 = torch.backends.cuda.matmul.allow_tf32

    def restore() -> None:
        generators.restore()
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = flags
        torch.backends.cuda.matmul.allow_tf32 = matmul_tf32

    return restore
