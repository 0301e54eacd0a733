"""A callback that fails in the ways that the config of a test says; imported by it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch

from mlgym.config import register
from mlgym.execution.job import STOP_SIGNAL


@register("oddity")
class Oddity:
    """Fails at the end of the first epoch, or waits there until it is asked to stop."""

    def __init__(self, how: str = "not", file: str = "") -> None:
        """Sets it up.

        Args:
            how: `rank_1_raises`, `rank_1_is_killed`, `lacks_memory_at_first`, `waits_at_first` or `not`.
            file: what tells a later attempt from the first one.
        """
        self.how = how
        self.file = Path(file)

    def on_epoch_end(self, state: Any) -> None:
        """Fails, where its time has come."""
        is_first, is_rank_1 = state.epoch == 1 and not self.file.exists(), os.environ.get("RANK") == "1"
        is_mended = self.file.with_name("mended").exists()
        if self.how == "rank_1_raises" and is_rank_1 and not is_mended:
            raise ValueError("only one of us fails")
        if self.how == "rank_1_is_killed" and is_rank_1:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "lacks_memory_at_first" and is_first:
            self._wait_for_all()
            self.file.touch()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if self.how == "waits_at_first" and is_first and not is_rank_1:
            self._wait_for_a_stop()

    def _wait_for_all(self) -> None:
        """Waits until each rank has looked whether this is the first attempt."""
        self.file.with_name(f"looked_{os.environ['RANK']}").touch()
        while len(list(self.file.parent.glob("looked_*"))) < int(os.environ["WORLD_SIZE"]):
            time.sleep(0.02)

    def _wait_for_a_stop(self) -> None:
        asked: list[int] = []
        before: Any = signal.getsignal(STOP_SIGNAL)

        def note(signum: int, frame: Any) -> None:
            before(signum, frame)
            asked.append(signum)

        signal.signal(STOP_SIGNAL, note)
        self.file.touch()
        while not asked:
            time.sleep(0.02)
        signal.signal(STOP_SIGNAL, before)
