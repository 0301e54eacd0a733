"""Hashes of tensors and states: two experiments are equal, bit for bit, exactly if these are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from hashlib import _Hash

_SHORT: Final = 8


@dataclass(slots=True)
class StateDigest:
    """Hash of a state, with one for each tensor in it.

    Args:
        sha256: of all of it (hex).
        names: key paths of its tensors, in their order.
        tensors: the first 8 hex digits of the sha256 of each tensor.
    """

    sha256: str = ""
    names: list[str] = field(default_factory=list)
    tensors: list[str] = field(default_factory=list)


def digest(state: Any) -> str:
    """Gives the sha256 (hex) of nested mappings and sequences of tensors and JSON-able values; see `state_digest`."""
    return state_digest(state).sha256


def state_digest(state: Any, name: str = "") -> StateDigest:
    """Gives the digest of nested mappings and sequences of tensors and JSON-able values.

    Covers names, types, shapes, order and every bit of every tensor; the device does not count.

    Args:
        state: such as `model.state_dict()` or `optimizer.state_dict()`; tensors of any shape and dtype.
        name: begins the key paths of the tensors.

    Raises:
        TypeError: something in it is neither a tensor nor JSON-able.
    """
    hasher = hashlib.sha256()
    found = StateDigest()
    _update(hasher, state, name, found)
    found.sha256 = hasher.hexdigest()
    return found


def short_hash(content: bytes | memoryview) -> str:
    """Gives the first 8 hex digits of the sha256."""
    return hashlib.sha256(content).hexdigest()[:_SHORT]


def _update(hasher: _Hash, value: Any, path: str, found: StateDigest) -> None:
    if isinstance(value, Tensor):
        sha256 = _tensor_hash(value)
        hasher.update(sha256)
        found.names.append(path)
        found.tensors.append(sha256.hex()[:_SHORT])
    elif isinstance(value, Mapping):
        hasher.update(f"mapping {len(value)}:".encode())
        for key, part in value.items():
            hasher.update(f"{key!r}=".encode())
            _update(hasher, part, f"{path}.{key}" if path else str(key), found)
    elif isinstance(value, (list, tuple)):
        hasher.update(f"sequence {len(value)}:".encode())
        for place, part in enumerate(value):
            _update(hasher, part, f"{path}.{place}" if path else str(place), found)
    else:
        hasher.update(json.dumps(value).encode() + b";")


def _tensor_hash(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous()
    hasher = hashlib.sha256(f"tensor {flat.dtype} {list(flat.shape)}:".encode())
    # NumPy has no bfloat16: the bytes are read through uint8 instead.
    hasher.update(flat.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.digest()
