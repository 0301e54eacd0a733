"""The cases: a config for MLgym, and the splitters and grid that say the same to scikit-learn."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.model_selection as splitters
import torch
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV

from mlgym.api import Run, run
from mlgym.execution.course import nested_source
from tests.integration.parity.components import ESTIMATORS, METRICS, TorchClassifier, arrays_of

IMPORTS = "tests.integration.parity.components"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison.

    Args:
        estimator: what is fitted; None for the model of PyTorch.
        grid: the parameters that are searched, as `ParameterGrid` takes them.
        fixed: parameters that are not.
        data: the set, `num_rows` of it.
        metric: what decides and scores.
        outer, inner: the splitters of scikit-learn.
        validation: the same for MLgym.
    """

    estimator: str | None
    grid: Mapping[str, list[Any]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    data: str = "wine"
    num_rows: int = 178
    metric: str = "accuracy"
    outer: Any
    inner: Any
    validation: Mapping[str, Any]
    uses_groups: bool = False


@dataclass(frozen=True)
class Results:
    """What either side found.

    Args:
        folds: rows held out by the outer folds.
        inner: scores by outer fold, configuration and inner fold.
        winners: the configuration that won each outer fold.
        outer: the winner's score on each outer fold.
    """

    folds: list[list[int]]
    inner: list[list[list[float]]]
    winners: list[dict[str, Any]]
    outer: list[float]


def _k(folds: int, seed: int = 5, kind: str = "KFold", **more: Any) -> Any:
    return getattr(splitters, kind)(folds, shuffle=True, random_state=seed, **more)


KNN: Mapping[str, list[Any]] = {"n_neighbors": [1, 3, 7, 15], "weights": ["distance", "uniform"]}
CASES: Mapping[str, Case] = {
    "stratified": Case(
        estimator="knn", grid=KNN,
        outer=_k(5, kind="StratifiedKFold"), inner=_k(3, kind="StratifiedKFold"),
        validation={"outer_folds": 5, "inner_folds": 3, "stratified": True},
    ),
    "plain with f1_macro": Case(
        estimator="tree", grid={"max_depth": [1, 2, 4], "min_samples_leaf": [1, 5]}, fixed={"random_state": 0},
        metric="f1_macro", data="breast_cancer", num_rows=300,
        outer=_k(4), inner=_k(3), validation={"outer_folds": 4, "inner_folds": 3},
    ),
    "repeated": Case(
        estimator="knn", grid=KNN,
        outer=splitters.RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=5),
        inner=_k(3, kind="StratifiedKFold"),
        validation={"outer_folds": 3, "inner_folds": 3, "repeats": 2, "stratified": True},
    ),
    "grouped": Case(
        estimator="knn", grid=KNN, uses_groups=True,
        outer=splitters.GroupKFold(4), inner=splitters.GroupKFold(3),
        validation={"outer_folds": 4, "inner_folds": 3, "groups": "group", "shuffle": False},
    ),
    "exact ties": Case(
        estimator="dummy", grid={"constant": [1, 1, 0], "strategy": ["constant", "most_frequent"]},
        data="iris", num_rows=150, outer=_k(3), inner=_k(4), validation={"outer_folds": 3, "inner_folds": 4},
    ),
    "random parts": Case(
        estimator="knn", grid=KNN,
        outer=splitters.StratifiedShuffleSplit(3, test_size=0.3, random_state=5),
        inner=splitters.ShuffleSplit(4, test_size=20, random_state=6),
        validation={
            "outer_folds": {"use": "stratified_shuffle_split", "folds": 3, "test_size": 0.3},
            "inner_folds": {"use": "shuffle_split", "folds": 4, "test_size": 20, "seed": 6},
        },
    ),
    "PyTorch": Case(
        estimator=None, grid={"model_width": [2, 8], "optimizer_lr": [0.5, 0.05]}, data="digits", num_rows=400,
        outer=_k(3, kind="StratifiedKFold"), inner=_k(2, kind="StratifiedKFold"),
        validation={"outer_folds": 3, "inner_folds": 2, "stratified": True},
    ),
}  # fmt: skip


def by_scikit_learn(case: Case) -> Results:
    """Gives what `GridSearchCV` inside of a loop over outer folds finds."""
    inputs, labels, groups = arrays_of(case.data, case.num_rows)
    found = Results([], [], [], [])
    scorer = make_scorer(METRICS[case.metric])
    make: Callable[..., Any] = TorchClassifier if case.estimator is None else ESTIMATORS[case.estimator]
    for train, test in case.outer.split(inputs, labels, groups if case.uses_groups else None):
        search = GridSearchCV(make(**case.fixed), dict(case.grid), scoring=scorer, cv=case.inner)
        grouping = {"groups": groups[train]} if case.uses_groups else {}
        search.fit(inputs[train], labels[train], **grouping)
        columns = [search.cv_results_[f"split{fold}_test_score"] for fold in range(search.n_splits_)]
        found.folds.append(test.tolist())
        found.inner.append(np.stack(columns, axis=1).tolist())
        found.winners.append(search.best_params_)
        found.outer.append(float(scorer(search.best_estimator_, inputs[test], labels[test])))
    return found


