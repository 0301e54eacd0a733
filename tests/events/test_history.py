"""Histories of metrics: the short cut, the state of any earlier moment and the extremes agree with the plain fold."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgym.events import MetricHistory, MetricPoint, RunState, decode
from mlgym.events.quick import evaluation_line

NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**320), 10**320), st.none())
SCORE = st.fixed_dictionaries(
    {"split": st.sampled_from(["val", "train", ""]), "score": NUMBERS},
    optional={
        "metric": st.sampled_from(["f1", "loss", "", None]),
        "loss": st.sampled_from(["loss", "mse", 3]),
        "non_finite": st.sampled_from(["nan", "inf", "-inf", "no", None]),
        "further": st.just({}),
    },
)
STEP = st.integers(-2, 12)
EVALUATION = st.fixed_dictionaries(
    {
        "grid_search_id": st.sampled_from(["run", None]),
        "experiment_id": st.sampled_from([0, 1, 0.0, -1]),
        "epoch": st.integers(0, 6),
        "metric_scores": st.lists(SCORE, max_size=3),
        "loss_scores": st.lists(SCORE, max_size=2),
    },
    optional={
        "step": st.one_of(STEP, st.none(), st.just(2**63)),
        "tables": st.just([{"metric": "m", "split": "val", "values": [[1]]}]),
    },
)
RESUMED = st.fixed_dictionaries(
    {
        "experiment_id": st.integers(0, 1),
        "epoch": st.integers(0, 5),
        "step": STEP,
        "lineage": st.integers(0, 3),
        "replaces_later": st.booleans(),
    }
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("evaluation_result"), EVALUATION),
        st.tuples(st.just("evaluation_result"), EVALUATION),
        st.tuples(st.just("experiment_resumed"), RESUMED),
    ),
    max_size=25,
)


def line_of(number: int, event_type: str, payload: dict[str, Any]) -> bytes:
    event = {"event_type": event_type, "creation_ts": 10**15 + number, "payload": payload}
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def shown(state: RunState) -> str:
    """Everything about a state as text, in which equal NaNs are equal."""
    return repr(
        {
            name: getattr(state, name)
            for name in ("run_id", "num_events", "first_event_at", "last_event_at", "experiments")
        }
    )


def points(history: MetricHistory) -> list[tuple[str, int, int]]:
    return [(repr(point.value), point.epoch, point.step) for point in (history[i] for i in range(len(history)))]


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_the_short_cut_and_time_travel_agree_with_the_fold_after_every_event(
    events: list[tuple[str, dict[str, Any]]],
) -> None:
    """After each event both ways give the same state, and the last state still knows each of these."""
    quick, plain = RunState(), RunState()
    moments = []
    for number, (event_type, payload) in enumerate(events):
        line = line_of(number, event_type, payload)
        quick.apply_line(number, line)
        plain.apply(number, decode(line))
        assert shown(quick) == shown(plain)
        moments.append({(i, k): points(one) for i, s in plain.experiments.items() for k, one in s.metrics.items()})
    for number, moment in enumerate(moments):
        for experiment_id, experiment in plain.experiments.items():
            for key, history in experiment.metrics.items():
                past = history.as_of(number + 1)
                assert points(past) == moment.get((experiment_id, key), [])


def test_the_short_cut_is_taken() -> None:
    """Plain results take it, so that the comparison above compares two ways; tables don't."""
    payload = {"experiment_id": 0, "epoch": 1, "step": 2, "metric_scores": [], "loss_scores": []}
    assert evaluation_line(line_of(0, "evaluation_result", payload)) is not None
    assert evaluation_line(line_of(0, "evaluation_result", payload | {"tables": [{}]})) is None
    assert evaluation_line(line_of(0, "job_status", payload)) is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.one_of(st.sampled_from([math.nan, math.inf, -math.inf]), st.floats()))),
    st.sampled_from(["min", "max"]),
)
def test_the_best_value_is_the_first_of_the_extremes(added: list[tuple[int, float]], best: Any) -> None:
    """However often it is asked for between additions and replacements, only a finite value is the best."""
    history = MetricHistory()
    for step, value in added:
        history.add(MetricPoint(value, step, step))
        numbers = [one for one in history.values if math.isfinite(one)]
        place = history.best(best)
        if not numbers:
            assert place is None
        else:
            assert place == list(history.values).index(min(numbers) if best == "min" else max(numbers))


def test_void_values_are_kept_for_the_time_in_which_they_counted() -> None:
    """A value that was replaced counts up to the event that replaced it; without `void` it would be lost."""
    state = RunState()
    for number, (epoch, value) in enumerate([(1, 0.5), (2, 0.6), (2, 0.7), (3, 0.8)]):
        payload = {
            "experiment_id": 0,
            "epoch": epoch,
            "step": epoch * 10,
            "metric_scores": [{"metric": "f1", "split": "val", "score": value}],
            "loss_scores": [],
        }
        state.apply_line(number, line_of(number, "evaluation_result", payload))
    history = state.experiments[0].metrics["val/f1"]
    assert [list(history.as_of(count).values) for count in range(6)] == [
        [],
        [0.5],
        [0.5, 0.6],
        [0.5, 0.7],
        [0.5, 0.7, 0.8],
        [0.5, 0.7, 0.8],
    ]
    history.void.clear()
    with pytest.raises(AssertionError):
        assert list(history.as_of(2).values) == [0.5, 0.6]


def test_a_history_is_shown_in_a_line() -> None:
    """In a notebook, or in what a test prints: its ends, and not thousands of numbers."""
    history = MetricHistory()
    assert repr(history) == "<MetricHistory of 0 values>"
    for step in range(1000):
        history.add(MetricPoint(step / 1000, 1 + step // 500, step))
    assert repr(history) == "<MetricHistory of 1000 values: 0 at epoch 1, step 0 to 0.999 at epoch 2, step 999>"
