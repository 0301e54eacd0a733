"""What one process uses while it trains: processor time, memory, and its share of a GPU."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, slots=True)
class Load:
    """What was used between two readings.

    Args:
        steps_per_s: optimizer updates in a second.
        rss_bytes: memory of the process that lies in RAM; 0 where the system does not tell.
        cpu_percent: processor time of all its threads; 100 is one core that is busy all the time.
        gpu_percent: share of the time in which the GPU did anything, whoever asked for it; None without a GPU, or where
            nobody tells.
        gpu_memory_bytes: memory of the GPU that this process holds, its allocator's reserve included; None without one.
    """

    steps_per_s: float
    rss_bytes: int
    cpu_percent: float
    gpu_percent: float | None
    gpu_memory_bytes: int | None


class LoadMeter:
    """Measures from one reading to the next."""

    def __init__(self, device: str, *, step: int = 0) -> None:
        """Begins to measure.

        Args:
            device: where tensors live.
            step: optimizer updates so far.
        """
        self._device = torch.device(device)
        self._can_tell_gpu = self._device.type == "cuda"
        self._began_s = time.monotonic()
        self._cpu_s = time.process_time()
        self._step = step

    def read(self, step: int) -> Load:
        """Gives what was used since the last reading.

        Args:
            step: optimizer updates so far; fewer than before where training went back.
        """
        now, cpu_s = time.monotonic(), time.process_time()
        elapsed_s = max(now - self._began_s, 1e-6)
        load = Load(
            steps_per_s=max(0, step - self._step) / elapsed_s,
            rss_bytes=resident_bytes(),
            cpu_percent=100 * (cpu_s - self._cpu_s) / elapsed_s,
            gpu_percent=self._gpu_percent(),
            gpu_memory_bytes=torch.cuda.memory_reserved(self._device) if self._device.type == "cuda" else None,
        )
        self._began_s, self._cpu_s, self._step = now, cpu_s, step
        return load

    def _gpu_percent(self) -> float | None:
        if not self._can_tell_gpu:
            return None
        try:
            return float(torch.cuda.utilization(self._device))
        except Exception:
            # Without `nvidia-ml-py`, or on a GPU that is cut in parts, nobody can tell: it is not asked again.
            self._can_tell_gpu = False
            return None


def resident_bytes() -> int:
    """Gives the memory of this process that lies in RAM, in bytes; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
