"""The machine: processor, memory, GPUs and their driver, as the system tells them without a library being loaded."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any, Final

_NVIDIA: Final = Path("/proc/driver/nvidia")


def cpu_model() -> str | None:
    """Gives the name of the processor, by which libraries choose their kernels; None where it is unknown."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or None


def usable_cores() -> int:
    """Gives the number of cores that this process may use, >= 1."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """Gives the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gpus(root: Path = _NVIDIA) -> list[dict[str, Any]]:
    """Gives name and bus address of each NVIDIA GPU that the kernel's driver knows, by address.

    Args:
        root: where the driver shows them.
    """
    found = []
    try:
        for folder in sorted((root / "gpus").iterdir()):
            text = (folder / "information").read_text(errors="replace")
            model = re.search(r"^Model:\s*(.+)$", text, re.MULTILINE)
            found.append({"name": model[1].strip() if model else "unknown", "bus": folder.name})
    except OSError:
        pass
    return found


def nvidia_driver(root: Path = _NVIDIA) -> str | None:
    """Gives the version of the driver of NVIDIA GPUs, such as `550.54.15`; None where there is none.

    Args:
        root: where the driver shows it.
    """
    try:
        text = (root / "version").read_text(errors="replace")
    except OSError:
        return None
    version = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", text)
    return version[1] if version else None
