"""Which errors mean that memory was lacking: an experiment that fails with one may succeed where it is alone."""

from __future__ import annotations

import re
from typing import Final

KERNEL_KILLED: Final = "the kernel killed a process for lack of memory meanwhile"
"""What the error of a killed worker says where the kernel's count of such kills went up."""
NODE_LACKED_MEMORY: Final = "was running out of memory"
"""What the end of a task says that Ray has chosen to end for the sake of its node."""

# `OutOfMemoryError` is PyTorch's own for devices; the allocator of the CPU and libraries below raise plain ones.
_SIGNS: Final = re.compile(
    r"\b(?:OutOfMemoryError|MemoryError)\b"
    r"|CUDA error: out of memory|\bCU\w+_ALLOC(?:ATION)?_FAILED\b"
    r"|Cuda failure (?:\d+ )?'out of memory'"  # NCCL's, when it makes its buffers
    r"|DefaultCPUAllocator: (?:can't allocate|not enough) memory"
    rf"|{KERNEL_KILLED}|{NODE_LACKED_MEMORY}"
)
# What PyTorch says where a process that reads for a loader was killed, or was gone when it was asked.
_LOST_READER: Final = re.compile(r"DataLoader worker \(pid.*(?:killed by signal: Killed|exited unexpectedly)")


def is_out_of_memory(error: str | None) -> bool:
    """Tells whether the error of an experiment, `ExceptionType: message`, says that memory was lacking."""
    return error is not None and _SIGNS.search(error) is not None


def lost_reader(error: str) -> bool:
    """Tells whether an experiment failed because a process that read its data was killed, or is gone."""
    return _LOST_READER.search(error) is not None