def by_mlgym(case: Case, storage: Path, **options: Any) -> Results:
    """Gives what MLgym finds."""
    finished = run(config_of(case), storage=storage, progress=False, **options)
    assert finished.exit_code == 0, [one.error for one in finished.experiments]
    return results_of(finished, case)


def config_of(case: Case) -> dict[str, Any]:
    """Gives the config of a case; the part `val` is the inner fold, and the outer one in the last fit."""
    swept = {name: {"sweep": values} for name, values in case.grid.items()}
    split = {"use": "random_split", "dataset": "$data", "fractions": {"train": 0.8, "val": 0.2}}
    data = {"use": "parity_data", "name": case.data, "num_rows": case.num_rows}
    components: dict[str, Any] = {"data": data, "split": split}
    if case.estimator is None:
        components |= _torch_components(swept)
        root: dict[str, Any] = {"use": "training", "trainer": "$trainer", "evaluator": "$evaluator", "epochs": 6}
    else:
        components["estimator"] = {"use": "parity_estimator", "name": case.estimator, **case.fixed, **swept}
        root = {"use": "fit_estimator", "datasets": "$split", "estimator": "$estimator", "metric": case.metric}
    select = {"metric": f"val/{case.metric}", "best": "max", "at": "last"}
    validation = {"mode": "nested_cross_validation", "seed": 5, "select": select, **case.validation}
    return {"imports": [IMPORTS], "components": components, "experiment": root, "validation": validation}


def _torch_components(swept: Mapping[str, Any]) -> dict[str, Any]:
    model = {"use": "parity_net", "num_inputs": 64, "num_classes": 10, "width": swept["model_width"]}
    return {
        "loaders": {"use": "data_loaders", "datasets": "$split", "batch_size": 10_000, "shuffle": []},
        "model": model,
        "optimizer": {"use": "sgd", "model": "$model", "lr": swept["optimizer_lr"], "momentum": 0.9},
        "loss": {"use": "cross_entropy"},
        "trainer": {
            "use": "trainer", "model": "$model", "optimizer": "$optimizer", "loss": "$loss", "loader": "$loaders.train",
        },
        "evaluator": {
            "use": "evaluator", "model": "$model", "loss": "$loss", "loaders": "$loaders", "splits": ["val"],
            "metrics": [{"use": "accuracy"}],
        },
    }  # fmt: skip


def results_of(finished: Run, case: Case) -> Results:
    """Gives the results of a run, read from its log."""
    from mlgym.config import RunFacts, build_component

    state, found, key = finished.state, Results([], [], [], []), f"val/{case.metric}"
    num_configurations = state.validation["num_configurations"]
    for fold, selection in sorted(state.selections.items()):
        inner = [
            one for one in state.experiments.values() if (one.trial["role"], one.trial["outer_fold"]) == ("inner", fold)
        ]
        table: list[list[float]] = [[] for _ in range(num_configurations)]
        for one in sorted(inner, key=lambda one: one.experiment_id):
            table[one.trial["configuration"]].append(one.metrics[key].values[-1])
        assert selection.experiment_id is not None
        fit = state.experiments[selection.experiment_id]
        held_out = build_component(fit.config, "split", RunFacts())["val"]
        found.folds.append(_places(held_out, case))
        found.inner.append(table)
        found.winners.append({_param(key): value for key, value in fit.swept.items()})
        found.outer.append(fit.metrics[key].values[-1])
    return found


def _param(key: str) -> str:
    """Gives `n_neighbors` for `estimator.n_neighbors`, and `optimizer_lr` for `optimizer.lr`."""
    return key.removeprefix("estimator.").replace(".", "_")


def _places(data: Any, case: Case) -> list[int]:
    """Gives where in the whole set the rows of a part are, in their order."""
    inputs, _, groups = arrays_of(case.data, case.num_rows)
    places: dict[tuple[bytes, int], list[int]] = {}
    for place, row in enumerate(inputs):
        places.setdefault((row.tobytes(), int(groups[place])), []).append(place)
    rows = zip(data.inputs.numpy(), data.metadata["group"], strict=True)
    # Some flowers of iris are there twice; their first place is as good as their second.
    return [places[row.tobytes(), int(group)].pop(0) for row, group in rows]


@contextmanager
def shuffled_order(seed: int) -> Iterator[None]:
    """Starts the competitors of each outer fold in a random order."""
    in_order = nested_source.NestedSource.order

    def order(self: nested_source.NestedSource, outer_fold: int) -> Iterator[int]:
        numbers = list(in_order(self, outer_fold))
        random.Random(seed + outer_fold).shuffle(numbers)
        return iter(numbers)

    nested_source.NestedSource.order = order  # type: ignore[method-assign]  # for a while
    try:
        yield
    finally:
        nested_source.NestedSource.order = in_order  # type: ignore[method-assign]  # for a while


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes as a worker does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
