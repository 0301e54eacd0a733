"""Reports of runs in every mode and state, from logs that the real writer wrote."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

import mlgym
from mlgym.errors import RunError
from mlgym.events import EventLog, RunState, fold
from mlgym.tracking import create_run_folder, find_run
from mlgym.validation.report import Report, report_of
from tests.events.samples import LEGACY_LINE
from tests.validation.report.logs import Planned, cross_validation, grid, nested, state_of, write

POINTS: list[dict[str, Any]] = [{"optimizer.lr": lr, "model.width": width} for lr in (0.1, 0.01) for width in (32, 64)]
SIZES = {"train": 80, "val": 20, "test": 30}
FOLDS = [0.02, -0.01, 0.03, -0.02, 0.01]
NESTED_SECTION = {"num_outer_folds": 3, "outer_part": "test", "inner_part": "val"}
ON_TEST = {"score": {"metric": "test/f1", "best": "max", "epoch_by": "val/f1", "at": "best"}}


def score(trial: dict[str, Any], epoch: int) -> float:
    """Gives a score in which 0.01 is the better rate, folds and seeds differ, and the second epoch is better."""
    quality = 0.9 if trial["swept"].get("optimizer.lr") == 0.01 else 0.8
    quality += 0.01 if trial["swept"].get("model.width") == 64 else 0
    part = FOLDS[trial.get("fold") or 0] + 0.005 * (trial.get("seed_index") or 0) - 0.003 * (trial["outer_fold"] or 0)
    return quality + part - (0.1 if epoch == 1 else 0)


def trial_of(number: int) -> dict[str, Any]:
    """Gives what a score is made from, of a configuration."""
    return {"swept": POINTS[number], "fold": None, "outer_fold": None}


def report(tmp_path: Path, planned: list[Planned], mode: str = "grid_search", **how: Any) -> Report:
    return report_of(state_of(tmp_path, planned, score, mode=mode, sizes=SIZES, **how))


def test_a_grid_is_ranked_by_what_the_run_selects_by(tmp_path: Path) -> None:
    """One experiment each: its score, the test metric at the same epoch, no spread and no interval."""
    facts = report(tmp_path, grid(POINTS), more={"test/f1": -0.05}).facts
    assert [one.configuration for one in facts.configurations] == [3, 2, 1, 0]
    best = facts.configurations[0]
    assert (best.rank, best.sd, best.interval, best.p_to_best) == (1, None, None, None)
    assert best.mean == score(trial_of(3), 2)
    assert best.metrics["test/f1"].mean == pytest.approx(score(trial_of(3), 2) - 0.05)
    assert any("on data that decided nothing it has test/f1 0.88" in claim for claim in facts.claims)
    assert facts.missing == facts.warnings == []


def test_seeds_have_mean_and_spread_and_no_interval(tmp_path: Path) -> None:
    """The sd is that of n - 1; the report says that training again on the same data says nothing about others."""
    facts = report(tmp_path, grid(POINTS, seeds=3)).facts
    best = facts.configurations[0]
    scores = [score(trial_of(3) | {"seed_index": seed}, 2) for seed in range(3)]
    assert [best.mean, best.sd] == pytest.approx([mean(scores), stdev(scores)])
    assert [one.value for one in best.scores] == scores
    assert [one.seed for one in best.scores] == [100, 101, 102]
    assert best.interval is None
    assert "The spread over seeds is that of training on the same data, not that of other data." in facts.claims


def test_folds_have_an_interval_corrected_by_their_sizes(tmp_path: Path) -> None:
    """Mean, sd and every score of each configuration; the variance is multiplied by 1/5 + 20/80."""
    facts = report(tmp_path, cross_validation(POINTS), "cross_validation").facts
    best = facts.configurations[0]
    scores = [score(trial_of(3) | {"fold": fold}, 2) for fold in range(5)]
    assert [one.value for one in best.scores] == scores
    assert [(one.fold, one.num_train, one.num_held_out) for one in best.scores][:2] == [(0, 80, 20), (1, 80, 20)]
    assert best.interval is not None
    half = 2.7764451051977987 * stdev(scores) * (1 / 5 + 1 / 4) ** 0.5
    assert best.interval.high - mean(scores) == pytest.approx(half)
    assert best.interval.test_to_train == 0.25
    assert "chosen on the folds that it was scored on" in facts.claims[0]


def test_seeds_crossed_with_folds_are_no_further_folds(tmp_path: Path) -> None:
    """The spread is over folds, each the mean over its seeds: else three seeds would make five folds look like 15."""
    facts = report(tmp_path, cross_validation(POINTS[:1], seeds=3), "cross_validation").facts
    only = facts.configurations[0]
    by_fold = [mean(score(trial_of(0) | {"fold": f, "seed_index": s}, 2) for s in range(3)) for f in range(5)]
    assert only.sd == pytest.approx(stdev(by_fold))
    assert only.num_scored == 15
    assert only.interval is not None


def test_a_failed_fold_stays_in_sight_and_ranks_last(tmp_path: Path) -> None:
    """The best configuration with a fold that failed has no mean: over the folds that are left it would look better."""
    planned = cross_validation(POINTS)
    planned[17].error = "ValueError: nan"
    facts = report(tmp_path, planned, "cross_validation", more={"val/other": 0.1}).facts
    last = facts.configurations[-1]
    assert (last.metrics, list(facts.configurations[0].metrics)) == (
        {},
        ["val/f1", "val/other", "val/loss", "train/loss"],
    )
    assert (last.configuration, last.rank, last.mean, last.sd, last.interval) == (3, None, None, None, None)
    assert (last.num_scored, last.num_failed, last.error) == (4, 1, "ValueError: nan")
    assert [one.rank for one in facts.configurations] == [1, 2, 3, None]
    assert "1 experiment failed or ended without a score" in facts.warnings[0]
    assert "those concerned (1) rank last" in facts.warnings[0]
    assert facts.warnings[1] == "experiment 17: ValueError: nan"


def test_what_is_held_out_need_not_be_what_decides(tmp_path: Path) -> None:
    """Where the mode scores test folds at the epoch that validation chose, these are the scores, and `val` ranks."""
    planned = cross_validation(POINTS)
    facts = report(tmp_path, planned, "cross_validation", section=ON_TEST, more={"test/f1": -0.05}).facts
    best = facts.configurations[0]
    assert facts.selection is not None
    assert (facts.selection.metric, facts.selection.score) == ("val/f1", "test/f1")
    assert best.ranked_by == pytest.approx(mean(score(trial_of(3) | {"fold": fold}, 2) for fold in range(5)))
    assert best.mean == pytest.approx((best.ranked_by or 0) - 0.05)
    assert best.scores[0].num_held_out == SIZES["test"]
    assert "read at the epoch that val/f1 chose" in facts.data[0].data


def test_nested_folds_have_winners_scores_and_optimism(tmp_path: Path) -> None:
    """The outer score is on data that decided nothing; the interval is over outer folds, and the claim says of what."""
    planned = nested(POINTS)
    facts = report(
        tmp_path, planned, "nested_cross_validation", section=NESTED_SECTION | ON_TEST, more={"test/f1": -0.05}
    ).facts
    found = facts.nested
    assert found is not None
    assert found.metric == "test/f1"
    assert [one.configuration for one in found.outer_folds] == [0, 1, 2]
    outer = [score({"swept": POINTS[fold], "fold": 0, "outer_fold": fold}, 2) - 0.05 for fold in range(3)]
    assert [one.outer_score for one in found.outer_folds] == pytest.approx(outer)
    assert [found.mean, found.sd, found.num_winners] == pytest.approx([mean(outer), stdev(outer), 3])
    assert found.interval is not None
    assert found.interval.test_to_train == 30 / 80
    inner = [mean(score({"swept": POINTS[0], "fold": fold, "outer_fold": 0}, 2) for fold in range(2))]
    assert found.outer_folds[0].inner_score == pytest.approx(inner[0])
    assert found.outer_folds[0].optimism == pytest.approx(inner[0] - outer[0])
    assert [one.interval for one in facts.configurations] == [None] * 4
    assert "the whole procedure (choosing among 4 configurations" in facts.claims[0]
    assert facts.warnings == []


def test_an_outer_score_at_the_best_epoch_of_its_own_data_is_called_flattering(tmp_path: Path) -> None:
    """A run whose outer folds chose the epoch of their own score says so."""
    facts = report(tmp_path, nested(POINTS), "nested_cross_validation").facts
    assert sum("flatter" in warning for warning in facts.warnings) == 1


def test_a_run_that_goes_on_says_what_is_missing(tmp_path: Path) -> None:
    """Scores so far, no rank for what is not complete, and how much is to come."""
    planned = cross_validation(POINTS)[:8]
    planned[-1].is_open = True
    facts = report(
        tmp_path, planned, "cross_validation", num_experiments=20, is_finished=False, section={"num_configurations": 4}
    ).facts
    assert facts.status in ("running", "crashed")
    assert [(one.configuration, one.rank, one.num_open) for one in facts.configurations] == [(0, 1, 0), (1, None, 3)]
    assert "13 experiments of 20 have not ended." in facts.missing[0]
    assert "2 configurations of 4 have no experiment yet." in facts.missing[1]


def test_nested_folds_that_are_not_done_are_counted(tmp_path: Path) -> None:
    """The mean is over those that are, and says so."""
    planned = nested(POINTS)[:18]
    facts = report(
        tmp_path, planned, "nested_cross_validation", num_experiments=27, is_finished=False,
        section=NESTED_SECTION | ON_TEST, more={"test/f1": 0.0},
    ).facts  # fmt: skip
    assert facts.nested is not None
    assert len(facts.nested.outer_folds) == 2
    assert any("1 outer fold without an outer score: the mean is over the others." in one for one in facts.missing)


def test_claims_and_columns_of_a_nested_run_that_goes_on(tmp_path: Path) -> None:
    """Folds that are not decided have no winner; swept columns stand in the order of the grid, whoever won first."""
    swept: list[dict[str, Any]] = [{"model.width": 8, "optimizer.lr": 0.1}, {"model.depth": 2, "optimizer.lr": 0.1}]
    planned = [one for one in nested(swept) if (one.trial["role"], one.trial["outer_fold"]) != ("outer", 2)]
    for one in planned:
        if one.trial["role"] == "outer":
            winner = 1 - one.trial["outer_fold"]
            one.trial["configuration"], one.swept = winner, swept[winner]
    made = report(
        tmp_path, planned, "nested_cross_validation", num_experiments=27, is_finished=False,
        section=NESTED_SECTION | ON_TEST, more={"test/f1": 0.0},
    )  # fmt: skip
    assert made.facts.nested is not None
    assert len(made.facts.nested.outer_folds) == 3
    assert any("2 different configurations won 2 outer folds" in one for one in made.facts.claims)
    head = next(line for line in made.to_text().splitlines() if line.startswith("outer fold"))
    assert head.split()[3:6] == ["width", "lr", "depth"]


def test_nested_folds_none_of_which_is_done_have_no_mean(tmp_path: Path) -> None:
    """What is missing speaks of no mean where there is none."""
    facts = report(
        tmp_path, nested(POINTS)[:2], "nested_cross_validation", num_experiments=27, is_finished=False,
        section=NESTED_SECTION | ON_TEST,
    ).facts  # fmt: skip
    assert any(one.endswith("without an outer score: there is no mean yet.") for one in facts.missing)


def test_a_tracked_run_is_not_called_old(tmp_path: Path) -> None:
    """It never said what its one experiment is for, and need not."""
    with mlgym.track("loop", storage=tmp_path, run_id="loop") as run:
        run.log({"val/f1": 0.5})
    facts = report_of(find_run(tmp_path, "loop").state()).facts
    assert not any("older" in one for one in facts.missing)


def test_selecting_on_test_data_is_warned_of(tmp_path: Path) -> None:
    """By the run itself, or by whoever asks for such a report."""
    state = state_of(tmp_path, grid(POINTS), lambda trial, epoch: 0.5, more={"test/f1": 0.1})
    assert report_of(state).facts.warnings == []
    asked = report_of(state, metric="test/f1").facts
    assert "test/f1 decides here" in asked.warnings[0]
    assert asked.selection is not None
    assert asked.selection.is_test


def test_an_old_log_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """No trials, sizes or section: each experiment is a configuration, and the report says that the log is older."""
    folder = create_run_folder(tmp_path, "old")
    folder.log_path.write_bytes(LEGACY_LINE)
    facts = report_of(find_run(tmp_path, "old").state()).facts
    assert [one.configuration for one in facts.configurations] == [0]
    assert any("the log is older" in one for one in facts.missing)


def test_a_run_without_anything_has_a_report() -> None:
    """An empty log is no error."""
    facts = report_of(RunState()).facts
    assert (facts.configurations, facts.claims, facts.selection, facts.num_configurations) == ([], [], None, 0)
    assert report_of(fold([])).to_text()


def test_folds_without_sizes_have_no_interval_and_the_report_says_why(tmp_path: Path) -> None:
    """What the correction needs is not made up."""
    facts = report_of(state_of(tmp_path, cross_validation(POINTS), score, mode="cross_validation")).facts
    assert [one.interval for one in facts.configurations] == [None] * 4
    assert any("the sizes of some folds" in one for one in facts.missing)


def test_what_mattered_is_told_of_a_grid(tmp_path: Path) -> None:
    """The rate makes nearly all of the difference here."""
    facts = report(tmp_path, grid(POINTS)).facts
    assert facts.importance is not None
    assert facts.importance.method == "anova"
    assert (facts.importance.shares[0].keys, facts.importance.shares[0].share > 0.95) == (["optimizer.lr"], True)


def test_a_metric_that_nobody_measured_names_the_nearest(tmp_path: Path) -> None:
    """As everywhere."""
    with pytest.raises(RunError, match=r"no experiment has the metric `val/f2`; did you mean `val/f1`"):
        report_of(state_of(tmp_path, grid(POINTS), lambda trial, epoch: 0.5), metric="val/f2")


def test_a_log_that_somebody_damaged_is_reported_up_to_there(tmp_path: Path) -> None:
    """A torn end loses what comes after it, and nothing else."""
    planned = grid(POINTS)
    folder = write(tmp_path, planned, score)
    whole = folder.log_path.read_bytes()
    folder.log_path.write_bytes(whole[: len(whole) * 2 // 3])
    facts = report_of(find_run(tmp_path, folder.run_id).state()).facts
    assert 0 < len(facts.configurations) < 4
    assert facts.status == "crashed"
    with EventLog.open(folder.log_path):  # and the log can still be gone on with
        pass


def test_a_report_of_a_grid_imports_nothing_heavy() -> None:
    """Neither PyTorch nor scikit-learn, SciPy's statistics, matplotlib or Jinja."""
    code = (
        "import sys; from mlgym.events import RunState; from mlgym.validation.report import report_of; "
        "report_of(RunState()).to_text(); "
        "print([name for name in ('torch', 'sklearn', 'scipy.stats', 'matplotlib', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_interval_of_a_share_reaches_beyond_one(tmp_path: Path) -> None:
    """It ends there and the report says so; of a metric with another name nobody knows where it ends."""

    def near_one(trial: dict[str, Any], epoch: int) -> float:
        scores = [0.95, 1.0, 1.0, 0.98, 1.0]
        return scores[int(trial["fold"])]

    planned = cross_validation(POINTS[:1])
    state = state_of(tmp_path / "one", planned, near_one, mode="cross_validation", sizes=SIZES)
    facts = report_of(state).facts
    interval = facts.configurations[0].interval
    assert interval is not None
    assert interval.high == 1
    assert [one for one in facts.warnings if "reach beyond 1 are cut there" in one]
    usual = report(tmp_path / "two", planned, "cross_validation").facts
    assert not usual.warnings


@pytest.mark.parametrize(
    ("change", "claimed"),
    [
        ({}, "The best of 4 configurations is"),
        ({"error": "ValueError: no"}, "The best of 3 configurations (1 more failed or have no score) is"),
        ({"is_open": True}, "The best so far, with 3 of 4 configurations done, is"),
    ],
)
def test_nobody_is_the_best_of_configurations_that_have_no_result(
    change: dict[str, Any], claimed: str, tmp_path: Path
) -> None:
    """Those that failed or have not ended are not among those that the best one is better than."""
    planned = grid(POINTS)
    planned[0] = replace(planned[0], **change)
    assert report(tmp_path, planned).facts.claims[0].startswith(claimed)


def test_scores_of_broken_weights_are_warned_of(tmp_path: Path) -> None:
    """An experiment whose loss is NaN may well be half right; one with a usual loss is not mentioned."""
    broken = report(tmp_path / "one", grid(POINTS[:2]), more={"train/running_loss": math.nan}).facts
    assert any(one.startswith("experiments 0, 1: the training loss became NaN") for one in broken.warnings)
    whole = report(tmp_path / "two", grid(POINTS[:2]), more={"train/running_loss": 0.1}).facts
    assert not whole.warnings


def test_what_is_not_finite_is_left_out_and_counted(tmp_path: Path) -> None:
    """A value of +inf is no best one; who has no other has no rank and no mean; the report counts them."""

    def overflowing(trial: dict[str, Any], epoch: int) -> float:
        width, is_last = trial["swept"]["model.width"], epoch == 2
        return math.inf if (trial["fold"] == 1 if width == 32 else is_last) else score(trial, epoch)

    state = state_of(tmp_path, cross_validation(POINTS[:2], folds=2), overflowing, mode="cross_validation", sizes=SIZES)
    facts = report_of(state).facts
    assert [(one.configuration, one.rank, one.num_failed) for one in facts.configurations] == [(1, 1, 0), (0, None, 1)]
    assert facts.configurations[0].mean == pytest.approx(mean([0.73, 0.70]))
    assert facts.configurations[1].mean is None
    left_out = "4 values of val/f1 are NaN or infinite and left out (experiments 1, 2, 3): no such value is a best one"
    assert any(one.startswith(left_out) for one in facts.warnings)


def test_a_metric_without_any_finite_value_is_told_apart_from_one_that_nobody_measured(tmp_path: Path) -> None:
    """The name is right, so that no other is proposed."""
    facts = report_of(state_of(tmp_path, grid(POINTS[:2]), lambda trial, epoch: -math.inf, sizes=SIZES)).facts
    assert "val/f1 has no finite value so far; --metric ranks by another one: nothing can be ranked." in facts.missing


def test_an_outer_fold_whose_score_is_not_finite_is_not_left_out_of_the_mean(tmp_path: Path) -> None:
    """Its fit is done, and the mean over the other folds would look better than the procedure is."""

    def overflowing(trial: dict[str, Any], epoch: int) -> float:
        return math.inf if trial["role"] == "outer" and trial["outer_fold"] == 1 else score(trial, epoch)

    state = state_of(
        tmp_path, nested(POINTS), overflowing, mode="nested_cross_validation", section=NESTED_SECTION, sizes=SIZES
    )
    facts = report_of(state).facts
    assert facts.nested is not None
    assert [one.outer_score is None for one in facts.nested.outer_folds] == [False, True, False]
    assert (facts.nested.mean, facts.nested.sd, facts.nested.interval) == (None, None, None)
    assert "1 outer fold without an outer score: there is no mean." in facts.missing
    assert facts.warnings[0] == "1 experiment failed or ended without a score."


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"confidence": 95}, "`confidence` lies between 0 and 1, such as 0.95, but is 95"),
        ({"confidence": math.nan}, "`confidence` lies"),
        ({"rope": -0.01}, "`rope` is 0 or more, in units of the metric, but is -0.01"),
        ({"rope": math.inf}, "`rope` is 0 or more"),
    ],
)
def test_margins_that_mean_nothing(settings: dict[str, float], told: str, tmp_path: Path) -> None:
    """They would give intervals of NaN and probabilities beyond 1."""
    state = state_of(tmp_path, cross_validation(POINTS[:2], folds=2), score, mode="cross_validation", sizes=SIZES)
    with pytest.raises(RunError, match=told):
        report_of(state, **settings)  # type: ignore[arg-type]  # of mixed kinds


def test_another_metric_ranks_by_what_is_shown(tmp_path: Path) -> None:
    """It is read at the epoch that the run's own metric chose, not at a better one of its own; that is said."""

    def crossing(trial: dict[str, Any], epoch: int) -> float:
        return {0.1: [0.9, 0.2], 0.01: [0.5, 0.6]}[trial["swept"]["optimizer.lr"]][epoch - 1]

    own = {"score": {"metric": "val/f1", "best": "max", "epoch_by": "val/f1", "at": "best"}}
    state = state_of(
        tmp_path, cross_validation(POINTS[::2], folds=2), crossing, mode="cross_validation", section=own, sizes=SIZES
    )
    facts = report_of(state, metric="val/loss", best="max").facts
    assert [one.mean for one in facts.configurations] == pytest.approx([0.4, 0.1])
    assert [one.ranked_by for one in facts.configurations] == [one.mean for one in facts.configurations]
    assert facts.data[0].data.endswith("read at the epoch that val/f1 chose; it chose the order here")
    assert report_of(state).facts.data[0].data.endswith("it chose the epoch and the order here")
