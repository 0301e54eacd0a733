"""A client of the Socket.IO service that speaks the bare protocol over one websocket, for tests that count messages."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import connect

RUN = "run"


class Wire:
    """A connected client; in one thread.

    Args:
        url: of the service.
        auth: what it brings to authenticate itself.
    """

    def __init__(self, url: str, auth: object = None) -> None:
        self.received: list[list[Any]] = []
        self._answers: dict[int, Any] = {}
        self._numbers = itertools.count()
        address = f"{url.replace('http', 'ws', 1)}/socket.io/?EIO=4&transport=websocket"
        self._open = ExitStack()
        self.socket = self._open.enter_context(
            connect(address, max_size=None, compression=None, proxy=None, ping_interval=None, open_timeout=60)
        )
        self.socket.recv()
        self.socket.send("40" if auth is None else f"40{json.dumps(auth)}")
        self.connected = str(self.socket.recv())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()

    def send(self, name: str, *arguments: object, answer: bool = False) -> int:
        """Sends a message and gives the number under which its answer comes, if there is one."""
        number = next(self._numbers)
        self.socket.send(f"42{number if answer else ''}{json.dumps([name, *arguments])}")
        return number

    def call(self, name: str, *arguments: object) -> Any:
        """Sends a message and waits for its answer."""
        return self.answer(self.send(name, *arguments, answer=True))

    def answer(self, number: int) -> Any:
        """Waits for an answer."""
        while number not in self._answers:
            self._take()
        return self._answers.pop(number)

    def until(self, is_enough: Callable[[], bool]) -> None:
        """Takes messages until they are enough."""
        while not is_enough():
            self._take()

    def until_events(self, number: int) -> None:
        """Takes messages until so many events have come."""
        while len(self.events()) < number:
            self._take()

    def messages(self, name: str) -> list[Any]:
        """Gives the first arguments of the messages of a name that have come."""
        return [arguments[0] if arguments else None for got, *arguments in self.received if got == name]

    def events(self) -> list[tuple[int, dict[str, Any]]]:
        """Gives the events that have come, with their numbers."""
        return list(flat(self.messages("mlgym_event")))

    def _take(self) -> None:
        text = str(self.socket.recv(120))
        if text == "2":
            self.socket.send("3")
        elif text.startswith("42"):
            self.received.append(json.loads(text[2:]))
        elif text.startswith("43"):
            head, _, rest = text[2:].partition("[")
            (self._answers[int(head)],) = json.loads(f"[{rest}")
        else:
            raise AssertionError(text)


def flat(messages: Iterable[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the events of messages, single ones and batches."""
    for message in messages:
        if message["event_id"] == "batched_events":
            yield from ((one["event_id"], one["data"]) for one in message["data"])
        else:
            yield message["event_id"], message["data"]


def event(seq: int, producer: str | None = "p", run: str = RUN, kind: str = "log", **more: object) -> dict[str, Any]:
    """Gives an event; without a producer it cannot be told from another one that says the same."""
    origin = {} if producer is None else {"producer": producer, "seq": seq}
    return {"event_type": kind, "creation_ts": 1, "payload": {"grid_search_id": run, "n": seq, **more}, **origin}


def events(seqs: Sequence[int], producer: str = "p", run: str = RUN) -> list[dict[str, Any]]:
    """Gives several."""
    return [event(seq, producer, run) for seq in seqs]
