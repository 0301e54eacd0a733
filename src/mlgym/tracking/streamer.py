"""The events of a run on their way to a hub while they happen: a thread that reads the log as its spool.

Whatever the hub does, the writer of the log notices nothing: what was not sent yet stands in the file.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Final

from mlgym.errors import EventRefusedError, HubError, MlgymError
from mlgym.events.codec import read_origin
from mlgym.tracking.backoff import Backoff
from mlgym.tracking.histories import OTHER_HISTORY, failure_text, refuse_other_history
from mlgym.tracking.hub_client import HubClient, checked_url
from mlgym.tracking.log_cursor import LogCursor
from mlgym.tracking.mirror import other_log_text
from mlgym.tracking.run_folder import RunFolder

if TYPE_CHECKING:
    from mlgym.tracking.hub_socket import HubSocket

_POLL_S: Final = 0.02
_OTHER_LOG: Final = "other_log"
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 30.0
_ASK_S: Final = 2.0
_GROUP_EVENTS: Final = 1000
_GROUP_BYTES: Final = 2**20
# Longer than this, a message is not read by any service of ours.
_MAX_LINE_BYTES: Final = 15 * 2**20
# At the end of a run: how long to try while nothing gets through, and in all.
_PATIENCE_S: Final = 10.0
_LAST_WORDS_S: Final = 300.0
_logger: Final = logging.getLogger(__name__)


class Streamer(threading.Thread):
    """Sends what is added to a log until it is told to finish.

    Attributes:
        num_sent: events that the hub has acknowledged, those sent again included.
    """

    def __init__(
        self, folder: RunFolder, url: str, warn: Callable[[str], None], *, sync_url: str | None = None
    ) -> None:
        """Makes the thread; `start` starts it.

        Args:
            folder: the run.
            url: the hub.
            warn: takes warnings for the run's log and for whoever looks on, from this thread.
            sync_url: where `mlgym sync` would bring the run; None for `url`.

        Raises:
            HubError: `url` is no address of a hub.
        """
        # A hub that answers slowly must not keep the process from ending.
        super().__init__(name=f"streamer to {url}", daemon=True)
        self.num_sent = 0
        self._folder = folder
        self._url = checked_url(url)
        self._warn = warn
        self._sync_url = sync_url or self._url
        self._remedy = f"`mlgym sync {folder.run_id} --to {self._sync_url}` brings it later"
        self._backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._cursor = LogCursor()
        self._is_prefix = False
        self._has_compared = False
        self._ending = threading.Event()
        self._ended_at = float("inf")
        self._answered_at: float | None = None
        self._is_complete = False
        self._failure: str | None = None
        self._has_warned = False
        self._is_known_to_fail = False
        self._has_left_out = False

    def run(self) -> None:
        """Connects and sends, again and again."""
        # The libraries for it take a tenth of a second, which runs without a hub need not wait for.
        from mlgym.tracking.hub_socket import HubSocket

        while not self._is_complete:
            try:
                with HubSocket(self._url) as hub, self._folder.log_path.open("rb") as file:
                    self._stream(hub, file)
            # RuntimeError: a program that is ending starts no threads any more, which a new connection needs.
            except (MlgymError, OSError, RuntimeError) as error:
                self._note_failure(error)
                if getattr(error, "code", "") in (_OTHER_LOG, OTHER_HISTORY):
                    return
                # A hub that was never there is not waited for.
                if self._is_hopeless() or (self._ending.is_set() and self._answered_at is None):
                    return
                pause_s = self._backoff.next_s()
                # Once the run has ended, somebody waits.
                time.sleep(min(pause_s, 0.5)) if self._ending.is_set() else self._ending.wait(pause_s)

    def hurry(self) -> None:
        """Says that the log does not change any more, and waits for nothing."""
        self._ended_at = time.monotonic()
        self._ending.set()

    def finish(self) -> None:
        """Waits until the hub has everything, as long as there is hope; the log must not change any more."""
        self.hurry()
        try:
            # It may be waiting for a hub that does not answer.
            while self.is_alive() and not self._is_hopeless():
                self.join(0.1)
        except KeyboardInterrupt:
            _logger.warning("the hub %s does not have all of the run: it was interrupted; %s", self._url, self._remedy)
            raise
        if not self._is_complete and not self._is_known_to_fail:
            reason = self._failure or "too slow"
            _logger.warning("the hub %s does not have all of the run: %s; %s", self._url, reason, self._remedy)

    def _stream(self, hub: HubSocket, file: BinaryIO) -> None:
        self._locate(hub, file)
        while not self._is_complete:
            # Asked before reading: what stands there by then is all there will be.
            is_last = self._ending.is_set()
            if not self._cursor.stands(file):
                self._locate(hub, file)
            group = self._cursor.group(file, max_bytes=_GROUP_BYTES, max_events=_GROUP_EVENTS)
            if group:
                self._send(hub, group)
            elif is_last:
                self._is_complete = True
            else:
                self._ending.wait(_POLL_S)

    def _locate(self, hub: HubSocket, file: BinaryIO) -> None:
        """Asks what the hub has and goes to where it ends.

        Where it is not the beginning of the log here, all of it is sent once: the hub leaves out what it has. But for
        a hub where somebody else went on with the run, which gets nothing.
        """
        head = hub.head(self._folder.run_id, goes_on=True)
        # What counts at the end is whether events get through, not that somebody is there.
        self._answered_at = self._answered_at or time.monotonic()
        for cursor in (self._cursor, LogCursor()) if self._cursor.stands(file) else (LogCursor(),):
            self._is_prefix = cursor.advance(file, head.num_events, head.last_crc)
            self._cursor = cursor
            if self._is_prefix:
                self._has_compared = False
                return
        self._refuse_other_history()

    def _refuse_other_history(self) -> None:
        self._has_compared = True
        try:
            with HubClient(self._sync_url, patience_s=_ASK_S) as client:
                refuse_other_history(self._folder, client)
        except HubError as error:
            # Where no REST service is, nobody can tell.
            if error.code == OTHER_HISTORY:
                raise

    def _send(self, hub: HubSocket, group: list[bytes]) -> None:
        if not self._is_prefix and any(read_origin(line) is None for line in group):
            raise HubError(other_log_text(self._folder.run_id, self._url), code=_OTHER_LOG)
        num_done, ids = self._deliver(hub, group)
        group = group[:num_done]
        number = self._cursor.num_events
        is_alone = all(one in (None, number + place) for place, one in enumerate(ids))
        self._cursor.take(group)
        self.num_sent += len(group)
        self._answered_at = time.monotonic()
        self._failure = None
        self._is_known_to_fail = False
        self._backoff.reset()
        if not is_alone and not self._has_compared:
            # Somebody else adds to the log of the hub, or it never took one of these.
            self._refuse_other_history()

    def _deliver(self, hub: HubSocket, group: list[bytes]) -> tuple[int, list[int | None]]:
        """Sends lines and gives how many are done with: all, or those up to one that the hub will never take.

        And the numbers that the hub gave to those before that one.
        """
        if len(group[-1]) > _MAX_LINE_BYTES:  # a group ends with a long one
            group = group[:-1]
            if not group:
                self._leave_out(f"the hub {self._url} takes no event of more than {_MAX_LINE_BYTES:,} bytes")
                return 1, []
        try:
            return len(group), hub.send(group)
        except EventRefusedError as refusal:
            ids = hub.send(group[: refusal.index]) if refusal.index else []
            self._leave_out(str(refusal))
            return refusal.index + 1, ids

    def _leave_out(self, why: str) -> None:
        if not self._has_left_out:
            self._has_left_out = True
            self._warn(f"{why}; such events stand in the run folder only")

    def _is_hopeless(self) -> bool:
        """Tells whether the run ended so long ago, and the hub answered last, that nothing more is to be expected."""
        now, answered_at = time.monotonic(), self._answered_at or 0.0
        return now > self._ended_at + _LAST_WORDS_S or now > max(answered_at, self._ended_at) + _PATIENCE_S

    def _note_failure(self, error: Exception) -> None:
        self._failure = str(error)
        if not self._has_warned:
            self._has_warned = self._is_known_to_fail = True
            self._warn(failure_text(error, self._remedy))
