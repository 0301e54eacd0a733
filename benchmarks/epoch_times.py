"""A callback that writes down what each epoch took in its process; `executors` reads it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from mlgym import register

FOLDER_VARIABLE = "MLGYM_BENCH_EPOCHS"


class EpochTimes:
    """CPU time and wall time of each epoch's steps, in a file of this process."""

    def __init__(self) -> None:
        self.epochs: list[tuple[float, float]] = []
        self._begun = (0.0, 0.0)

    def start(self) -> None:
        """An epoch begins."""
        self._begun = (time.process_time(), time.perf_counter())

    def stop(self) -> None:
        """Its last step is done."""
        cpu_s, wall_s = self._begun
        self.epochs.append((time.process_time() - cpu_s, time.perf_counter() - wall_s))

    def write(self) -> None:
        """Writes all of them."""
        Path(os.environ[FOLDER_VARIABLE], str(os.getpid())).write_text(json.dumps(self.epochs))


@register("time_epochs")
class TimeEpochs:
    """Times epochs as a callback."""

    def __init__(self) -> None:
        self._times = EpochTimes()

    def on_epoch_start(self, state: Any) -> None:
        """See `EpochTimes`."""
        self._times.start()

    def on_epoch_end(self, state: Any) -> None:
        """See `EpochTimes`."""
        self._times.stop()

    def on_experiment_end(self, state: Any) -> None:
        """See `EpochTimes`."""
        self._times.write()
