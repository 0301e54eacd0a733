"""Writing safetensors files piece by piece, hashed on the way.

The library's own writer copies all tensors into one block of bytes and keeps the interpreter's lock meanwhile, which
stops the training thread. Reading is left to the library.

Source: the format as described in the README of `safetensors`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mlgym.errors import TrainingError
from mlgym.events.durable import write_all

_DTYPES: Final = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.complex64: "C64",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_PIECE_BYTES: Final = 16 * 2**20


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Writes a safetensors file and syncs it.

    Args:
        path: where; there is no such file yet.
        tensors: by name, contiguous, on the CPU; each with memory of its own.
        metadata: texts for the header.

    Returns:
        Its size in bytes and its sha256 (hex).

    Raises:
        TrainingError: a dtype that the format does not have.
        OSError: the disk refused.
    """
    # No gaps are allowed, so that the widest numbers come first for all to lie at multiples of their size.
    ordered = sorted(tensors.items(), key=lambda entry: (-entry[1].element_size(), entry[0]))
    header = _header(ordered, metadata)
    hasher = hashlib.sha256()
    num_bytes = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        for content in (memoryview(header), *(_bytes_of(tensor) for _, tensor in ordered)):
            for start in range(0, len(content), _PIECE_BYTES):
                piece = content[start : start + _PIECE_BYTES]
                hasher.update(piece)
                write_all(descriptor, piece)
            num_bytes += len(content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return num_bytes, hasher.hexdigest()


def _header(ordered: list[tuple[str, Tensor]], metadata: Mapping[str, str] | None) -> bytes:
    entries: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in ordered:
        if tensor.dtype not in _DTYPES:
            raise TrainingError(f"a checkpoint cannot hold `{name}`: safetensors has no {tensor.dtype}")
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else memoryview(b"")
