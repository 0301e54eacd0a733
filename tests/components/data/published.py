"""Small files in the formats of published image sets, and the table that tells where they are and what they hash to."""

from __future__ import annotations

import gzip
import hashlib
import struct
from typing import Any

import numpy as np

from mlgym.components.data.download import RemoteFile, RemoteSet


def idx(array: Any) -> bytes:
    """Gives an array of bytes as a gzip-compressed IDX file, the format of MNIST."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def remote_of(name: str, files: dict[str, bytes], address: str) -> RemoteSet:
    """Gives the table of a set whose only mirror is `address`."""
    entries = [RemoteFile(key, hashlib.sha256(content).hexdigest(), len(content)) for key, content in files.items()]
    return RemoteSet(name, tuple(entries), (address,))
