"""The values of a metric over training: when each was measured, and which of them a resumed experiment made void.

An evaluation brings the values of many metrics at once, so when it was is kept once, in a row that they share. Void
values are kept too, aside: the state after any earlier number of events can be given without reading the log again.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mlgym.names import Best


class MetricPoint(NamedTuple):
    """One value of a metric, with when it was measured; `epoch` counts finished epochs, `step` is -1 where unknown."""

    value: float
    epoch: int
    step: int


class VoidPoint(NamedTuple):
    """A value that was replaced: its row, the value, and the event that replaced it."""

    row: int
    value: float
    event_id: int


@dataclass(slots=True)
class Measurements:
    """When an experiment was measured: a row for each event that brought values, in the order of the log.

    Args:
        event_ids: of these events, (rows,), int64.
        times: when they were made, in s since the epoch, (rows,), float64.
        epochs: finished epochs, (rows,), int64.
        steps: optimizer updates, (rows,), int64; -1 where unknown.
    """

    event_ids: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    epochs: array[int] = field(default_factory=lambda: array("q"))
    steps: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.event_ids)

    def add(self, event_id: int, at: float, epoch: int, step: int) -> int:
        """Adds a row and gives its number."""
        self.event_ids.append(event_id)
        self.times.append(at)
        self.epochs.append(epoch)
        self.steps.append(step)
        return len(self.event_ids) - 1


@dataclass(slots=True, repr=False)
class MetricHistory:
    """All values of one metric on one split that count, as columns of equal length in the order of training.

    Args:
        measured: when the experiment was measured; shared with its other metrics.
        rows: of `measured`, growing, (points,), uint32.
        values: (points,), float64; may be NaN or infinite.
        void: values that were replaced, in the order in which that happened.
    """

    measured: Measurements = field(default_factory=Measurements)
    rows: array[int] = field(default_factory=lambda: array("I"))
    values: array[float] = field(default_factory=lambda: array("d"))
    void: list[VoidPoint] = field(default_factory=list)
    # Where the extremes stand among the first `_num_ranked` values; -1 for none.
    _num_ranked: int = field(default=0, compare=False)
    _lowest: int = field(default=-1, compare=False)
    _highest: int = field(default=-1, compare=False)

    def __repr__(self) -> str:
        """Says how many values there are, the first and the last: all of them are nothing to be read."""
        ends = [self[0], self[-1]] if self.values else []
        told = " to ".join(f"{value:.4g} at epoch {epoch}, step {step}" for value, epoch, step in ends)
        return f"<MetricHistory of {len(self)} values{told and ': '}{told}>"

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> MetricPoint:
        row = self.rows[index]
        return MetricPoint(self.values[index], self.measured.epochs[row], self.measured.steps[row])

    @property
    def epochs(self) -> array[int]:
        """Finished epochs, (points,), int64."""
        return array("q", map(self.measured.epochs.__getitem__, self.rows))

    @property
    def steps(self) -> array[int]:
        """Optimizer updates, (points,), int64; -1 where unknown."""
        return array("q", map(self.measured.steps.__getitem__, self.rows))

    def add(self, point: MetricPoint) -> None:
        """Adds a value in a row of its own, as if by an event after all others; else as `put`."""
        event_ids = self.measured.event_ids
        self.put(self.measured.add(event_ids[-1] + 1 if event_ids else 0, 0.0, point.epoch, point.step), point.value)

    def put(self, row: int, value: float) -> None:
        """Adds a value; what a resumed experiment measures again replaces what it measured before.

        Args:
            row: the last one of `measured`.
            value: the value.
        """
        rows = self.rows
        if rows:
            steps = self.measured.steps
            # Nearly always the last step is known and earlier.
            if not 0 <= steps[rows[-1]] < steps[row]:
                self.forget_from(row)
        rows.append(row)
        self.values.append(value)

    def cut_after(self, epoch: int, step: int, event_id: int) -> None:
        """Makes void what was measured after a point of training, because of an event."""
        epochs, steps = self.measured.epochs, self.measured.steps
        while self.rows and (epochs[self.rows[-1]], steps[self.rows[-1]]) > (epoch, step):
            self._drop(event_id)

    def best(self, best: Best) -> int | None:
        """Gives the place of the smallest or largest finite value, of equals the first; None where none is finite.

        A loss of -inf or a score of +inf is an overflow or a bug, and no result: whatever chooses goes by this rule.
        """
        if self._num_ranked < len(self.values):
            self._rank_fresh()
        place = self._lowest if best == "min" else self._highest
        return None if place < 0 else place

    def _rank_fresh(self) -> None:
        fresh = self.values[self._num_ranked :]
        # A sum is finite only where all values are; where it overflows, the look at each of them finds out.
        numbers: Sequence[float] = fresh if math.isfinite(sum(fresh)) else [one for one in fresh if math.isfinite(one)]
        if numbers:
            low, high = min(numbers), max(numbers)
            if self._lowest < 0 or low < self.values[self._lowest]:
                self._lowest = self._num_ranked + fresh.index(low)
            if self._highest < 0 or high > self.values[self._highest]:
                self._highest = self._num_ranked + fresh.index(high)
        self._num_ranked = len(self.values)

    def as_of(self, num_events: int) -> MetricHistory:
        """Gives a copy with the values that counted after the first so many events."""
        num_rows = bisect_left(self.measured.event_ids, num_events)
        count = bisect_left(self.rows, num_rows)
        past = MetricHistory(self.measured, self.rows[:count], self.values[:count])
        then_good = [point for point in self.void if point.row < num_rows and point.event_id >= num_events]
        if then_good:
            points = sorted([*zip(past.rows, past.values, strict=True), *((one.row, one.value) for one in then_good)])
            past.rows = array("I", [row for row, _ in points])
            past.values = array("d", [value for _, value in points])
        return past

    def forget_from(self, row: int) -> None:
        """Makes void what a row measures again: everything from its step on."""
        epochs, steps = self.measured.epochs, self.measured.steps
        epoch, step = epochs[row], steps[row]
        while self.rows:
            last = self.rows[-1]
            both_known = step >= 0 and steps[last] >= 0
            if (steps[last] < step) if both_known else (epochs[last] < epoch):
                return
            self._drop(self.measured.event_ids[row])

    def _drop(self, event_id: int) -> None:
        row, value = self.rows.pop(), self.values.pop()
        # One that came and went within an event was never seen.
        if self.measured.event_ids[row] != event_id:
            self.void.append(VoidPoint(row, value, event_id))
        if self._num_ranked > len(self.values):
            self._num_ranked, self._lowest, self._highest = 0, -1, -1
