"""A preload after which PyTorch refuses CUDA in forked children, as it does once it has asked the CUDA runtime."""

import os
import sys
from types import ModuleType, SimpleNamespace

_owner = os.getpid()
_torch = ModuleType("torch")
_torch.cuda = SimpleNamespace(  # type: ignore[attr-defined]  # the part that is asked
    is_initialized=lambda: False, _is_in_bad_fork=lambda: os.getpid() != _owner
)
sys.modules["torch"] = _torch
