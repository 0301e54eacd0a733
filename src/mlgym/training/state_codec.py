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
    """Gives the state behind `flatten`; its tensors are those of `tensors`, not copies."""
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
    if state is None or isinstance(state, bool | int | str):
        return state
    if isinstance(state, float):
        return float(state) if math.isfinite(state) else {"$float": str(state)}
    if isinstance(state, Tensor):
        tensors[path] = state
        return {"$tensor": path}
    if isinstance(state, Mapping):
        return _flatten_mapping(state, path, tensors)
    if isinstance(state, list | tuple | deque | set | frozenset):
        return _flatten_sequence(state, path, tensors)
    if isinstance(state, np.ndarray) and state.dtype.kind in "biuf":
        tensors[path] = torch.from_numpy(np.ascontiguousarray(state)).reshape(state.shape)
        return {"$array": path}
    if isinstance(state, np.generic) and state.dtype.kind in "biuf":
        return {"$scalar": [state.dtype.str, _flatten(state.item(), path, tensors)]}
    if isinstance(state, bytes):
        return {"$bytes": state.hex()}
    raise TrainingError(
        f"a checkpoint cannot hold `{path}`, a {type(state).__name__}: `state_dict` may give tensors, arrays, numbers, "
        "text, bytes, None, and lists, tuples, sets and mappings of them"
    )


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
    mark = "$tuple" if isinstance(state, tuple) else "$deque" if isinstance(state, deque) else "$set"
    return {mark: [flat, state.maxlen]} if isinstance(state, deque) else {mark: flat}


def _unmarked(mark: str, content: Any, tensors: Mapping[str, Tensor]) -> Any:
    match mark:
        case "$tensor":
            return tensors[content]
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
        case "$set":
            return set(restore(content, tensors))
        case "$map" | "$counter":
            pairs = {restore(key, tensors): restore(part, tensors) for key, part in content}
            return Counter(pairs) if mark == "$counter" else pairs
    raise TrainingError(f"a checkpoint has the unknown mark `{mark}`; it was written by a newer version")
