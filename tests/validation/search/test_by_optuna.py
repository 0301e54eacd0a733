"""Optuna behind ask and tell: what its samplers and pruners are given, and what they may not be given."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import pytest

from mlgym.validation.search import OptunaStrategy, Promote, Random, Result, Stop, Strategy, StrategyError, Try
from mlgym.validation.search.account import SearchAccount
from tests.validation.search.problems import LR, NESTED_SWEEPS, Simulation, adam, lr_of, problem_of, search_plan

PLAN = search_plan(LR, epochs=8)
OPTUNA = {"use": "optuna"}


def best_of(strategy: Strategy, num_trials: int = 30) -> float:
    """Gives the smallest loss that a strategy finds, where the best learning rate is 0.01."""
    problem = problem_of(PLAN, num_trials=num_trials, best="min")
    account, losses = SearchAccount(strategy, problem), []
    while isinstance(action := account.ask(), Try):
        losses.append(abs(math.log10(lr_of(problem, action.configuration)) + 2))
        account.tell(Result(trial=len(losses) - 1, epochs=None, score=losses[-1], state="ended"))
    return min(losses)


def test_tpe_finds_more_than_chance() -> None:
    """On a known function, under most of ten seeds: the count is that of these seeds and repeats."""
    wins = [best_of(OptunaStrategy("tpe", seed=seed)) < best_of(Random(seed=seed)) for seed in range(10)]
    assert sum(wins) >= 7


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsgaii", pytest.param("gp", marks=pytest.mark.slow)])
def test_samplers_repeat_and_say_nothing(sampler: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """The same seed gives the same configurations; nothing is printed and no warning comes."""
    plan = search_plan(adam(lr={"sweep": {"uniform": [0.1, 0.9]}}, eps={"sweep": [1e-8, 1e-6, 1e-4]}))
    problem = problem_of(plan, num_trials=6 if sampler == "gp" else 12)
    options = {"n_startup_trials": 4} if sampler in ("tpe", "gp") else {}

    def configurations(seed: int) -> list[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            strategy = OptunaStrategy(sampler, sampler_options=options, seed=seed)
            found = Simulation(strategy, problem, lambda trial, epochs: float(trial % 5)).run()
        return [action.configuration for action in found.actions if isinstance(action, Try)]

    first = configurations(1)
    assert len(first) == problem.num_trials
    assert configurations(1) == first
    assert sampler == "qmc" or configurations(2) != first
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("sweep", "values"),
    [
        ({"integer": [3, 6]}, {3, 4, 5, 6}),
        ({"log_integer": [1, 4]}, {1, 2, 3, 4}),
        ({"integer": [7, 7]}, {7}),
        ({"start": 2, "stop": 8, "num": 4}, {2, 4, 6, 8}),
        ([5, 3, 1], {5, 3, 1}),
    ],
)
def test_whole_numbers(sweep: Any, values: set[int]) -> None:
    """Each value of a distribution, a range or a list can be suggested, and nothing else."""
    plan = search_plan({"model": {"use": "mlp", "hidden": [{"sweep": sweep}]}, **adam(lr=0.1)}, strategy=OPTUNA)
    strategy = OptunaStrategy("random", seed=1)
    strategy.begin(problem_of(plan, num_trials=40))
    seen: set[int] = set()
    for _ in range(40):
        action = strategy.ask()
        assert isinstance(action, Try)
        seen.update(plan.take(action.configuration).swept.values())
    assert seen == values


def test_fractions_cover_their_distribution() -> None:
    """What Optuna suggests and what the config gets are the same number, to the resolution of the distribution."""
    plan = search_plan(LR)
    strategy = OptunaStrategy("random", seed=3)
    strategy.begin(problem_of(plan, num_trials=50))
    for number in range(50):
        action = strategy.ask()
        assert isinstance(action, Try)
        suggested = strategy._trials[number].params["components.optimizer.lr"]
        assert lr_of(plan.problem, action.configuration) == pytest.approx(suggested, rel=1e-4)


def test_conditional_parameters_are_suggested_where_they_matter() -> None:
    """Two sweeps at one place, in two alternatives, are two parameters; what does not matter is not asked for."""
    plan = search_plan(NESTED_SWEEPS)
    conditional = {one.name for one in plan.problem.parameters if one.is_conditional}
    assert len(conditional) == 3
    strategy = OptunaStrategy("tpe", seed=1)
    search = Simulation(strategy, problem_of(plan, num_trials=25), lambda trial, epochs: float(trial)).run()
    shapes = set()
    for action in search.actions:
        if isinstance(action, Try):
            (choice,) = (name for name in action.configuration if name not in conditional)
            shapes.add((action.configuration[choice], len(action.configuration)))
    assert shapes == {(0, 2), (1, 3)}


def test_pruning() -> None:
    """The better half goes on from report to report; a trial that is worse than the median of those before stops."""
    strategy = OptunaStrategy(
        "random", pruner="median", pruner_options={"n_startup_trials": 4}, report_every_n_epochs=2, seed=1
    )
    scores = [4.0, 5.0, 6.0, 7.0, 1.0, 8.0, 2.0, 9.0]
    search = Simulation(strategy, problem_of(PLAN, num_trials=8), lambda trial, epochs: scores[trial]).run()
    assert {action.trial for action in search.actions if isinstance(action, Stop)} == {4, 6}
    reached = search.reached()
    assert [reached[trial] for trial in range(8)] == [8, 8, 8, 8, 2, 8, 2, 8]
    epochs = [action.epochs for action in search.actions if isinstance(action, Promote) and action.trial == 7]
    assert epochs == [4, 6, 8]


def test_failures_and_infinite_scores() -> None:
    """They are failures to Optuna, and stop a trial that could go on."""
    strategy = OptunaStrategy("tpe", pruner="median", report_every_n_epochs=4, seed=1)
    scores = [math.nan, 1.0, 2.0]
    search = Simulation(
        strategy, problem_of(PLAN, num_trials=3), lambda trial, epochs: scores[trial], fails=lambda trial: trial == 1
    ).run()
    assert [(action.trial, action.reason) for action in search.actions if isinstance(action, Stop)] == [
        (0, "has no finite score")
    ]
    assert search.reached() == {0: 4, 1: 4, 2: 8}


@pytest.mark.parametrize(
    ("settings", "parameter", "words"),
    [
        ({"sampler_options": {"n_startup_trial": 3}}, "sampler_options", "did you mean `n_startup_trials`"),
        ({"sampler_options": {"seed": 3}}, "sampler_options", "the strategy's own `seed` is it"),
        ({"sampler": "nsgaii", "sampler_options": {"population_size": 0}}, "sampler_options", "refuses them"),
        ({"pruner": "percentile"}, "pruner_options", "percentile"),
        ({"pruner": "median", "report_every_n_epochs": 3, "every": 2}, "report_every_n_epochs", "is 2"),
        ({"pruner": "median", "max_epochs": None}, "pruner", "not one number"),
    ],
)
def test_what_does_not_fit(settings: dict[str, Any], parameter: str, words: str) -> None:
    """Said when a config is checked, with the parameter that is to be changed."""
    changes = {"max_epochs": settings.pop("max_epochs", 8), "evaluate_every_n_epochs": settings.pop("every", 1)}
    with pytest.raises(StrategyError, match=words) as caught:
        OptunaStrategy(**settings).begin(problem_of(PLAN, **changes))
    assert caught.value.parameter == parameter


def test_cma_es_is_for_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs a package of its own, and two numbers that matter everywhere."""
    with pytest.raises(StrategyError, match="pip install cmaes"):
        OptunaStrategy("cma_es").begin(PLAN.problem)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(StrategyError, match=r"two or more numbers .* not for .*optimizer"):
        OptunaStrategy("cma_es").begin(search_plan(NESTED_SWEEPS).problem)


def test_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that it needs is named."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(StrategyError, match=r"pip install 'mlgym\[optuna\]'"):
        OptunaStrategy().begin(PLAN.problem)
