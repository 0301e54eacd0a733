"""Reports of real runs: sizes, fingerprints and scores as the processes of experiments told them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlgym.api import Run, load_run, run
from tests.validation.modes.configs import DIGITS, with_validation

SHORT = ["experiment.epochs=1", "experiment.steps_per_epoch=3"]
NESTED = {"mode": "nested_cross_validation", "outer_folds": 2, "inner_folds": 2, "stratified": True}


def short_run(section: dict[str, Any], storage: Path, run_id: str, *overrides: str) -> Run:
    return run(
        with_validation(DIGITS, **section), overrides=[*SHORT, *overrides], storage=storage, run_id=run_id,
        progress=False, executor="inline",
    )  # fmt: skip


@pytest.mark.slow
def test_a_nested_run_is_reported_by_what_its_experiments_measured(tmp_path: Path) -> None:
    """Winners, inner and outer scores are those of the log; the outer test folds are all rows, once."""
    finished = short_run(NESTED, tmp_path, "nested")
    facts = finished.report().facts
    assert facts.nested is not None
    assert facts.missing == []
    assert [each for each in facts.warnings if not each.startswith("Intervals of ")] == []  # so short a run is no good
    assert sum(one.num_test or 0 for one in facts.nested.outer_folds) == 1797
    for fold in facts.nested.outer_folds:
        fit = finished.experiment(fold.experiment_ids[0])
        assert fold.outer_score == fit.state.metrics[facts.nested.metric].values[-1]
        assert fold.inner_score == finished.state.selections[fold.outer_fold].score
        assert fold.inner_score == max(one.mean for one in fold.inner if one.mean is not None)
    assert facts.nested.interval is not None
    assert "<svg" in load_run("nested", tmp_path).report().to_html()


@pytest.mark.slow
def test_the_folds_of_two_runs_are_proven_to_be_the_same(tmp_path: Path) -> None:
    """By fingerprints of what they held out; folds of another seed are others, and nothing is claimed then."""
    section = {"mode": "cross_validation", "folds": 3}
    for run_id, seed in (("a", 1), ("b", 1), ("other", 2)):
        short_run(section, tmp_path, run_id, f"validation.seed={seed}")
    (same,) = load_run("a", tmp_path).report(against="b").facts.comparisons
    assert (same.same_data, same.num_pairs) == (True, 3)
    assert "score the same" in same.claim
    (other,) = load_run("a", tmp_path).report(against="other").facts.comparisons
    assert other.same_data is False
    assert other.claim.endswith("they were not judged on the same samples.")


def test_seeds_of_a_real_grid_are_one_configuration(tmp_path: Path) -> None:
    """Two points under two seeds are two configurations of two scores each."""
    facts = short_run({"mode": "grid_search", "seeds": 2}, tmp_path, "seeds").report().facts
    assert [len(one.scores) for one in facts.configurations] == [2, 2]
    assert len({score.seed for score in facts.configurations[0].scores}) == 2
