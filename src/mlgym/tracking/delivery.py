"""A run on its way to hubs while it goes on: who sends what, and how it ends.

Events go to every websocket server within a moment of their happening. The one REST endpoint gets configs, checkpoints
and artifacts every few seconds, and those events that it does not have yet: where both are services of one hub, none.
Without a websocket server, it is told from time to time that the run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mlgym.tracking.hub_client import authorization, checked_url
from mlgym.tracking.presence import Presence
from mlgym.tracking.run_folder import RunFolder
from mlgym.tracking.streamer import Streamer
from mlgym.tracking.uploader import Uploader


@dataclass(frozen=True, kw_only=True)
class Hubs:
    """Where a run is sent.

    Args:
        websocket_logging_servers: addresses that get the events.
        rest_endpoint: address of the one that is kept like the run folder; None for none.
        with_checkpoints: whether checkpoints are among what goes there; not where experiments bring theirs themselves.
    """

    websocket_logging_servers: Sequence[str] = ()
    rest_endpoint: str | None = None
    with_checkpoints: bool = True

    def check(self) -> None:
        """Checks the addresses, as far as that goes without asking.

        Raises:
            HubError: one is no address of a hub, or `MLGYM_TOKEN` is no token.
        """
        for url in (*self.websocket_logging_servers, *([self.rest_endpoint] if self.rest_endpoint is not None else [])):
            checked_url(url)
            authorization()


@contextmanager
def delivering(folder: RunFolder, hubs: Hubs, warn: Callable[[str], None]) -> Iterator[None]:
    """Sends a run to hubs while the body runs, and what is left at its end, when the log must be complete.

    What a hub does not get is told, and nothing else happens: the run folder has everything.

    Args:
        folder: the run.
        hubs: where it goes.
        warn: takes warnings for the run's log and for whoever looks on, from another thread.

    Raises:
        HubError: one is no address of a hub.
    """
    delivery = Delivery(folder, hubs, warn)
    delivery.start()
    try:
        yield
    finally:
        delivery.finish()


class Delivery:
    """The threads that send one run; see `delivering`."""

    def __init__(self, folder: RunFolder, hubs: Hubs, warn: Callable[[str], None]) -> None:
        """Makes them.

        Raises:
            HubError: one of the hubs is no address.
        """
        urls = dict.fromkeys(map(checked_url, hubs.websocket_logging_servers))
        self._streamers = [Streamer(folder, url, warn, sync_url=hubs.rest_endpoint) for url in urls]
        self._uploader = (
            None
            if hubs.rest_endpoint is None
            else Uploader(folder, hubs.rest_endpoint, warn, with_checkpoints=hubs.with_checkpoints)
        )
        # A connection, where there is one, tells it better: it ends when the process does.
        is_alone = hubs.rest_endpoint is not None and not urls
        self._presence = Presence(folder.run_id, str(hubs.rest_endpoint)) if is_alone else None

    def start(self) -> None:
        """Begins to send."""
        for streamer in self._streamers:
            streamer.start()
        for thread in (self._uploader, self._presence):
            if thread is not None:
                thread.start()

    def finish(self) -> None:
        """Sends what is left, as long as there is hope; the log must not change any more."""
        # All of them hurry before any of them is waited for; the upload at last finds the events there already.
        for streamer in self._streamers:
            streamer.hurry()
        for streamer in self._streamers:
            streamer.finish()
        if self._uploader is not None:
            self._uploader.finish()
        if self._presence is not None:
            self._presence.finish()
