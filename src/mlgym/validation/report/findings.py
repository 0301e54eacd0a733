"""What a report is made from: the experiments of a run, what judges them, and the configurations ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlgym.events import RunState
from mlgym.names import Best
from mlgym.validation.report.configurations import configurations_of, num_configurations_of, num_planned_of
from mlgym.validation.report.facts import ConfigurationFacts, NestedFacts, SearchFacts
from mlgym.validation.report.nested import NESTED, nested_of
from mlgym.validation.report.scoring import Scoring, scoring_of
from mlgym.validation.report.search import search_of
from mlgym.validation.report.trials import Trial, trials_of


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known of a run.

    Args:
        run_id: how it is called.
        scoring: what judges its experiments; None where nothing was measured.
        trials: all its experiments.
        num_configurations: how many points its grid or search has.
        configurations: the best first.
        nested: of a nested cross validation only.
        search: of a search only.
    """

    run_id: str
    scoring: Scoring | None
    trials: Sequence[Trial]
    num_configurations: int
    configurations: Sequence[ConfigurationFacts]
    nested: NestedFacts | None
    search: SearchFacts | None

    @property
    def ranked(self) -> list[Trial]:
        """The experiments that rank configurations: all but the fits of winners."""
        return [trial for trial in self.trials if trial.role != "outer"]


def findings_of(state: RunState, run_id: str, metric: str | None, best: Best | None, *, confidence: float) -> Findings:
    """Gives what is known of a run.

    Args:
        state: the run.
        run_id: how it is called.
        metric: `split/metric` that ranks; None for what the run selects by.
        best: its direction; None for what the config or the metric's name says.
        confidence: of intervals.

    Raises:
        RunError: nobody measured that metric.
    """
    scoring = scoring_of(state, metric, best)
    trials = trials_of(state, scoring)
    is_nested = state.validation_mode == NESTED or any(trial.role in ("inner", "outer") for trial in trials)
    ranked = [trial for trial in trials if trial.role != "outer"]
    num_configurations = num_configurations_of(state, ranked)
    configurations = configurations_of(
        ranked,
        scoring.selection if scoring else None,
        num_planned=None if is_nested else num_planned_of(state, num_configurations),
        metric=scoring.score.metric if scoring else "",
        confidence=confidence,
        with_intervals=not is_nested,
    )
    nested = nested_of(state, trials, scoring, confidence) if is_nested and scoring is not None else None
    return Findings(run_id, scoring, trials, num_configurations, configurations, nested, search_of(state, trials))
