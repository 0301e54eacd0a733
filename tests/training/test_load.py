"""What a process uses, as far as the system tells."""

from __future__ import annotations

import mmap
import time

from mlgym.training.load import LoadMeter, resident_bytes


def test_busy_and_idle_processes_are_told_apart() -> None:
    """Processor time is of this process and of the stretch since the last reading; steps are counted from the first."""
    meter = LoadMeter("cpu", step=100)
    ends = time.process_time() + 0.1
    while time.process_time() < ends:
        sum(range(1000))
    busy = meter.read(step=130)
    time.sleep(0.3)
    idle = meter.read(step=130)
    assert busy.cpu_percent > idle.cpu_percent >= 0
    assert busy.steps_per_s > 0
    assert idle.steps_per_s == 0
    assert (busy.gpu_percent, busy.gpu_memory_bytes) == (None, None)


def test_memory_is_what_lies_in_ram() -> None:
    """Pages count once they are written to; mapped anew, since an allocator may hand out what it never gave back."""
    size = 50_000_000
    with mmap.mmap(-1, size) as pages:
        before = resident_bytes()
        for place in range(0, size, mmap.PAGESIZE):
            pages[place] = 1
        assert resident_bytes() - before > size / 2


def test_training_that_went_back_has_no_negative_rate() -> None:
    """Fewer steps than before are a resume, not a rate."""
    meter = LoadMeter("cpu", step=100)
    assert meter.read(step=40).steps_per_s == 0
