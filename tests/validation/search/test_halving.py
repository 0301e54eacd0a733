"""Successive halving and ASHA: who goes on, when, and how far."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgym.validation.search import Asha, Finish, Promote, Result, Stop, StrategyError, SuccessiveHalving, Try, Wait
from mlgym.validation.search.strategy import ResultState
from tests.validation.search.problems import LR, Simulation, problem_of, search_plan

PLAN = search_plan(LR, epochs=9)


def permutation(seed: int, num: int) -> list[float]:
    values = [float(value) for value in range(num)]
    random.Random(seed).shuffle(values)
    return values


@pytest.mark.parametrize(
    ("min_epochs", "factor", "max_epochs", "rungs"),
    [
        (1, 3, 9, [1, 3, 9]),
        (1, 3, 10, [1, 3, 10]),
        (1, 3, 26, [1, 3, 26]),
        (1, 3, 27, [1, 3, 9, 27]),
        (2, 2, 9, [2, 4, 9]),
        (4, 4, 16, [4, 16]),
        (1, 2, 2, [1, 2]),
    ],
)
def test_rungs(min_epochs: int, factor: int, max_epochs: int, rungs: list[int]) -> None:
    """Each has at least the factor times the epochs of the one before, and the last has all."""
    assert problem_of(PLAN, max_epochs=max_epochs).rungs(min_epochs, factor) == rungs


@pytest.mark.parametrize(
    ("changes", "min_epochs", "parameter", "words"),
    [
        ({}, 9, "min_epochs", "after 9 epochs, but a training has 9"),
        ({}, 4, "reduction_factor", "3 times as many are more than the 9"),
        ({"max_epochs": None}, 1, "", "`experiment.epochs` is not one number"),
        ({"evaluate_every_n_epochs": 2}, 1, "min_epochs", "`evaluate_every_n_epochs` is 2"),
    ],
)
def test_rungs_that_do_not_fit(changes: dict[str, int], min_epochs: int, parameter: str, words: str) -> None:
    """Said when a config is checked, with the parameter that is to be changed."""
    with pytest.raises(StrategyError, match=words) as caught:
        Asha(min_epochs).begin(problem_of(PLAN, **changes))
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_best_third_goes_on(workers: int) -> None:
    """27 trials, of which 9 have three epochs and 3 have nine, however many workers there are."""
    scores = permutation(5, 27)
    problem = problem_of(PLAN, num_trials=27)
    search = Simulation(SuccessiveHalving(), problem, lambda trial, epochs: scores[trial], workers).run()
    best = sorted(range(27), key=lambda trial: -scores[trial])
    reached = search.reached()
    assert {trial for trial in reached if reached[trial] == 9} == set(best[:3])
    assert {trial for trial in reached if reached[trial] == 3} == set(best[3:9])
    assert {action.trial for action in search.actions if isinstance(action, Stop)} == set(best[3:])
    assert isinstance(search.actions[-1], Finish)


def test_halving_waits_for_all() -> None:
    """Nobody goes on before the last trial of its rung has come, and equals go on in the order of their trials."""
    search = Simulation(SuccessiveHalving(), problem_of(PLAN, num_trials=9), lambda trial, epochs: 1.0).run()
    first = next(place for place, action in enumerate(search.actions) if isinstance(action, Promote))
    assert [type(action) for action in search.actions[:first]] == [Try] * 9
    assert [action.trial for action in search.actions if isinstance(action, Promote)] == [0, 1, 2, 0]


def paper_job(losses: list[dict[int, float]], promoted: list[set[int]], eta: int) -> tuple[int, int] | None:
    """Gives (trial, rung) that algorithm 2 of the paper promotes from, word for word; None for a new configuration."""
    for rung in range(len(losses) - 2, -1, -1):
        candidates = sorted(losses[rung], key=lambda trial: (losses[rung][trial], trial))[: len(losses[rung]) // eta]
        promotable = [trial for trial in candidates if trial not in promoted[rung]]
        if promotable:
            return promotable[0], rung
    return None


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 4), st.integers(1, 30), st.sampled_from(["min", "max"])
)
def test_asha_is_that_of_the_paper(seed: int, workers: int, eta: int, num_trials: int, best: str) -> None:
    """Whatever the workers, the factor and the scores: each decision is that of algorithm 2 on what was known then."""
    noise = random.Random(seed)
    table = {(trial, rung): noise.random() for trial in range(num_trials) for rung in range(10)}
    problem = problem_of(PLAN, num_trials=num_trials, max_epochs=eta**3, best=best)
    strategy = Asha(1, eta)
    strategy.begin(problem)
    sign = 1 if best == "min" else -1
    losses: list[dict[int, float]] = [{} for _ in strategy.rungs]
    promoted: list[set[int]] = [set() for _ in strategy.rungs]
    rung_of: dict[int, int] = {}

    running: list[int] = []
    while not isinstance(action := strategy.ask() if len(running) < workers else Wait(), Finish):
        expected = paper_job(losses, promoted, eta)
        if isinstance(action, Wait):
            assert running
            assert len(running) == workers or (expected is None and len(rung_of) == num_trials)
            trial = running.pop(noise.randrange(len(running)))
            rung = rung_of[trial]
            losses[rung][trial] = sign * table[trial, rung]
            state: ResultState = "ended" if rung == len(losses) - 1 else "paused"
            strategy.tell(Result(trial=trial, epochs=strategy.rungs[rung], score=table[trial, rung], state=state))
        elif isinstance(action, Promote):
            assert expected == (action.trial, rung_of[action.trial])
            promoted[rung_of[action.trial]].add(action.trial)
            rung_of[action.trial] += 1
            assert (action.epochs, action.rung) == (strategy.rungs[rung_of[action.trial]], rung_of[action.trial])
            running.append(action.trial)
        else:
            assert isinstance(action, Try)
            assert expected is None
            rung_of[len(rung_of)] = 0
            running.append(len(rung_of) - 1)
    assert (paper_job(losses, promoted, eta), len(rung_of), running) == (None, num_trials, [])


@pytest.mark.parametrize("kind", [Asha, SuccessiveHalving])
def test_failures_and_missing_scores_never_go_on(kind: type[Asha | SuccessiveHalving]) -> None:
    """They count as the last of their rung."""
    scores = [math.nan, 5.0, math.nan, 4.0, 3.0, 2.0, 1.0, 0.0, 6.0]
    search = Simulation(
        kind(), problem_of(PLAN, num_trials=9), lambda trial, epochs: scores[trial], fails=lambda trial: trial == 8
    ).run()
    went_on = {action.trial for action in search.actions if isinstance(action, Promote)}
    assert went_on == ({1, 3, 4} if kind is SuccessiveHalving else went_on)
    assert not went_on & {0, 2, 8}
    assert search.reached()[1] == 9


@pytest.mark.parametrize("kind", [Asha, SuccessiveHalving])
def test_all_fail(kind: type[Asha | SuccessiveHalving]) -> None:
    """Then the search ends."""
    search = Simulation(
        kind(), problem_of(PLAN, num_trials=6), lambda trial, epochs: 0.0, fails=lambda trial: True
    ).run()
    assert [type(action) for action in search.actions] == [Try] * 6 + [Finish]


@pytest.mark.parametrize("kind", [Asha, SuccessiveHalving])
def test_early_stopping_is_an_end(kind: type[Asha | SuccessiveHalving]) -> None:
    """A trial that stopped early is never sent on, and its score takes its place at later rungs."""
    scores = {trial: float(trial) for trial in range(9)}
    search = Simulation(
        kind(), problem_of(PLAN, num_trials=9), lambda trial, epochs: scores[trial], stops={8: 1, 7: 2}
    ).run()
    reached = search.reached()
    assert reached[8] == 1
    assert reached[7] == 3
    assert max(reached[trial] for trial in range(7)) <= (3 if kind is SuccessiveHalving else 9)


def test_waiting_changes_nothing() -> None:
    """A strategy may be asked as often as one likes while it has to wait."""
    strategy = Asha()
    strategy.begin(problem_of(PLAN, num_trials=1))
    first, *others = [strategy.ask() for _ in range(4)]
    assert isinstance(first, Try)
    assert others == [others[0]] * 3
