"""The state of a run at any earlier moment, without folding its log from the start.

Now and then a copy of the state is kept; what happened between it and the moment asked for is folded again. Copies have
no values of metrics: histories know by themselves what counted when (`MetricHistory.as_of`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Final, TypeVar

from mlgym.events import ExperimentState, Measurements, MetricHistory, RunState

_State = TypeVar("_State", ExperimentState, RunState)
_EVERY_N_EVENTS: Final = 4096
_EVENTS_PER_EXPERIMENT: Final = 16
_MAX_COPIES: Final = 32
_EXPERIMENT_FIELDS: Final = tuple(one.name for one in fields(ExperimentState))
_RUN_FIELDS: Final = tuple(one.name for one in fields(RunState))


@dataclass(frozen=True, slots=True)
class Copy:
    """The state after some events, without values of metrics and log lines.

    Args:
        num_events: how many these are.
        num_bytes: where the next one begins.
        state: the state; nobody changes it.
    """

    num_events: int
    num_bytes: int
    state: RunState


class Past:
    """Copies of the state of a run, from time to time.

    Attributes:
        next_at: the number of events at which the next copy is due.
    """

    def __init__(self) -> None:
        self._copies = [Copy(0, 0, RunState())]
        self._spacing = _EVERY_N_EVENTS
        self.next_at = self._spacing

    def keep(self, state: RunState, num_bytes: int) -> None:
        """Keeps a copy; experiments to which nothing happened since the last one are shared with it."""
        before = self._copies[-1]
        experiments = {
            number: before.state.experiments[number]
            if one.event_id < before.num_events and number in before.state.experiments
            else light_copy(one)
            for number, one in state.experiments.items()
        }
        self._copies.append(Copy(state.num_events, num_bytes, replace(bare_copy(state), experiments=experiments)))
        self._spacing = max(self._spacing, _EVENTS_PER_EXPERIMENT * len(experiments))
        if len(self._copies) > _MAX_COPIES:
            # The longer the run, the farther apart: copies take memory, what lies between them a moment.
            self._copies = self._copies[::2]
            self._spacing *= 2
        self.next_at = state.num_events + self._spacing

    def before(self, num_events: int) -> Copy:
        """Gives the last copy that is not of a later moment."""
        return self._copies[bisect_right(self._copies, num_events, key=lambda one: one.num_events) - 1]


def state_as_of(num_events: int, now: RunState, copy: Copy, lines: Iterator[bytes]) -> RunState:
    """Gives the state after the first so many events.

    Args:
        num_events: how many.
        now: the state after more of them.
        copy: of a moment not after the wanted one.
        lines: of the log, from the end of the copy on.
    """
    state = full_copy(copy.state)
    for event_id, line in zip(range(copy.num_events, num_events), lines, strict=False):
        state.apply_line(event_id, line, with_values=False)
    for number, experiment in state.experiments.items():
        whole = now.experiments[number]
        experiment.measured = whole.measured
        experiment.metrics = {
            key: history.as_of(num_events) for key, history in whole.metrics.items() if _began(history) < num_events
        }
    return state


def full_copy(state: RunState) -> RunState:
    """Gives a copy that may be changed, without values of metrics and log lines."""
    experiments = {number: light_copy(one) for number, one in state.experiments.items()}
    return replace(bare_copy(state), experiments=experiments)


def light_copy(experiment: ExperimentState) -> ExperimentState:
    """Gives a copy without values of metrics and log lines."""
    copy = _copy(experiment, _EXPERIMENT_FIELDS)
    copy.metrics = {}
    copy.measured = Measurements()
    copy.recent_logs = deque(maxlen=experiment.recent_logs.maxlen)
    return copy


def bare_copy(state: RunState) -> RunState:
    """Gives a copy without experiments and log lines."""
    copy = _copy(state, _RUN_FIELDS)
    copy.experiments = {}
    copy.recent_logs = deque(maxlen=state.recent_logs.maxlen)
    return copy


def _copy(thing: _State, names: tuple[str, ...]) -> _State:
    # `copy.copy` takes four times as long, and would share the dictionaries that a fold changes in place.
    copy = object.__new__(type(thing))
    for name in names:
        value = getattr(thing, name)
        setattr(copy, name, dict(value) if type(value) is dict else value)
    return copy


def _began(history: MetricHistory) -> int:
    """Gives the event that brought the first value, also where that is void now."""
    rows = [*history.rows[:1], *(one.row for one in history.void)]
    return history.measured.event_ids[min(rows)] if rows else -1
