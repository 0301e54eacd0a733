"""Hashes of tensors and states: two experiments are equal, bit for bit, exactly if these are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from hashlib import _Hash


def digest(state: Any) -> str:
    """Gives the sha256 (hex) of nested mappings and sequences of tensors and JSON-able values.

    Covers names, types, shapes, order and every bit of every tensor; the device does not count.

    Args:
        state: such as `model.state_dict()` or `optimizer.state_dict()`; tensors of any shape and dtype.

    Raises:
        TypeError: something in it is neither a tensor nor JSON-able.
    """
    hasher = hashlib.sha256()
    _update(hasher, state)
    return hasher.hexdigest()


def _update(hasher: _Hash, value: Any) -> None:
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous()
        hasher.update(f"tensor {flat.dtype} {list(flat.shape)}:".encode())
        # NumPy has no bfloat16: the bytes are read through uint8 instead.
        hasher.update(flat.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        hasher.update(f"mapping {len(value)}:".encode())
        for key, part in value.items():
            hasher.update(f"{key!r}=".encode())
            _update(hasher, part)
    elif isinstance(value, (list, tuple)):
        hasher.update(f"sequence {len(value)}:".encode())
        for part in value:
            _update(hasher, part)
    else:
        hasher.update(json.dumps(value).encode() + b";")
