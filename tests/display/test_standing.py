"""Rates, estimates and the best value so far, from what experiments report."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mlgym.display.standing import Standing, epoch_text, share_done
from mlgym.events import Progress, RunState
from tests.display.states import START_S, config, done, job, progress, scores, started, state_of


def standing_after(state: RunState, *events: dict[str, Any]) -> Standing:
    """Gives the standing after each of the events was shown to it."""
    standing = Standing()
    standing.update(state)
    for number, one in enumerate(events):
        state.apply(1000 + number, one)
        standing.update(state)
    return standing


def running(num_experiments: int = 1) -> RunState:
    return state_of(started(num_experiments), config(0), job("RUNNING", starting_time=START_S))


def test_rate_and_time_left_count_from_the_first_report() -> None:
    """A minute of loading data before it neither slows the rate nor lengthens the estimate."""
    state = running()
    standing = standing_after(state, progress(0, 10, START_S + 60), progress(1, 10, START_S + 70))
    # 100 steps in 10 s; 110 of 1,000 are done.
    assert standing.steps_per_s(state.experiments[0]) == pytest.approx(10)
    assert standing.left_of(state.experiments[0]) == pytest.approx(89)


def test_one_report_says_nothing_about_speed() -> None:
    """Neither a rate nor a time left is made up."""
    state = running()
    standing = standing_after(state, progress(0, 10, START_S + 60))
    assert standing.steps_per_s(state.experiments[0]) is None
    assert standing.left_of(state.experiments[0]) is None
    assert standing.left_s is None


def test_batches_of_an_evaluation_are_no_steps() -> None:
    """While it is evaluated the rate stands and the share does not fall back."""
    state = running()
    evaluating: dict[str, Any] = {"status": "evaluation", "current_split": "val", "num_batches": 7}
    reports = [progress(0, 10, START_S), progress(1, 10, START_S + 10), progress(2, 1, START_S + 19, **evaluating)]
    standing = standing_after(state, *reports)
    assert standing.steps_per_s(state.experiments[0]) == pytest.approx(10)
    assert standing.left_of(state.experiments[0]) == pytest.approx(80)


def test_what_an_experiment_says_of_its_speed_counts() -> None:
    """A reported rate is taken before a computed one."""
    state = running()
    load = {"event_type": "system_metrics", "payload": {"experiment_id": 0, "steps_per_s": 321.0}}
    standing = standing_after(state, progress(0, 10, START_S), progress(1, 10, START_S + 10), load)
    assert standing.steps_per_s(state.experiments[0]) == 321.0


@pytest.mark.parametrize(
    ("phase", "epoch", "batch", "text", "share"),
    [
        ("train", 0, 0, "1/10", 0.0),
        ("train", 9, 100, "10/10", 1.0),
        ("evaluation", 10, 3, "10/10", 1.0),
        ("evaluation", 0, 3, "0/10", 0.0),
    ],
)
def test_epochs_are_never_past_the_last(phase: str, epoch: int, batch: int, text: str, share: float) -> None:
    """The evaluation after the last epoch belongs to that epoch; the one before training to none."""
    where = Progress(phase, epoch, 10, batch, 100, "val", START_S)
    assert (epoch_text(where), share_done(where)) == (text, share)


def test_the_best_so_far_follows_running_experiments_and_forgets_failed_ones() -> None:
    """The first of equals; what failed has won nothing, and the next best is found again."""
    state = state_of(started(3), config(0), config(1), job("RUNNING", 0), job("RUNNING", 1))
    standing = standing_after(state, scores(1, 0.5), scores(1, 0.9, 1), scores(2, 0.9))
    assert standing.best is not None
    assert (standing.best[0], standing.best[1].value) == (1, 0.9)
    state.apply(2000, done(1, error="ValueError: no"))
    for _ in range(2):
        standing.update(state)
    assert standing.best is not None
    assert (standing.best[0], standing.best[1].value) == (0, 0.9)


def test_the_metric_outlives_the_configs() -> None:
    """The driver forgets configs of experiments that ended; what the run selects by is still known."""
    state = state_of(started(2), config(0), job("RUNNING", 0))
    standing = standing_after(state, scores(1, 0.5))
    state.experiments[0].config = {}
    standing.update(state)
    assert standing.selection is not None
    assert standing.selection.metric == "val/f1"


def test_the_run_takes_what_its_experiments_take() -> None:
    """Ten of which two run at a time, a minute each: what is done tells what is left."""
    state = state_of(
        started(10),
        config(0),
        job("RUNNING", 0, starting_time=time.time()),
        job("RUNNING", 1, starting_time=time.time()),
    )
    standing = Standing()
    standing.update(state)
    assert standing.left_s is None
    for number, one in enumerate([done(0, 60), done(1, 60), job("RUNNING", 2), job("RUNNING", 3)]):
        state.apply(100 + number, one)
    standing.update(state)
    # Six wait and two have only begun: four rounds.
    assert standing.left_s == pytest.approx(240)
    for number in range(2, 10):
        state.apply(200 + number, done(number, 60))
    standing.update(state)
    assert standing.left_s is None


def test_the_last_experiment_is_not_shared_out() -> None:
    """When one is left of two at a time, the run takes as long as that one."""
    state = state_of(started(2), config(0), job("RUNNING", 0), job("RUNNING", 1), done(0, 60))
    standing = standing_after(state, progress(0, 0, START_S, 1), progress(5, 0, START_S + 500, 1))
    assert standing.left_s == pytest.approx(500)
