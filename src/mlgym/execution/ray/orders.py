"""What a driver asks of a task that runs: left in Ray's key-value store, and looked for from there.

Ray's own way, `ray.cancel`, raises KeyboardInterrupt wherever the task is, and cannot say what is wanted.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Any, Final

STOP_ORDER: Final = b"interrupt"
TIME_LIMIT_ORDER: Final = b"time_limit"
KILL_ORDER: Final = b"kill"

_LOOK_EVERY_S: Final = 0.5


class Orders:
    """Looks for the orders of one job, and ends this process when its node is gone under it."""

    def __init__(self, key: bytes) -> None:
        """Starts to look.

        Args:
            key: where the driver leaves them.
        """
        self._key = key
        self._told: bytes | None = None
        self._new: bytes | None = None
        self._closed = threading.Event()
        self._raylet = os.getppid()
        self._thread = threading.Thread(target=self._look, name="mlgym-orders", daemon=True)
        self._thread.start()

    def take(self) -> bytes | None:
        """Gives an order once."""
        order, self._new = self._new, None
        return order

    def close(self) -> None:
        """Looks no more."""
        self._closed.set()
        self._thread.join()

    def _look(self) -> None:
        from ray.experimental import internal_kv

        while not self._closed.is_set():
            if os.getppid() != self._raylet:
                # The cluster has given this node up, or will: the experiment goes on elsewhere, and must not be at its
                # checkpoints twice. The fork server ends with this process, and everything with that.
                os.kill(os.getpid(), signal.SIGKILL)
            with suppress(Exception):  # a head that is away may come back
                order: Any = internal_kv._internal_kv_get(self._key)
                if order is not None and order != self._told:
                    self._told = self._new = order
            self._closed.wait(_LOOK_EVERY_S)
