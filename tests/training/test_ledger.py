"""Results are numbered from the start of training and sent again until they are surely in the log."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from mlgym.events import Event, Payload
from mlgym.events.types import TrainingStopped
from mlgym.training.ledger import MAX_RECENT, ResultLedger


class Sink:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, payload: Payload) -> None:
        raise AssertionError("a result has a number of its own")

    def emit_event(self, event: Event) -> None:
        self.events.append(event)


def _ledger(sink: Sink, **changes: Any) -> ResultLedger:
    given: dict[str, Any] = {"run_id": "run", "experiment_id": 3, "lineage": 0}
    return ResultLedger(sink, **(given | changes))


def _result(step: int) -> TrainingStopped:
    return TrainingStopped(grid_search_id="run", experiment_id=3, epoch=1, step=step, reason="enough")


def _state_of(ledger: ResultLedger) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(json.dumps(ledger.state_dict()))
    return state


def test_a_repeated_result_has_the_same_origin() -> None:
    """The log knows a repeated one by producer and number; another experiment, run or lineage has its own producer."""
    first, again, others = Sink(), Sink(), [Sink(), Sink(), Sink()]
    for sink in (first, again):
        ledger = _ledger(sink)
        for step in range(3):
            ledger.emit(_result(step))
    assert [(one.producer, one.seq) for one in first.events] == [(one.producer, one.seq) for one in again.events]
    assert [one.seq for one in first.events] == [0, 1, 2]
    changes: list[dict[str, Any]] = [{"run_id": "r"}, {"experiment_id": 4}, {"lineage": 1}]
    for sink, change in zip(others, changes, strict=True):
        _ledger(sink, **change).emit(_result(0))
    assert len({sink.events[0].producer for sink in (first, *others)}) == 4


def test_going_on_sends_the_recent_ones_again() -> None:
    """They are the same events, time included, and numbers go on behind them."""
    sink, resumed = Sink(), Sink()
    ledger = _ledger(sink)
    for step in range(MAX_RECENT + 5):
        ledger.emit(_result(step))
    other = _ledger(resumed)
    assert other.load_state_dict(_state_of(ledger), step=9)
    assert [msgspec.to_builtins(one) for one in resumed.events] == [
        msgspec.to_builtins(one) for one in sink.events[-MAX_RECENT:]
    ]
    other.emit(_result(1000))
    assert resumed.events[-1].seq == MAX_RECENT + 5
    assert other.num_sent == MAX_RECENT + 6


def test_what_was_sent_again_is_recent_again() -> None:
    """Two drivers lost in a row lose nothing: the second checkpoint has the results that the first one brought."""
    sink, second, third = Sink(), Sink(), Sink()
    ledger = _ledger(sink)
    ledger.emit(_result(0))
    attempt = _ledger(second)
    attempt.load_state_dict(_state_of(ledger), step=9)
    attempt.emit(_result(1))
    last = _ledger(third)
    last.load_state_dict(_state_of(attempt), step=9)
    assert [one.seq for one in third.events] == [0, 1]


def test_old_results_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent long ago is in the log: checkpoints stay small."""
    ledger = _ledger(Sink())
    ledger.emit(_result(0))
    later = time.monotonic() + 31.0
    monkeypatch.setattr(time, "monotonic", lambda: later)
    ledger.emit(_result(1))
    assert [json.loads(event)["seq"] for event in _state_of(ledger)["recent"]] == [1]
    assert _state_of(ledger)["next_seq"] == 2


def test_another_lineage_starts_anew() -> None:
    """Nothing of it is taken over, and nothing sent."""
    sink = Sink()
    ledger = _ledger(Sink())
    ledger.emit(_result(0))
    other = _ledger(sink, lineage=1)
    assert not other.load_state_dict(_state_of(ledger), step=9)
    assert other.num_sent == 0
    assert not sink.events


def test_a_lineage_that_begins_again_elsewhere_has_another_origin() -> None:
    """Its numbers stand for other results; begun again at the same step, they are the same results."""
    first = _ledger(Sink())
    first.emit(_result(0))
    producers = []
    for step in (9, 9, 4):
        sink = Sink()
        ledger = _ledger(sink, lineage=1)
        ledger.load_state_dict(_state_of(first), step=step)
        ledger.emit(_result(step))
        again = _ledger(sink, lineage=1)
        assert again.load_state_dict(_state_of(ledger), step=step + 5)
        again.emit(_result(step + 5))
        assert [one.seq for one in sink.events] == [0, 0, 1]
        producers.append({one.producer for one in sink.events})
    assert producers[0] == producers[1] != producers[2]
    assert all(len(each) == 1 for each in producers)
