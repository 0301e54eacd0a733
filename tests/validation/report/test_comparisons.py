"""Comparing two runs, and two choices within one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlgym.errors import RunError
from mlgym.events import RunState
from mlgym.validation.report import report_of
from mlgym.validation.report.facts import ComparisonFacts
from mlgym.validation.statistics import corrected_t_test
from tests.validation.report.logs import Score, cross_validation, grid, nested, state_of

SIZES = {"train": 80, "val": 20}
FOLDS = [0.02, -0.01, 0.03, -0.02, 0.01]
WIGGLE = [0.004, -0.003, 0.001, 0.0, -0.002]


def ahead(gap: float) -> Score:
    """Gives the scores of a run that is better than that of `ahead(0)` by about `gap` on every fold."""

    def score(trial: dict[str, Any], epoch: int) -> float:
        place = trial["fold"] or 0 if trial.get("fold") is not None else trial.get("outer_fold") or 0
        place += trial.get("seed_index") or 0
        return 0.8 + gap + FOLDS[place] + (WIGGLE[place] if gap else 0)

    return score


def run(storage: Path, gap: float, run_id: str, **how: Any) -> RunState:
    settings: dict[str, Any] = {"mode": "cross_validation", "sizes": SIZES} | how
    return state_of(storage, cross_validation([{}]), ahead(gap), run_id=run_id, **settings)


def compared(first: RunState, second: RunState, **how: Any) -> ComparisonFacts:
    (found,) = report_of(first, against=second, **how).facts.comparisons
    return found


def test_two_runs_are_compared_fold_by_fold(tmp_path: Path) -> None:
    """The numbers are those of the corrected t-test on the differences, and the claim is of the better one."""
    found = compared(run(tmp_path, 0.05, "a"), run(tmp_path, 0.0, "b"))
    test = corrected_t_test([0.85 + x + y for x, y in zip(FOLDS, WIGGLE, strict=True)], [0.8 + x for x in FOLDS], 0.25)
    assert test is not None
    assert [found.t, found.p, found.effect_size] == pytest.approx([test.t, test.p, test.effect_size])
    assert (found.over, found.num_pairs, found.num_first_better, found.same_data) == ("folds", 5, 5, True)
    assert found.differences == pytest.approx([0.05 + each for each in WIGGLE])
    assert found.claim.startswith("run a is better than run b by more than 0.01 in val/f1: mean difference +0.05")
    assert "corrected resampled t-test p < 0.001" in found.claim
    reverse = compared(run(tmp_path, 0.05, "c"), run(tmp_path, 0.0, "d"), best="min")
    assert reverse.claim.startswith("run d is better than run c by more than 0.01")
    assert reverse.num_first_better == 0


def test_runs_that_are_nearly_equal_are_practically_equivalent(tmp_path: Path) -> None:
    """With a region that is wide enough; in one that is not, nothing is claimed."""
    first, second = run(tmp_path, 0.0005, "a"), run(tmp_path, 0.0, "b")
    found = compared(first, second)
    assert found.claim.startswith("run a and run b are practically equivalent in val/f1")
    narrow = compared(first, second, rope=0.0001)
    assert narrow.claim.startswith("These scores do not show that run a or run b is better in val/f1")
    assert narrow.rope == 0.0001


def test_a_significant_difference_may_still_be_none_in_practice(tmp_path: Path) -> None:
    """The sentence says both."""
    found = compared(run(tmp_path, 0.01, "a"), run(tmp_path, 0.0, "b"))
    assert found.claim.startswith("run a is better than run b in val/f1, though perhaps by less than 0.01")


def test_other_data_are_never_compared_pair_by_pair(tmp_path: Path) -> None:
    """The fingerprints of the held-out samples tell; the control has equal ones."""
    found = compared(run(tmp_path, 0.05, "a"), run(tmp_path, 0.0, "b", data="other"))
    assert found.same_data is False
    assert found.claim == "Nothing can be claimed about run a and run b: they were not judged on the same samples."
    assert compared(run(tmp_path, 0.05, "c"), run(tmp_path, 0.0, "d")).same_data is True


def test_folds_of_one_side_only_are_left_out_and_counted(tmp_path: Path) -> None:
    """A fold that failed in one run has no pair."""
    planned = cross_validation([{}])
    planned[2].error = "ValueError: nan"
    torn = state_of(tmp_path, planned, ahead(0.05), run_id="a", mode="cross_validation", sizes=SIZES)
    found = compared(torn, run(tmp_path, 0.0, "b"))
    assert (found.num_pairs, found.num_unpaired) == (4, 1)
    assert "over 4 folds. 1 more fold has a score on one side only and is left out." in found.claim
    whole = compared(run(tmp_path, 0.05, "c"), run(tmp_path, 0.0, "d"))
    assert "left out" not in whole.claim


def test_nested_runs_are_compared_over_their_outer_folds(tmp_path: Path) -> None:
    """The procedures are compared, not the winners."""
    section = {"outer_part": "val", "num_outer_folds": 5}
    section |= {"score": {"metric": "val/f1", "best": "max", "epoch_by": "val/f1", "at": "last"}}
    how: dict[str, Any] = {"mode": "nested_cross_validation", "sizes": SIZES, "section": section}
    first = state_of(tmp_path, nested([{"lr": 1}, {"lr": 2}], outer=5), ahead(0.05), run_id="a", **how)
    second = state_of(tmp_path, nested([{"lr": 1}, {"lr": 2}], outer=5), ahead(0.0), run_id="b", **how)
    found = compared(first, second)
    assert (found.over, found.num_pairs) == ("outer folds", 5)
    assert "run a is better than run b by more than 0.01" in found.claim
    # A fixed configuration on the same folds is a baseline for it.
    baseline = compared(first, run(tmp_path, 0.0, "c"))
    assert (baseline.num_pairs, baseline.over) == (5, "outer folds")


def test_seeds_are_compared_without_the_correction_and_for_these_data_alone(tmp_path: Path) -> None:
    """Given the data, seeds are independent; the claim says that it is about these data."""
    first = state_of(tmp_path, grid([{}], seeds=5), ahead(0.05), run_id="a")
    second = state_of(tmp_path, grid([{}], seeds=5), ahead(0.0), run_id="b")
    found = compared(first, second)
    assert found.over == "seeds"
    assert found.interval is not None
    assert found.interval.test_to_train == 0
    assert "Over seeds on one split of the data: this says nothing about other data." in found.claim
    # These logs have no fingerprints.
    assert found.same_data is None
    assert found.claim.endswith("That both were judged on the same samples is not proven by the logs.")


def test_choices_within_a_run_are_compared_by_their_best_configurations(tmp_path: Path) -> None:
    """Three choices, two tests against the best one, adjusted for both."""
    points = [{"model": use, "lr": lr} for use in ("mlp(hidden=[8])", "conv_net", "linear") for lr in (1, 2)]
    gaps = {"mlp(hidden=[8])": 0.03, "conv_net": 0.05, "linear": 0.0}

    def score(trial: dict[str, Any], epoch: int) -> float:
        gap, fold = gaps[trial["swept"]["model"]], int(trial["fold"])
        penalty = 0.2 if trial["swept"]["lr"] == 2 else 0.0
        wiggle = WIGGLE[fold] * gap * 10 if fold % 2 else 0
        return 0.8 + gap + FOLDS[fold] + wiggle - penalty

    state = state_of(tmp_path, cross_validation(points), score, mode="cross_validation", sizes=SIZES)
    found = report_of(state, compare="model").facts.comparisons
    assert [(one.first, one.second) for one in found] == [
        ("model conv_net", "model mlp(hidden=[8])"),
        ("model conv_net", "model linear"),
    ]
    assert all(one.p is not None and one.p_holm is not None and one.p_holm >= one.p for one in found)
    assert all("after Holm)" in one.claim for one in found)


def test_what_cannot_be_compared_says_why(tmp_path: Path) -> None:
    """No such key, a nested run, one value, a run without folds, nothing measured, another metric."""
    folds = run(tmp_path, 0.0, "a")
    with pytest.raises(RunError, match="`width` is no swept key"):
        report_of(folds, compare="width")
    single = state_of(
        tmp_path, cross_validation([{"lr": 1}]), ahead(0), run_id="b", mode="cross_validation", sizes=SIZES
    )
    with pytest.raises(RunError, match="no two values of `lr`"):
        report_of(single, compare="lr")
    inner = state_of(tmp_path, nested([{"lr": 1}, {"lr": 2}]), ahead(0), run_id="c", mode="nested_cross_validation")
    with pytest.raises(RunError, match="run a nested cross validation for each and compare them with --against"):
        report_of(inner, compare="lr")
    with pytest.raises(RunError, match="only one of them has folds"):
        report_of(folds, against=state_of(tmp_path, grid([{}], seeds=3), ahead(0), run_id="d"))
    with pytest.raises(RunError, match="nothing was measured yet"):
        report_of(folds, against=RunState(run_id="e"))


def test_a_loss_has_no_region_of_equivalence_unless_somebody_gives_one(tmp_path: Path) -> None:
    """What difference of a loss matters nobody else can know."""
    first, second = run(tmp_path, 0.05, "a"), run(tmp_path, 0.0, "b")
    found = compared(first, second, metric="val/loss")
    assert (found.rope, found.probability_equivalent) == (None, None)
    assert found.claim.startswith("run a is better than run b in val/loss:")
    assert compared(first, second, metric="val/loss", rope=0.1).probability_equivalent is not None


def test_differences_without_spread_have_no_test(tmp_path: Path) -> None:
    """A run against itself is the same; one that is ahead by the same everywhere is no proof of anything."""
    state = run(tmp_path, 0.0, "a")
    same = compared(state, state)
    assert same.claim == "run a and run a score the same in val/f1 on all 5 folds."
    constant = state_of(
        tmp_path, cross_validation([{}]), lambda trial, epoch: 0.9 + FOLDS[trial["fold"]], run_id="b",
        mode="cross_validation", sizes=SIZES,
    )  # fmt: skip
    found = compared(constant, state)
    assert (found.t, found.p, found.probability_first_better) == (None, None, None)
    assert (
        "they differ by the same +0.1 in val/f1 on all 5 folds, and without any spread there is no test" in found.claim
    )
