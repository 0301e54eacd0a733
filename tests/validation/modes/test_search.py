"""The mode `search`: what is refused when a config is checked, with the place, and what is known before it runs."""

from __future__ import annotations

from typing import Any

import pytest

from mlgym.config import check, load
from mlgym.errors import ConfigError, RunError
from mlgym.validation.modes import SearchPlan
from mlgym.validation.search import Try
from tests.validation.modes.configs import WITHOUT_PRESET
from tests.validation.search.problems import LR, NESTED_SWEEPS, adam, search_config, search_plan

OPEN = {"evaluator": {**WITHOUT_PRESET["components"]["evaluator"], "metrics": [{"use": "f1", "name": "$run.device"}]}}


def faults(components: dict[str, Any], epochs: Any = 9, **validation: Any) -> list[str]:
    """Gives each fault as `key: message`."""
    with pytest.raises(ConfigError) as caught:
        check(load(search_config(components, epochs, **validation)))
    return [f"{one.path}: {one.message}" for one in caught.value.faults]


@pytest.mark.parametrize(
    ("settings", "place", "words"),
    [
        ({"components": adam(lr=0.1)}, "validation.strategy", "the config has no sweep"),
        ({"num_trials": None}, "validation.num_trials", "how many configurations"),
        ({"strategy": {"use": "grid"}}, "validation.strategy.use", "no end of values"),
        ({"strategy": {"use": "asha", "min_epochs": 9}}, "validation.strategy.min_epochs", "a training has 9"),
        ({"strategy": {"use": "asha"}, "epochs": {"sweep": [3, 9]}}, "validation.strategy", "not one number"),
        ({"components": adam(lr={"sweep": [1, 2]}), "num_trials": 3}, "validation.num_trials", "there are 2 different"),
        ({"select": {"metric": "vall/f1_macro"}}, "validation.select", "did you mean `val/f1_macro`"),
        # What metrics are called may not be known before; what is evaluated is.
        ({"components": {**LR, **OPEN}, "select": {"metric": "vall/f"}}, "validation.select", "did you mean `val`"),
        ({"select": None}, "validation.select", "nothing says which metric decides"),
        ({"strategy": {"use": "adam"}}, "validation.strategy", "needs Strategy"),
        ({"seeds": []}, "validation.seeds", "at least one seed"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], place: str, words: str) -> None:
    """With the key that is to be changed, before anything starts."""
    found = faults(settings.pop("components", LR), **settings)
    assert any(one.startswith(f"{place}: ") and words in one for one in found), found


def test_epochs_of_the_config_are_the_last_rung() -> None:
    """Also where they come from a variable; `evaluate_every_n_epochs` has its default."""
    config = search_config(LR, "$vars.epochs", strategy={"use": "asha"}) | {"vars": {"epochs": 27}}
    plan = check(load(config))
    assert plan.facts["rungs"] == [1, 3, 9, 27]
    every = config | {"experiment": config["experiment"] | {"evaluate_every_n_epochs": 2}}
    with pytest.raises(ConfigError, match="compares trials after epoch 1, but `evaluate_every_n_epochs` is 2"):
        check(load(every))


def test_what_is_known_before_it_runs() -> None:
    """How many experiments at most, what is searched over, and that configurations are still to be chosen."""
    plan = search_plan(NESTED_SWEEPS, strategy={"use": "optuna", "pruner": "median"}, num_trials=7, seeds=[4, 5])
    assert (len(plan), plan.facts["num_configurations"], plan.facts["seeds"]) == (14, 7, [4, 5])
    assert plan.facts["rungs"] == [*range(1, 10)]
    assert [(one["key"], one["values"], one["conditional"]) for one in plan.facts["parameters"]] == [
        ("optimizer", ["sgd", "adam"], False),
        ("optimizer.lr", [], True),
        ("optimizer.eps", [1e-8, 1e-6], True),
        ("optimizer.lr", [1e-3, 1e-2], True),
    ]
    assert (plan.outline(13).trial["configuration"], plan.outline(13).swept) == (6, None)
    with pytest.raises(RunError, match="chooses the configuration of trial 6 while it runs"):
        plan[13]


def test_trials_are_numbered_as_they_are_taken() -> None:
    """Each has an experiment for each seed; once the search is over, there are no others."""
    plan = search_plan(LR, num_trials=7, seeds=[4, 5])
    for _ in range(2):
        plan.take(plan.problem.parameters.configure(lambda parameter: 1))
    assert [(one.experiment_id, one.trial["configuration"], one.trial["seed"]) for one in (plan[1], plan[2])] == [
        (1, 0, 5),
        (2, 1, 4),
    ]
    assert (plan.experiments(1), plan.trial_of(3)) == (range(2, 4), 1)
    plan.close()
    assert len(plan) == 4


@pytest.mark.parametrize("num_trials", [None, 3])
def test_a_grid_needs_no_number(num_trials: int | None) -> None:
    """All of it, or its first points."""
    plan = search_plan(adam(lr={"sweep": [1e-3, 1e-2, 1e-1, 1.0]}), strategy={"use": "grid"}, num_trials=num_trials)
    assert isinstance(plan, SearchPlan)
    assert len(plan) == (num_trials or 4)


def test_random_draws_what_random_search_draws() -> None:
    """Under the same seed, so that one can be gone on with as the other."""
    config = search_config(LR, num_trials=5)
    search = check(load(config))
    assert isinstance(search, SearchPlan)
    account = search.begin()
    drawn = []
    for _ in range(5):
        action = account.ask()
        assert isinstance(action, Try)
        drawn.append(search.take(action.configuration).swept)
    random = check(load(config | {"validation": {"mode": "random_search", "num_samples": 5}}))
    assert drawn == [point.swept for point in random]
