"""Plans: which experiments there are, what each is for, what becomes of the split, and configs that cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlgym.config import RunFacts, build_component, check, config_id, load, resolve
from mlgym.errors import RunError
from mlgym.validation.modes import NestedPlan
from tests.validation.modes.configs import (
    DIGITS,
    WITHOUT_PRESET,
    faults_of,
    plan_of,
    short_cuts,
    split_of,
)


def trials(plan: Any, *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(plan.outline(number).trial[key] for key in keys) for number in range(len(plan))]


def test_a_grid_is_what_it_was() -> None:
    """Without folds and seeds an experiment is a point of the grid, and its config is untouched."""
    plan = plan_of(DIGITS, "grid_search")
    assert [point.swept for point in plan] == [{"optimizer.lr": 0.1}, {"optimizer.lr": 0.01}]
    assert trials(plan, "configuration", "role", "fold", "seed_index", "seed") == [
        (0, "grid", None, None, 3),
        (1, "grid", None, None, 3),
    ]
    assert split_of(plan, 0)["use"] == "stratified_split"
    assert (plan.facts["mode"], plan.facts["num_configurations"], plan.warnings) == ("grid_search", 2, [])


@pytest.mark.parametrize(("seeds", "expected"), [(3, [3, 4, 5]), ([9, 2], [9, 2])])
def test_seeds(seeds: Any, expected: list[int]) -> None:
    """Each configuration comes under each seed; a number is counted from the run's own."""
    plan = plan_of(DIGITS, "grid_search", seeds=seeds)
    assert len(plan) == 2 * len(expected)
    assert [point.config["seed"] for point in plan] == expected * 2
    assert trials(plan, "configuration", "seed_index")[: len(expected)] == [
        (0, place) for place in range(len(expected))
    ]
    assert plan.facts["seeds"] == expected


def test_folds() -> None:
    """The split becomes a fold of a fixed seed, `test` is set apart before, and each config stands alone."""
    plan = plan_of(DIGITS, "cross_validation", folds=4, stratified=True, seeds=2)
    assert len(plan) == 2 * 4 * 2
    assert trials(plan, "configuration", "fold", "seed", "role")[:3] == [
        (0, 0, 3, "fold"), (0, 0, 4, "fold"), (0, 1, 3, "fold"),
    ]  # fmt: skip
    assert short_cuts(plan, 2) == [("test", "stratified_shuffle_split", 0), ("val", "stratified_k_fold", 1)]
    # The same folds under every seed and for every configuration: all are judged on the same rows.
    assert {json.dumps(split_of(plan, number)) for number in (2, 3, 10, 11)} == {json.dumps(split_of(plan, 2))}
    alone = {**plan[5].config, "validation": {"mode": "grid_search"}}
    (point,) = check(load(alone))
    assert config_id(resolve(point.config)) == config_id(resolve(plan[5].config))
    parts = build_component(resolve(point.config), "split", RunFacts())
    assert {name: len(part) for name, part in parts.items()} == {"train": 1145, "test": 270, "val": 382}
    assert len(json.dumps(resolve(point.config))) < 4000


def test_parts_of_folds() -> None:
    """With `part: test`, `val` is cut off the training part of each fold, in the manner of the folds."""
    plan = plan_of(DIGITS, "cross_validation", folds={"use": "time_series_split", "folds": 3}, part="test")
    assert short_cuts(plan, 1) == [("test", "time_series_split", 1), ("val", "last_rows", 0)]
    assert split_of(plan, 1)["cuts"][1]["folds"]["test_size"] == pytest.approx(0.15 / 0.85)
    assert plan.facts["score"] == {"metric": "test/f1_macro", "best": "max", "epoch_by": "val/f1_macro", "at": "best"}
    given = plan_of(DIGITS, "cross_validation", groups="patient", shares={"test": 0.3})
    assert short_cuts(given, 0) == [("test", "group_shuffle_split", 0), ("val", "group_k_fold", 0)]
    assert split_of(given, 0)["cuts"][0]["folds"]["test_size"] == 0.3


