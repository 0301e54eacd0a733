"""The files of a run on their way to a hub while it goes on: a thread that nothing waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from mlgym.errors import MlgymError
from mlgym.tracking.histories import failure_text
from mlgym.tracking.hub_client import HubClient
from mlgym.tracking.mirror import Mirror
from mlgym.tracking.run_folder import RunFolder

_EVERY_S: Final = 3.0
_PATIENCE_S: Final = 10.0
_LAST_PUSH_S: Final = 300.0
# A push may look at 100,000 experiments; it takes a tenth of the thread's time at most.
_REST_PER_PUSH: Final = 9.0
_logger: Final = logging.getLogger(__name__)


class Uploader(threading.Thread):
    """Keeps a run on a hub like the one here: pushes every few seconds until it is told to finish."""

    def __init__(
        self, folder: RunFolder, url: str, warn: Callable[[str], None], *, with_checkpoints: bool = True
    ) -> None:
        """Makes the thread; `start` starts it.

        Args:
            folder: the run.
            url: the hub.
            warn: takes warnings for the run's log and for whoever looks on, from this thread.
            with_checkpoints: whether checkpoints are among what is pushed.

        Raises:
            HubError: `url` is no address of a hub.
        """
        # A hub that answers slowly must not keep the process from ending.
        super().__init__(name="uploader", daemon=True)
        self._give_up_at = float("inf")
        self._client = HubClient(url, patience_s=_PATIENCE_S, goes_on=lambda: time.monotonic() < self._give_up_at)
        self._mirror = Mirror(folder, self._client, with_checkpoints=with_checkpoints)
        self._remedy = f"`mlgym sync {folder.run_id} --to {self._client.url}` brings it later"
        self._warn = warn
        self._ending = threading.Event()
        self._failure: str | None = None
        self._is_known_to_fail = False
        self._damaged: tuple[str, ...] = ()

    def run(self) -> None:
        """Pushes, again and again."""
        rest_s = 0.0
        while not self._ending.wait(rest_s):
            started_at = time.monotonic()
            self._push()
            rest_s = max(_EVERY_S, _REST_PER_PUSH * (time.monotonic() - started_at))
        self._push()
        self._client.close()

    def finish(self) -> None:
        """Waits for the last push, as long as there is hope."""
        self._give_up_at = time.monotonic() + _LAST_PUSH_S
        self._ending.set()
        try:
            self.join(_LAST_PUSH_S + _PATIENCE_S)
        except KeyboardInterrupt:
            self._give_up_at = 0.0
            self._failure = "the upload was interrupted"
            _logger.warning("%s; %s", self._failure, self._remedy)
            raise
        if self.is_alive() or (self._failure is not None and not self._is_known_to_fail):
            _logger.warning("the hub does not have all of the run: %s; %s", self._failure or "too slow", self._remedy)

    def _push(self) -> None:
        try:
            damaged = self._mirror.push().damaged
        except (MlgymError, OSError) as error:
            if self._failure is None and not self._ending.is_set():
                self._is_known_to_fail = True
                self._warn(failure_text(error, self._remedy))
            self._failure = str(error)
        else:
            self._failure = None
            self._is_known_to_fail = False
            for path in set(damaged) - set(self._damaged):
                self._warn(f"{path} does not match its manifest, so the hub did not take it")
            self._damaged = damaged
