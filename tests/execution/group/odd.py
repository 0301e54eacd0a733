"""A callback that fails in the ways that the config of a test says; imported by it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch

from mlgym.config import register


@register("oddity")
class Oddity:
    """Fails at the end of the first epoch, or waits there for a file to come."""

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
            time.sleep(0.2)  # all ranks have looked
            self.file.touch()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if self.how == "waits_at_first" and is_first and not is_rank_1:
            self.file.touch()
            time.sleep(1.0)