def test_repeats_are_counted_through() -> None:
    """Fold 7 of 3 folds repeated is the second one of the third repeat."""
    plan = plan_of(DIGITS, "cross_validation", folds=3, repeats=3)
    assert trials(plan, "fold", "repeat")[:9] == [(fold, fold // 3) for fold in range(9)]
    assert (plan.facts["num_folds"], plan.facts["folds"]["repeats"]) == (9, 3)


def test_nested_folds() -> None:
    """For each outer fold the competitors by configuration and inner fold, then the fit, which is not yet decided."""
    plan = plan_of(DIGITS, "nested_cross_validation", outer_folds=3, inner_folds=2)
    assert isinstance(plan, NestedPlan)
    assert len(plan) == 3 * (2 * 2 + 1)
    keys = ("role", "outer_fold", "configuration", "fold")
    assert trials(plan, *keys)[5:10] == [
        ("inner", 1, 0, 0), ("inner", 1, 0, 1), ("inner", 1, 1, 0), ("inner", 1, 1, 1), ("outer", 1, None, None),
    ]  # fmt: skip
    assert (plan.competitors(1), plan.fits(1)) == (range(5, 9), range(9, 10))
    assert short_cuts(plan, 6) == [("test", "k_fold", 1), ("val", "k_fold", 1)]
    assert plan.outline(9).swept is None
    with pytest.raises(RunError, match="experiment 9 fits the winner of outer fold 1, which the experiments 5 to 8"):
        plan[9]
    assert not plan.is_closed(6)
    plan.decide(1, 1)
    assert plan.is_closed(6)
    assert not plan.is_closed(9)
    assert (plan[9].swept, plan[9].trial["configuration"]) == ({"optimizer.lr": 0.01}, 1)
    assert short_cuts(plan, 9) == [("test", "k_fold", 1), ("val", "shuffle_split", 0)]


def test_nested_folds_of_two_parts() -> None:
    """Without a part `test`, the outer fold is left out of competitors, and is `val` of a fit on all other rows."""
    select = {"metric": "val/f1_macro"}
    plan = plan_of(WITHOUT_PRESET, "nested_cross_validation", outer_folds=3, inner_folds=2, seeds=2, select=select)
    assert isinstance(plan, NestedPlan)
    assert len(plan) == 3 * (2 * 2 * 2 + 2)
    assert short_cuts(plan, 0) == [(None, "k_fold", 0), ("val", "k_fold", 0)]
    plan.decide(0, 1)
    assert [(plan[number].trial["seed"], short_cuts(plan, number)) for number in plan.fits(0)] == [
        (3, [("val", "k_fold", 0)]),
        (4, [("val", "k_fold", 0)]),
    ]
    # It decides about no epoch there.
    assert plan.facts["score"] == {"metric": "val/f1_macro", "best": "max", "epoch_by": "val/f1_macro", "at": "last"}


def test_what_is_told_about_leaks() -> None:
    """Selecting by test data, stopping by the outer fold, and learning before the split."""
    by_test = plan_of(
        DIGITS, "grid_search", ["experiment.early_stopping.metric=test/accuracy"], select={"metric": "test/f1_macro"}
    )
    assert [warning.path for warning in by_test.warnings] == ["validation.select", "experiment.early_stopping.metric"]
    assert all("no data is left that nothing was chosen by" in str(warning) for warning in by_test.warnings)

    stopping = {"use": "patience", "metric": "val/f1_macro", "best": "max", "epochs": 3}
    kept = {"use": "keep_best_and_last", "metric": "val/f1_macro", "best": "max"}
    two = {
        **WITHOUT_PRESET,
        "experiment": {**WITHOUT_PRESET["experiment"], "early_stopping": stopping, "checkpoints": kept},
    }
    (warning,) = plan_of(two, "nested_cross_validation").warnings
    assert warning.path == "experiment.early_stopping.metric"
    assert "in the fits that are scored, `val` is the outer fold" in warning.message
    assert plan_of(two, "cross_validation").warnings == []

    components = {
        "before": {"use": "standardize", "datasets": {"all": "$data"}, "fit_on": "all"},
        "split": {"dataset": "$before.all"},
    }
    early = {**DIGITS, "components": {**DIGITS["components"], **components}}
    (warning,) = plan_of(early, "cross_validation").warnings
    assert warning.path == "components.before"
    assert "`standardize` learns from rows that `split` holds out afterwards" in warning.message
    after = {
        "scaled": {"use": "standardize", "datasets": "$split"},
        "loaders": {"datasets": {part: f"$scaled.{part}" for part in ("train", "val", "test")}},
    }
    assert plan_of({**DIGITS, "components": {**DIGITS["components"], **after}}, "cross_validation").warnings == []


def test_parts_with_other_names() -> None:
    """A part may have another name where it is measured; scores, warnings and faults speak of that one."""
    components = {
        **WITHOUT_PRESET["components"],
        "split": {"use": "random_split", "dataset": "$data", "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}},
        "scaled": {"use": "standardize", "datasets": {"train": "$split.train", "v": "$split.val", "t": "$split.test"}},
        "again": {"use": "standardize", "datasets": "$scaled"},
        "loaders": {
            "use": "data_loaders",
            "datasets": {"train": "$again.train", "checked": "$again.v", "final": "$again.t"},
            "batch_size": 8,
        },
    }
    renamed = {**WITHOUT_PRESET, "components": components}
    plan = plan_of(renamed, "nested_cross_validation", select={"metric": "checked/f1_macro"})
    assert (plan.facts["score"]["metric"], plan.warnings) == ("final/f1_macro", [])
    assert plan.facts["inner_part"] == "val"
    by_test = plan_of(renamed, "nested_cross_validation", select={"metric": "final/f1_macro"})
    assert "selects on test data" in str(by_test.warnings[0])
    (fault,) = faults_of(renamed, "nested_cross_validation", select={"metric": "chcked/f1_macro"})
    assert "did you mean `checked/f1_macro`?" in fault
    folds = plan_of(renamed, "cross_validation", select={"metric": "checked/f1_macro"})
    assert folds.facts["score"]["metric"] == "checked/f1_macro"


NO_STOPPING = ["experiment.early_stopping=[]", "experiment.checkpoints={use: keep_last}"]


FOLDS, NESTED, GRID = "cross_validation", "nested_cross_validation", "grid_search"


@pytest.mark.parametrize(
    ("mode", "settings", "overrides", "fault"),
    [
        (FOLDS, {"split": "splt"}, [], "split: no component named `splt`; did you mean `split`?"),
        (FOLDS, {"split": "data"}, [], "split: `data` is `digits`, which is given no `dataset`"),
        (FOLDS, {"part": "tst"}, [], "part: `split` gives no part `tst`; did you mean `test`?"),
        (FOLDS, {"folds": 1}, [], "folds: input should be greater than or equal to 2"),
        (FOLDS, {"folds": {"use": "leave_one_out"}}, [], "folds: `leave_one_out` needs the parameter `folds`"),
        (FOLDS, {"folds": {"use": "digits"}}, [], "folds: needs int >= 2 | Splitter, but `digits`"),
        (FOLDS, {"folds": {"use": "k_fold", "fold": 2}}, [], "folds.fold: `k_fold` has no parameter `fold`"),
        (FOLDS, {"folds": {"use": "k_fold"}, "stratified": True}, [], "stratified: goes with a bare number"),
        (FOLDS, {"repeats": 2, "shuffle": False}, [], "shuffle: `repeats` needs `shuffle: true`"),
        (FOLDS, {"shares": {"tst": 0.1}}, [], "shares: no part `tst` is cut off beside the folds"),
        (FOLDS, {"select": {"metric": "f1"}}, [], "select: `metric` is `split/metric`"),
        (FOLDS, {"select": {"metric": "val/f1", "rule": "x"}}, [], "select.rule: input should be 'best' or"),
        *((mode, {"select": {"metric": "val/f1_macro", "rule": "one_standard_error"}}, [],
           "select: `rule: one_standard_error` chooses the winners of a nested cross validation")
          for mode in (FOLDS, GRID)),
        (FOLDS, {}, NO_STOPPING, "select: nothing says which metric decides"),
        (FOLDS, {"seeds": [1, 1]}, [], "seeds: has the seed 1 twice"),
        (GRID, {"seeds": []}, [], "seeds: needs at least one seed"),
        (GRID, {"seeds": 2}, ["seed={sweep: [1, 2]}"], "seeds: the config sweeps over `seed` already"),
        (GRID, {}, ["optimizer.lr={sweep: {uniform: [0, 1]}}"], "optimizer.lr: `uniform` has no end of values"),
        (FOLDS, {}, ["optimizer.lr={sweep: {uniform: [0, 1]}}"], "optimizer.lr: `uniform` has no end"),
        ("random_search", {"num_samples": 3}, [], "num_samples: there are 2 different points, so that 3 cannot"),
        (NESTED, {"select": {"metric": "train/f1_macro"}}, [],
                                     "select: selects by `train/f1_macro`, but no data called `train` is held out"),
        *((mode, {"select": {"metric": "val/f1_marco"}}, [],
           "select: `val/f1_marco` is not evaluated; did you mean `val/f1_macro`?") for mode in (FOLDS, NESTED)),
        (NESTED, {"inner_folds": {"use": "last_rows"}, "outer_folds": {"use": "last_rows"},
                                     "groups": "a"}, [], "groups: goes with a bare number of folds"),
    ],
)  # fmt: skip
def test_configs_that_cannot_be(mode: str, settings: Any, overrides: list[str], fault: str) -> None:
    """Each fault names its place and the remedy."""
    found = faults_of(DIGITS, mode, overrides, **settings)
    assert len(found) == 1
    assert f"{'components.' if fault.startswith('optimizer') else 'validation.'}{fault}" in found[0]


def test_splits_whose_parts_are_not_known() -> None:
    """A split that says no shares, has no training part, or several that could be the fold."""
    components = WITHOUT_PRESET["components"]
    three = {
        "use": "data_loaders",
        "datasets": {"train": "$split.train", "a": "$split.a", "b": "$split.b"},
        "batch_size": 8,
    }
    odd = {**WITHOUT_PRESET, "components": {
        **components, "loaders": three,
        "split": {"use": "random_split", "dataset": "$data", "fractions": {"train": 0.6, "a": 0.2, "b": 0.2}},
    }}  # fmt: skip
    select = {"metric": "a/f1_macro"}
    assert (
        "validation.part: which part of `split` becomes the fold?"
        in faults_of(odd, "cross_validation", select=select)[0]
    )
    assert (
        "validation.split: nested cross validation needs a part `test`"
        in faults_of(odd, "nested_cross_validation", select=select)[0]
    )
    assert short_cuts(plan_of(odd, "cross_validation", part="a", select=select), 0) == [
        ("b", "shuffle_split", 0), ("a", "k_fold", 0),
    ]  # fmt: skip
    cuts = [{"part": part, "folds": {"use": "k_fold", "seed": 0}, "fold": 0} for part in ("a", "b")]
    own = {**odd, "components": {
        **odd["components"], "split": {"use": "fold_split", "dataset": "$data", "cuts": cuts},
    }}  # fmt: skip
    assert "validation.shares: say how large `b` is" in faults_of(own, "cross_validation", part="a", select=select)[0]
    assert faults_of(own, "cross_validation", part="a", select=select, shares={"b": 0.1}) == []
    val = {"metric": "val/f1_macro"}
    unused = {**WITHOUT_PRESET, "components": {**components, "other": components["split"]}}
    assert "`other` is used by nothing" in faults_of(unused, "cross_validation", split="other", select=val)[0]


def test_a_split_that_only_some_points_use() -> None:
    """Folds are the same for all configurations, so there is none without the split."""
    components = DIGITS["components"]
    sets = ["$split", dict.fromkeys(("train", "val", "test"), "$data")]
    some = {**DIGITS, "components": {**components, "loaders": {"datasets": {"sweep": sets}, "batch_size": 8}}}
    plan = plan_of(some, "cross_validation")
    assert short_cuts(plan, 0)
    with pytest.raises(RunError, match="`split`, which only some alternatives of a sweep use"):
        plan[len(plan) - 1]


def test_all_faults_at_once() -> None:
    """Faults of the section come with those of components, in one go."""
    found = faults_of(DIGITS, "cross_validation", ["optimizer.lr=-1", "experiment.epochs=x"], part="tst")
    assert [fault.partition(":")[0] for fault in found] == [
        "validation.part", "components.optimizer.lr", "experiment.epochs",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "num_experiments", "left"),
    [
        ("grid_search", 2, {"select"}),
        ("cross_validation", 10, {"select", "stratified"}),
        ("random_search", 1, {"select", "num_samples"}),
    ],
)
def test_a_mode_from_the_command_line(mode: str, num_experiments: int, left: set[str]) -> None:
    """It drops what the file says for its own mode alone; what is given beside it, or belongs to none, is checked."""
    nested = {"outer_folds": 4, "stratified": True, "select": {"metric": "val/accuracy"}}
    change = [f"validation.mode={mode}"] + (["validation.num_samples=1"] if mode == "random_search" else [])
    document = load({**DIGITS, "validation": {"mode": "nested_cross_validation", **nested}}, change)
    assert document.validation.keys() == {"mode", *left}
    assert len(check(document)) == num_experiments
    assert faults_of(DIGITS, "nested_cross_validation", [*change, "validation.inner_folds=3"], **nested)
    assert faults_of(DIGITS, "nested_cross_validation", [*change, "validation.fold=3"], **nested)
    # What is recorded of such a run can be read again.
    assert len(check(load(document.identity))) == num_experiments


def test_a_large_plan_is_quick_and_small() -> None:
    """A million experiments are counted, not made."""
    lr = "optimizer.lr={sweep: {start: 0.001, stop: 0.1, num: 20000}}"
    plan = plan_of(DIGITS, "nested_cross_validation", [lr], outer_folds=10, inner_folds=5)
    assert len(plan) == 10 * (20000 * 5 + 1)
    assert plan[999_999].trial["configuration"] == 19998
