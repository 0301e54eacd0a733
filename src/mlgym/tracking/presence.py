"""Word to a hub that a run goes on, from a driver that has no connection which would tell it by being there.

A push of events tells it, too, but a driver may have nothing to push for minutes, or one push may take that long.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

from mlgym.errors import HubError
from mlgym.tracking.hub_client import HubClient

_EVERY_S: Final = 5.0
_FOR_S: Final = 20.0
_PATIENCE_S: Final = 1.0
_LAST_WORD_S: Final = 2.0


class Presence(threading.Thread):
    """Announces a run every few seconds until it is told to finish; a hub that does not hear of it loses nothing."""

    def __init__(self, run_id: str, url: str) -> None:
        """Makes the thread; `start` starts it.

        Args:
            run_id: the run.
            url: the hub.

        Raises:
            HubError: `url` is no address of a hub.
        """
        # A hub that answers slowly must not keep the process from ending.
        super().__init__(name="presence", daemon=True)
        self._run_id = run_id
        self._client = HubClient(url, patience_s=_PATIENCE_S)
        self._ending = threading.Event()

    def run(self) -> None:
        """Announces, again and again, and takes it back at last."""
        is_last = False
        while not is_last:
            is_last = self._ending.is_set()
            with suppress(HubError):
                self._client.announce(self._run_id, 0.0 if is_last else _FOR_S)
            self._ending.wait(_EVERY_S)
        self._client.close()

    def finish(self) -> None:
        """Says that the run does not go on any more; where the hub does not hear it, it finds out by itself."""
        self._ending.set()
        self.join(_LAST_WORD_S)
