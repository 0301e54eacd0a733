"""Nested states as JSON and tensors, and back: what `state_dict` methods give, without pickle.

A value that JSON cannot hold becomes a mapping with one key that begins with `$`.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from mlgym.errors import TrainingError

Plain: TypeAlias = Any
"""What JSON can hold."""


def flatten(state: Any, name: str = "state") -> tuple[Plain, dict[str, Tensor]]:
    """Gives a state as JSON-able data, and the tensors in it by their key path.

    Args:
        state: nested mappings and sequences of tensors, NumPy arrays and scalars, numbers, text, bytes and None.
        name: begins the key paths, such as `optimizers`.

    Raises:
        TrainingError: something in it cannot be held; the text names it.
    """
    tensors: dict[str, Tensor] = {}
    return _flatten(state, name, tensors), tensors


def restore(plain: Plain, tensors: Mapping[str, Tensor]) -> Any:
    """Gives the state behind `flatten`; its tensors are those of `tensors`, not copies where they are contiguous."""
    if isinstance(plain, list):
        return [restore(part, tensors) for part in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) == 1:
        ((mark, content),) = plain.items()
        if mark.startswith("$"):
            return _unmarked(mark, content, tensors)
    return {key: restore(part, tensors) for key, part in plain.items()}


def _flatten(state: Any, path: str, tensors: dict[str, Tensor]) -> Plain:
    if isinstance(state, np.generic) and not isinstance(state, str | bytes):
        # First: `np.float64` is a float too, but one that makes float32 arrays float64 ones.
        return _flatten_scalar(state, path)
    if state is None or isinstance(state, bool | int | str):
        return state
    if isinstance(state, float):
        return float(state) if math.isfinite(state) else {"$float": str(state)}
    if isinstance(state, Tensor):
        return _flatten_tensor(state, path, tensors)
    if isinstance(state, Mapping):
        return _flatten_mapping(state, path, tensors)
    if isinstance(state, list | tuple | deque | set | frozenset):
        return _flatten_sequence(state, path, tensors)
    if isinstance(state, np.ndarray) and _has_tensor_dtype(state.dtype):
        return {"$array": _store(torch.from_numpy(np.ascontiguousarray(state)).reshape(state.shape), path, tensors)}
    if isinstance(state, bytes):
        return {"$bytes": state.hex()}
    raise _cannot_hold(state, path)


def _cannot_hold(state: Any, path: str) -> TrainingError:
    kind = f"{type(state).__name__} of {state.dtype}" if isinstance(state, np.ndarray) else type(state).__name__
    return TrainingError(
        f"a checkpoint cannot hold `{path}`, a {kind}: `state_dict` may give tensors, arrays, numbers, text, bytes, "
        "None, and lists, tuples, sets and mappings of them"
    )


def _flatten_scalar(state: np.generic, path: str) -> Plain:
    if not _has_tensor_dtype(state.dtype):
        raise _cannot_hold(state, path)
    return {"$scalar": [state.dtype.str, _flatten(state.item(), path, {})]}


def _has_tensor_dtype(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype.isnative


def _flatten_tensor(state: Tensor, path: str, tensors: dict[str, Tensor]) -> Plain:
    name = _store(state.detach(), path, tensors)
    if state.is_contiguous() or hasattr(state, "device_mesh"):  # shares of FSDP are contiguous
        return {"$tensor": name}
    # As dense as `state`, in its order of axes: fused kernels read two tensors side by side, whatever their strides.
    return {"$strided": [name, list(torch.empty_like(state, device="meta").stride())]}


def _store(tensor: Tensor, path: str, tensors: dict[str, Tensor]) -> str:
    name, number = path, 1
    while name in tensors:  # {"a": {"b": ...}, "a.b": ...}, {1: ..., "1": ...}
        number += 1
        name = f"{path}~{number}"
    tensors[name] = tensor
    return name


def _flatten_mapping(state: Mapping[Any, Any], path: str, tensors: dict[str, Tensor]) -> Plain:
    if type(state) in (dict, OrderedDict, defaultdict) and all(
        isinstance(key, str) and not key.startswith("$") for key in state
    ):
        return {key: _flatten(part, f"{path}.{key}", tensors) for key, part in state.items()}
    pairs = [
        [_flatten(key, f"{path}.key{place}", tensors), _flatten(part, f"{path}.{key}", tensors)]
        for place, (key, part) in enumerate(state.items())
    ]
    return {"$counter" if isinstance(state, Counter) else "$map": pairs}


def _flatten_sequence(state: Any, path: str, tensors: dict[str, Tensor]) -> Plain:
    # A set has no order of its own; the file must not depend on the process's hash seed.
    parts = sorted(state, key=repr) if isinstance(state, set | frozenset) else state
    flat = [_flatten(part, f"{path}.{place}", tensors) for place, part in enumerate(parts)]
    if isinstance(state, list):
        return flat
    if isinstance(state, deque):
        return {"$deque": [flat, state.maxlen]}
    return {"$tuple" if isinstance(state, tuple) else "$set" if isinstance(state, set) else "$frozenset": flat}


def _unmarked(mark: str, content: Any, tensors: Mapping[str, Tensor]) -> Any:
    match mark:
        case "$tensor":
            return tensors[content]
        case "$strided":
            tensor = tensors[content[0]]
            return torch.empty_strided(tensor.shape, content[1], dtype=tensor.dtype).copy_(tensor)
        case "$array":
            return tensors[content].numpy()
        case "$scalar":
            return np.dtype(content[0]).type(restore(content[1], tensors))
        case "$float":
            return float(content)
        case "$bytes":
            return bytes.fromhex(content)
        case "$deque":
            return deque(restore(content[0], tensors), maxlen=content[1])
        case "$tuple":
            return tuple(restore(content, tensors))
        case "$set" | "$frozenset":
            return (set if mark == "$set" else frozenset)(restore(content, tensors))
        case "$map" | "$counter":
            pairs = {restore(key, tensors): restore(part, tensors) for key, part in content}
            return Counter(pairs) if mark == "$counter" else pairs
    raise TrainingError(f"a checkpoint has the unknown mark `{mark}`; it was written by a newer version")
