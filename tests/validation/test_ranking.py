"""Selection and ranking of experiments."""

import math
from typing import Any

import pytest

from mlgym.errors import RunError
from mlgym.events import ExperimentState, MetricHistory, MetricPoint, RunState
from mlgym.validation import Selection, default_selection, rank, selection_of, smaller_is_better


def _run(values: dict[int, list[float]], key: str = "val/f1_macro", config: Any = None, **status: Any) -> RunState:
    state = RunState(run_id="r", num_experiments=len(values))
    for experiment_id, column in values.items():
        experiment = ExperimentState(experiment_id, status="done", config=config or {})
        history = experiment.metrics.setdefault(key, MetricHistory())
        for epoch, value in enumerate(column, start=1):
            history.add(MetricPoint(value, epoch, 10 * epoch))
        state.experiments[experiment_id] = experiment
    return state


def test_the_best_value_of_any_epoch_decides_and_ties_go_to_the_lower_id() -> None:
    """Experiments are ranked by their best epoch; equal ones keep their order."""
    state = _run({2: [0.9, 0.1], 0: [0.8, 0.9], 1: [0.95]})
    ranked = rank(state, Selection("val/f1_macro", "max"))
    assert [(one.rank, one.experiment.experiment_id) for one in ranked] == [(1, 1), (2, 0), (3, 2)]
    assert ranked[2].best == MetricPoint(0.9, 1, 10)


def test_failed_and_unmeasured_experiments_come_last_without_a_rank() -> None:
    """They are shown, but never win."""
    state = _run({0: [0.99], 1: [0.5], 2: [], 3: [math.nan], 4: [math.inf], 5: [0.4, math.inf]})
    state.experiments[0].status = "failed"
    ranked = rank(state, Selection("val/f1_macro", "max"))
    ids = [(one.rank, one.experiment.experiment_id) for one in ranked]
    assert ids == [(1, 1), (2, 5), *((None, number) for number in (0, 2, 3, 4))]
    last = rank(state, Selection("val/f1_macro", "max", at="last"))
    assert [one.rank for one in last] == [1, None, None, None, None, None]


def test_the_run_selects_by_what_its_checkpoints_watch() -> None:
    """What the experiment itself watches comes before anything else that names a metric."""
    config = {
        "components": {"a": {"metric": "val/other", "best": "max"}},
        "experiment": {"checkpoints": {"use": "keep_best", "metric": "val/loss", "best": "min"}},
    }
    assert default_selection(_run({0: [1.0]}, config=config)) == Selection("val/loss", "min")


def test_without_a_watcher_the_validation_split_decides() -> None:
    """The first metric of the validation split that is no loss."""
    state = _run({0: [1.0]}, "train/accuracy")
    state.experiments[0].metrics |= {"val/loss": MetricHistory(), "val/accuracy": MetricHistory()}
    assert default_selection(state) == Selection("val/accuracy", "max")
    assert default_selection(RunState()) is None


@pytest.mark.parametrize(
    "name",
    [
        "val/loss", "val/mse", "test/running_loss", "val/brier_score", "val/brier_score/2", "val/rmse", "val/MSE",
        "val/error_rate", "val/bce_with_logits", "val/expected_calibration_error", "val/cross_entropy_2",
        "val/perplexity", "train/generator/loss", "val/loss_total",
    ],
)  # fmt: skip
def test_losses_and_errors_are_better_small(name: str) -> None:
    """The direction follows from the name where the config does not say it."""
    assert smaller_is_better(name)
    assert not any(
        map(smaller_is_better, ["val/f1_macro", "val/f1/3", "val/r2", "val/lossless", "val/average_precision"])
    )
    assert selection_of(_run({0: [1.0]}, name), name) == Selection(name, "min")


def test_an_unknown_metric_names_the_nearest() -> None:
    """A slip of the pen is no empty table."""
    with pytest.raises(RunError, match="did you mean `val/f1_macro`"):
        selection_of(_run({0: [1.0]}), "val/f1_makro")


def test_the_section_validation_says_what_decides_and_at_which_epoch() -> None:
    """`validation.select` goes before what checkpoints watch; `at: last` takes the last value, not the best."""
    watched = {"experiment": {"checkpoints": {"metric": "val/loss", "best": "min"}}}
    state = _run({0: [0.9, 0.1], 1: [0.2, 0.3]}, config=watched)
    state.validation = {"select": {"metric": "val/f1_macro", "best": "max", "at": "last"}}
    selection = default_selection(state)
    assert selection == Selection("val/f1_macro", "max", "last")
    assert [one.experiment.experiment_id for one in rank(state, selection)] == [1, 0]
    assert selection_of(state, "val/f1_macro") == selection
