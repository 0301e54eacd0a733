"""The report of a run: a fold over its log, as facts and in every format that people want."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mlgym.errors import RunError
from mlgym.events import RunState
from mlgym.names import Best, did_you_mean
from mlgym.texts import jsonable, value_text
from mlgym.validation.importance import importances
from mlgym.validation.report import formats
from mlgym.validation.report.claims import claims_of, data_of, is_test_split, missing_of, warnings_of
from mlgym.validation.report.comparisons import Side, compared, over_of, with_holm
from mlgym.validation.report.configurations import configurations_of, num_planned_of
from mlgym.validation.report.facts import (
    SCHEMA_VERSION,
    ComparisonFacts,
    ConfigurationFacts,
    ImportanceFacts,
    ImportancesFacts,
    ReportFacts,
    SelectionFacts,
)
from mlgym.validation.report.nested import NESTED, nested_of
from mlgym.validation.report.reproductions import reproduction_lines
from mlgym.validation.report.scoring import Scoring, scoring_of
from mlgym.validation.report.tables import DEFAULT_ROWS
from mlgym.validation.report.trials import Trial, by_configuration, has_folds, trials_of
from mlgym.validation.statistics import DEFAULT_CONFIDENCE


class Report:
    """What the log of a run says about its configurations, in several formats.

    Args:
        facts: everything that tables and sentences say.
        trials: the experiments, for the curves and confusion matrices of pictures.

    Attributes:
        facts: the same; `to_json` has it, and its fields keep their meaning.
    """

    def __init__(self, facts: ReportFacts, trials: Sequence[Trial]) -> None:
        self.facts = facts
        self._trials = trials

    def to_dict(self) -> dict[str, Any]:
        """Gives the facts as plain data; NaN and infinities become None."""
        plain: dict[str, Any] = jsonable(msgspec.to_builtins(self.facts))
        return plain

    def to_json(self) -> str:
        """Gives the facts as JSON; `docs/reference/report.schema.json` describes it."""
        return msgspec.json.format(msgspec.json.encode(self.to_dict()), indent=2).decode() + "\n"

    def to_csv(self) -> str:
        """Gives every score with full precision, one experiment a row."""
        return formats.to_csv(self.facts)

    def to_text(self, max_rows: int = DEFAULT_ROWS) -> str:
        """Gives the report as aligned text.

        Args:
            max_rows: configurations in the table; the best ones.
        """
        return formats.to_text(self.facts, max_rows)

    def to_markdown(self, max_rows: int = DEFAULT_ROWS) -> str:
        """Gives the report in Markdown.

        Args:
            max_rows: configurations in the table; the best ones.
        """
        return formats.to_markdown(self.facts, max_rows)

    def to_latex(self, max_rows: int = DEFAULT_ROWS) -> str:
        """Gives the tables for a paper, with `booktabs`; the sentences are comments in it.

        Args:
            max_rows: configurations in the table; the best ones.
        """
        return formats.to_latex(self.facts, max_rows)

    def to_html(self, max_rows: int = DEFAULT_ROWS) -> str:
        """Gives one HTML file with pictures, which needs neither network nor scripts.

        Args:
            max_rows: configurations in the table; the best ones.
        """
        from mlgym.validation.report.page import to_html

        return to_html(self.facts, self._trials, max_rows)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        from mlgym.validation.report.page import to_fragment

        return to_fragment(self.facts, DEFAULT_ROWS)


def report_of(
    state: RunState,
    *,
    run_id: str | None = None,
    metric: str | None = None,
    best: Best | None = None,
    against: RunState | None = None,
    compare: str | None = None,
    rope: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
) -> Report:
    """Gives the report of a run, whatever state it is in.

    Args:
        state: the run.
        run_id: how the report calls it; None for what the log says.
        metric: `split/metric` that ranks; None for what the run selects by.
        best: `min` or `max`; None for what the config or the metric's name says.
        against: another run on the same folds or seeds to compare with.
        compare: a swept key, such as `model`, whose values are compared, each by its best configuration.
        rope: half the width of the region of practical equivalence, in units of the metric; None for 0.01 where the
            scores are shares, else no statement about equivalence.
        confidence: of intervals, in (0, 1).

    Raises:
        RunError: nobody measured that metric, no such key was swept, or the two runs cannot be compared.
    """
    scoring = scoring_of(state, metric, best)
    trials = trials_of(state, scoring)
    is_nested = state.validation_mode == NESTED or any(trial.role in ("inner", "outer") for trial in trials)
    nested = nested_of(state, trials, scoring, confidence) if is_nested and scoring is not None else None
    ranked = [trial for trial in trials if trial.role != "outer"]
    num_configurations = num_configurations_of(state, ranked)
    configurations = configurations_of(
        ranked,
        scoring.selection if scoring else None,
        num_planned=None if is_nested else num_planned_of(state, num_configurations),
        confidence=confidence,
        with_intervals=not is_nested,
    )
    importance = _importance(configurations)
    comparisons: list[ComparisonFacts] = []
    own_id = run_id or state.run_id or ""
    if compare is not None:
        comparisons += _compare_choices(compare, ranked, configurations, scoring, is_nested, rope, confidence)
    if against is not None:
        sides = _side(own_id, trials, configurations, scoring), _side_of(against, metric, best, confidence)
        comparisons.append(_compare_runs(*sides, rope, confidence))
    facts = ReportFacts(
        schema_version=SCHEMA_VERSION,
        run_id=own_id,
        name=state.name,
        status=state.status,
        mode=state.validation_mode or "grid_search",
        deterministic=_deterministic(state),
        selection=_selection_facts(scoring),
        num_experiments=state.num_experiments or len(state.experiments),
        counts={str(status): count for status, count in state.counts.items()},
        num_configurations=num_configurations,
        started_at=state.started_at,
        duration_s=_duration(state),
        configurations=configurations,
        nested=nested,
        importance=importance,
        comparisons=comparisons,
        claims=claims_of(
            configurations, nested, scoring, num_configurations=num_configurations, has_folds=has_folds(ranked)
        ),
        data=data_of(scoring, ranked, nested),
        warnings=warnings_of(state, scoring, trials, configurations, nested, importance),
        missing=missing_of(state, scoring, trials, configurations, nested, num_configurations),
        reproductions=reproduction_lines(state.experiments.values()),
    )
    return Report(facts, trials)


def num_configurations_of(state: RunState, trials: Sequence[Trial]) -> int:
    """Gives how many points the grid or search has; in old logs, how many there are."""
    told = state.validation.get("num_configurations")
    return max(told if type(told) is int else 0, len(by_configuration(trials)))


def _selection_facts(scoring: Scoring | None) -> SelectionFacts | None:
    if scoring is None:
        return None
    chosen = scoring.selection
    is_test = is_test_split(chosen.split)
    return SelectionFacts(
        metric=chosen.metric, score=scoring.score.metric, best=chosen.best, at=chosen.at, is_test=is_test
    )


def _deterministic(state: RunState) -> bool | None:
    told = state.environment.get("deterministic")
    return told if isinstance(told, bool) else None


def _duration(state: RunState) -> float | None:
    end = state.finished_at or state.last_event_at
    return None if end is None or state.started_at is None else max(0.0, end - state.started_at)


def _importance(configurations: Sequence[ConfigurationFacts]) -> ImportancesFacts | None:
    scored = [(one.swept, one.mean) for one in configurations if one.mean is not None and one.mean - one.mean == 0]
    found = importances([swept for swept, _ in scored], [mean for _, mean in scored])
    if found is None:
        return None
    return ImportancesFacts(
        method=found.method,
        shares=[ImportanceFacts(keys=list(one.keys), share=one.share) for one in found.shares],
        unexplained=found.unexplained,
        num_configurations=found.num_configurations,
        fit=found.fit,
    )


def _side(
    run_id: str, trials: Sequence[Trial], configurations: Sequence[ConfigurationFacts], scoring: Scoring | None
) -> tuple[Side, str, Best]:
    """Gives what a run has to compare: its outer fits, or the experiments of its best configuration; and by what."""
    if scoring is None:
        raise RunError(f"run `{run_id}` has nothing to compare: nothing was measured yet")
    outer = [trial for trial in trials if trial.role == "outer"]
    best = scoring.selection.best
    if outer or not configurations:
        return Side(f"run {run_id}", outer), scoring.outer.metric, best
    own = [trial for trial in trials if trial.configuration == configurations[0].configuration]
    name = f"run {run_id}" if len(configurations) == 1 else f"the best of run {run_id}"
    return Side(name, own), scoring.score.metric, best


def _side_of(state: RunState, metric: str | None, best: Best | None, confidence: float) -> tuple[Side, str, Best]:
    scoring = scoring_of(state, metric, best)
    trials = trials_of(state, scoring)
    ranked = [trial for trial in trials if trial.role != "outer"]
    configurations = configurations_of(
        ranked,
        scoring.selection if scoring else None,
        num_planned=num_planned_of(state, num_configurations_of(state, ranked)),
        confidence=confidence,
    )
    return _side(state.run_id or "", trials, configurations, scoring)


def _compare_runs(
    ours: tuple[Side, str, Best], theirs: tuple[Side, str, Best], rope: float | None, confidence: float
) -> ComparisonFacts:
    (first, metric, best), (second, other, _) = ours, theirs
    if metric.partition("/")[2] != other.partition("/")[2]:
        raise RunError(
            f"{first.name} is scored by `{metric}` and {second.name} by `{other}`: say which to compare with --metric"
        )
    if (over_of(first.trials) == "seeds") != (over_of(second.trials) == "seeds"):
        raise RunError(
            f"{first.name} and {second.name} cannot be compared pair by pair: only one of them has folds; "
            "run both with the same section `validation`"
        )
    return compared(first, second, metric, best, rope=rope, confidence=confidence)


def _compare_choices(
    key: str,
    trials: Sequence[Trial],
    configurations: Sequence[ConfigurationFacts],
    scoring: Scoring | None,
    is_nested: bool,
    rope: float | None,
    confidence: float,
) -> list[ComparisonFacts]:
    """Gives the best choice against each other one, each by its best configuration."""
    keys = list(dict.fromkeys(each for one in configurations for each in one.swept))
    if key not in keys:
        raise RunError(f"`{key}` is no swept key{did_you_mean(key, keys)}")
    if is_nested:
        raise RunError(
            f"`{key}` was chosen anew in each outer fold, so that its values have no outer scores of their own; run a "
            "nested cross validation for each and compare them with --against"
        )
    winners: dict[str, ConfigurationFacts] = {}
    for one in configurations:
        if one.rank is not None and key in one.swept:
            winners.setdefault(value_text(one.swept[key]), one)
    groups = by_configuration(trials)
    sides = [Side(f"{key} {value}", groups[one.configuration]) for value, one in winners.items()]
    if scoring is None or len(sides) < 2:
        raise RunError(f"there are no two values of `{key}` with results to compare")
    first, *others = sides
    metric, best = scoring.score.metric, scoring.selection.best
    return with_holm([compared(first, one, metric, best, rope=rope, confidence=confidence) for one in others])
