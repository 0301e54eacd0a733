"""A connection to a hub's Socket.IO service, over which events go out and acknowledgements come back.

One connection is used once: whoever sends makes a new one after a failure, and decides when.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import engineio
import msgspec
import socketio
from socketio.packet import Packet

from mlgym.errors import EventRefusedError, HubError
from mlgym.tracking.hub_client import RunHead, authorization, checked_url
from mlgym.tracking.portable import body_of, portable

_T = TypeVar("_T")

_TIMEOUT_S: Final = 10.0
_ACK_TIMEOUT_S: Final = 60.0
# What the libraries have to say of a connection comes out as a `HubError`.
_silent: Final = logging.getLogger(f"{__name__}.library")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False
_silent.setLevel(logging.CRITICAL + 1)


class _Json:
    """The JSON of a packet: events that are encoded already go in as they are."""

    @staticmethod
    def dumps(data: Any, **_: Any) -> str:
        return msgspec.json.encode(data).decode()

    loads = staticmethod(msgspec.json.decode)


class _Packet(Packet):  # type: ignore[misc]  # python-socketio has no types
    # As an attribute of a class of its own: the option `json` of the client would change every client in the process.
    json = _Json
    uses_binary_events = False


class _Engine(engineio.Client):  # type: ignore[misc]  # nor has python-engineio
    """The transport; its threads end without a word where the hub stops reading in the middle of a message."""

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
        def run() -> None:
            try:
                target(*args, **kwargs)
            except Exception as error:
                _silent.info("%s", error)
                self.queue.put(None)

        thread = threading.Thread(target=run, name="hub socket", daemon=True)
        thread.start()
        return thread


class _Client(socketio.Client):  # type: ignore[misc]  # as above
    def _engineio_client_class(self) -> type[_Engine]:
        return _Engine


class HubSocket:
    """A connected hub; one thread calls, and each call waits for its answer.

    Attributes:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        """Connects.

        Args:
            url: `http://HOST:PORT`.

        Raises:
            HubError: this is no address of a hub, nobody answers there, or the hub refuses.
        """
        self.url = checked_url(url)
        self._answered = threading.Event()
        self._answer: Any = None
        self._refusal: Any = None
        self._is_lost = False
        self._client = _Client(
            reconnection=False, handle_sigint=False, logger=_silent, engineio_logger=_silent, serializer=_Packet,
            request_timeout=_TIMEOUT_S,
        )  # fmt: skip
        self._client.on("disconnect", self._on_disconnect)
        self._client.on("connect_error", self._on_refusal)
        try:
            self._client.connect(self.url, headers=authorization(), transports=["websocket"], wait_timeout=_TIMEOUT_S)
        except socketio.exceptions.SocketIOError as error:
            self.close()
            raise HubError(f"the hub {self.url} {self._complaint(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, whatever state it is in."""
        transport = self._client.eio.ws
        try:
            self._client.eio.disconnect(abort=True)
        except Exception as error:
            _silent.info("%s", error)
        if transport is not None:
            transport.shutdown()

    def head(self, run_id: str, *, goes_on: bool = False) -> RunHead:
        """Gives what the hub has of the log of a run; nothing of one that it does not know.

        Args:
            run_id: the run.
            goes_on: whether to say that the run goes on for as long as this connection lasts.

        Raises:
            HubError: no answer.
        """
        about = {"run_id": run_id, **({"goes_on": True} if goes_on else {})}
        return _converted(self._call("mlgym_head", about, _TIMEOUT_S), RunHead, self.url)

    def send(self, lines: Sequence[bytes]) -> list[int | None]:
        """Sends lines of a log and waits until the hub has them on its disk.

        Returns:
            For each its number in the log of the hub; None for what it had before.

        Raises:
            EventRefusedError: one of them is none to the hub.
            HubError: no answer, or a refusal, whose word is in `code`; some of them may be stored then.
        """
        events = [msgspec.Raw(body_of(portable(line))) for line in lines]
        return _converted(self._call("mlgym_events", events, _ACK_TIMEOUT_S), _Stored, self.url).event_ids

    def _call(self, event: str, data: Any, timeout_s: float) -> Any:
        self._answered.clear()
        try:
            if not self._is_lost:
                self._client.emit(event, data, callback=self._on_answer)
        except socketio.exceptions.SocketIOError:
            self._is_lost = True
        in_time = self._is_lost or self._answered.wait(timeout_s)
        if self._is_lost:
            raise HubError(f"the connection to the hub {self.url} was lost", code="lost")
        if not in_time:
            raise HubError(f"the hub {self.url} did not answer within {timeout_s:g} s", code="no_answer")
        if isinstance(self._answer, dict) and "error" in self._answer:
            raise _refusal_of(self.url, self._answer["error"])
        return self._answer

    def _on_answer(self, *arguments: Any) -> None:
        self._answer = arguments[0] if arguments else None
        self._answered.set()

    def _on_disconnect(self, *_: Any) -> None:
        self._is_lost = True
        self._answered.set()

    def _on_refusal(self, reason: Any = None) -> None:
        self._refusal = reason

    def _complaint(self, error: Exception) -> str:
        if isinstance(self._refusal, dict):
            return f"refuses the connection: {self._refusal.get('message', self._refusal)}"
        cause: BaseException = error
        while cause.__context__ is not None:
            cause = cause.__context__
        return f"cannot be reached ({cause})"


class _Stored(msgspec.Struct):
    event_ids: list[int | None]


class _Refusal(msgspec.Struct):
    code: str = ""
    message: str = ""
    path: str | None = None


_PLACE: Final = re.compile(r"events\[(\d{1,6})\]")


def _refusal_of(url: str, reason: Any) -> HubError:
    if not isinstance(reason, dict):
        return HubError(f"the hub {url} refuses: {reason}", code="refused")
    refusal = _converted(reason, _Refusal, url)
    message = f"the hub {url} refuses: {refusal.message}"
    place = _PLACE.fullmatch(refusal.path or "")
    if refusal.code == "invalid_event" and place:
        return EventRefusedError(message, int(place[1]))
    return HubError(message, code=refusal.code or "refused")


def _converted(answer: Any, kind: type[_T], url: str) -> _T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise HubError(f"{url} answers what no hub does ({error}); is it one?", code="no_hub") from error
