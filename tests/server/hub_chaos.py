"""A hub that is killed again and again while producers send and subscribers listen, and what must hold afterwards.

Producers keep events until they are acknowledged and send them again after a reconnect; subscribers come back from the
last event that they have. The hub may lose its power, too: then it stands on a disk that loses what was not synced.
"""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from websockets.exceptions import WebSocketException

from tests.server.hub_program import PROGRAM
from tests.server.lossy_disk import cut_power
from tests.server.service import Service
from tests.server.wire import RUN, Wire

_LARGEST_BATCH: Final = 60
_IN_FLIGHT: Final = 4
_PATIENCE_S: Final = 240.0
_FEW: Final = 200
# Answers that a stopped hub has sent are taken by then, on a busy machine, too.
_ON_THE_WAY_S: Final = 0.25
_GONE: Final = (OSError, WebSocketException, EOFError)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done to a hub.

    Args:
        num_events: of all producers together.
        num_producers: who send at the same time.
        num_subscribers: who listen all the while.
        num_kills: with SIGKILL, spread over the events.
        cuts_power: whether the disk loses what was not synced at each kill.
        identified: whether events carry `producer` and `seq`; a control.
        options: of the hub; `--without_fsync` is a control.
        seed: of the moments of the kills and the sizes of batches.
    """

    num_events: int
    num_producers: int = 4
    num_subscribers: int = 2
    num_kills: int
    cuts_power: bool = False
    identified: bool = True
    options: Sequence[str] = ()
    seed: int = 0

    @property
    def num_each(self) -> int:
        """Events of one producer."""
        return self.num_events // self.num_producers


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Args:
        num_kills: how often the hub was killed.
        num_logged: lines of the log at the end.
        num_sent: events that were sent, repeated ones included.
        lost: acknowledged events that are not in the log.
        doubled: events that are in it more than once.
        disordered: producers whose events are not in their order.
        wrong_views: subscribers that do not end with the exact log.
        recovery_s: how long the hub took to answer again, in the mean, in s.
        wall_s: how long all took, in s.
    """

    num_kills: int = 0
    num_logged: int = 0
    num_sent: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    wrong_views: int = 0
    recovery_s: float = 0.0
    wall_s: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether everything holds."""
        return not (self.lost or self.doubled or self.disordered or self.wrong_views)


@dataclass(slots=True)
class _Progress:
    """How far everybody is; producers wait before `allowed`, so that every kill falls into the middle of sending."""

    allowed: int
    acknowledged: Counter[str] = field(default_factory=Counter)
    num_sent: int = 0
    views: dict[int, list[tuple[int, Any]]] = field(default_factory=dict)
    num_logged: int | None = None
    failures: list[BaseException] = field(default_factory=list)


class Chaos:
    """One run of a plan.

    Args:
        plan: what is done.
        storage: the storage folder of the hub.
    """

    def __init__(self, plan: Plan, storage: Path) -> None:
        self._plan = plan
        self._storage = storage
        self._step = plan.num_events // (plan.num_kills + 1)
        self._progress = _Progress(allowed=2 * self._step)
        self._hub = Service(storage, program=PROGRAM, options=plan.options)
        self._rng = random.Random(plan.seed)

    def run(self) -> Outcome:
        """Does it and looks at what came of it."""
        plan, outcome, started = self._plan, Outcome(), time.monotonic()
        producers = [self._thread(self._produce, f"p{number}") for number in range(plan.num_producers)]
        subscribers = [self._thread(self._subscribe, number) for number in range(plan.num_subscribers)]
        with self._hub:
            for thread in (*producers, *subscribers):
                thread.start()
            for number in range(plan.num_kills):
                self._wait(lambda number=number: sum(self._progress.acknowledged.values()) >= (number + 1) * self._step)
                time.sleep(self._rng.uniform(0, 0.02))
                self._stop_in_the_middle()
                outcome.recovery_s += self._kill() / plan.num_kills
                outcome.num_kills += 1
                self._progress.allowed = max(self._progress.allowed, (number + 3) * self._step)
            self._progress.allowed = plan.num_events
            self._join(producers)
            self._progress.num_logged = len(self._log())
            self._join(subscribers)
        outcome.wall_s = time.monotonic() - started
        self._judge(outcome)
        return outcome

    def _stop_in_the_middle(self) -> None:
        """Stops the hub with events in its log that it has not acknowledged, however late this process is."""
        progress = self._progress
        while progress.allowed < self._plan.num_events:
            self._hub.pause()
            time.sleep(0.01)
            num_acknowledged = sum(progress.acknowledged.values())
            if self._num_lines() > num_acknowledged:
                time.sleep(_ON_THE_WAY_S)
                num_acknowledged = sum(progress.acknowledged.values())
                if self._num_lines() > num_acknowledged:
                    return
            self._hub.send_signal(signal.SIGCONT)
            progress.allowed = max(progress.allowed, num_acknowledged + _FEW)
            time.sleep(self._rng.uniform(0, 0.004))

    def _num_lines(self) -> int:
        log = self._storage / RUN / "event_storage.log"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    def _kill(self) -> float:
        self._hub.stop(signal.SIGKILL)
        if self._plan.cuts_power:
            cut_power(self._storage)
        started = time.monotonic()
        self._hub.start()
        return time.monotonic() - started

    def _produce(self, name: str) -> None:
        rng = random.Random(f"{name} {self._plan.seed}")
        done = 0
        while done < self._plan.num_each:
            try:
                with Wire(self._hub.url) as wire:
                    for end in self._send_from(done, name, wire, rng):
                        self._progress.acknowledged[name] = done = end
            except _GONE:
                time.sleep(0.02)

    def _send_from(self, start: int, name: str, wire: Wire, rng: random.Random) -> Any:
        """Sends all events from one on, some batches at a time, and yields how far the hub has acknowledged them."""
        sent, end = start, self._plan.num_each
        waiting: deque[tuple[int, int]] = deque()
        while start < end:
            while len(waiting) < _IN_FLIGHT and sent < min(end, self._progress.allowed // self._plan.num_producers):
                stop = min(end, sent + rng.randint(1, _LARGEST_BATCH))
                batch = [self._event(name, seq) for seq in range(sent, stop)]
                waiting.append((wire.send("mlgym_events", batch, answer=True), stop))
                self._progress.num_sent += stop - sent
                sent = stop
            if not waiting:
                time.sleep(0.005)
                continue
            number, stop = waiting.popleft()
            answer = wire.answer(number)
            if "error" in answer:
                raise OSError(answer["error"]["message"])
            start = stop
            yield stop

    def _event(self, name: str, seq: int) -> dict[str, Any]:
        event = {"event_type": "x", "creation_ts": 1, "payload": {"grid_search_id": RUN, "by": name, "n": seq}}
        return event | ({"producer": name, "seq": seq} if self._plan.identified else {})

    def _subscribe(self, number: int) -> None:
        got = self._progress.views[number] = []
        while self._progress.num_logged is None or len(got) < self._progress.num_logged:
            try:
                with Wire(self._hub.url) as wire:
                    wire.call("join", {"rooms": [RUN], "protocol": 2, "from_event_id": {RUN: len(got)}})
                    while self._progress.num_logged is None or len(got) < self._progress.num_logged:
                        # Whether all has come is known late; a question keeps the connection in motion.
                        wire.call("mlgym_head", {"run_id": RUN})
                        got += wire.events()
                        wire.received.clear()
            except _GONE:
                time.sleep(0.02)

    def _judge(self, outcome: Outcome) -> None:
        log = self._log()
        times = Counter((event["payload"]["by"], event["payload"]["n"]) for event in log)
        outcome.num_logged, outcome.num_sent = len(log), self._progress.num_sent
        for name, num_acknowledged in self._progress.acknowledged.items():
            outcome.lost += sum((name, seq) not in times for seq in range(num_acknowledged))
            order = [event["payload"]["n"] for event in log if event["payload"]["by"] == name]
            outcome.disordered += order != sorted(order)
        outcome.doubled = sum(count > 1 for count in times.values())
        expected = list(enumerate(log))
        outcome.wrong_views = sum(view != expected for view in self._progress.views.values())

    def _log(self) -> list[dict[str, Any]]:
        """Reads the log without the code under test."""
        lines = (self._storage / RUN / "event_storage.log").read_bytes().splitlines()
        return [{key: value for key, value in json.loads(line).items() if key != "crc"} for line in lines]

    def _thread(self, work: Any, argument: object) -> threading.Thread:
        def run() -> None:
            try:
                work(argument)
            except BaseException as error:
                self._progress.failures.append(error)
                raise

        return threading.Thread(target=run, daemon=True)

    def _wait(self, is_so: Any) -> None:
        give_up_at = time.monotonic() + _PATIENCE_S
        while not is_so():
            assert not self._progress.failures, self._progress.failures
            assert time.monotonic() < give_up_at, self._progress.acknowledged
            time.sleep(0.001)

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        for thread in threads:
            self._wait(lambda thread=thread: not thread.is_alive())
