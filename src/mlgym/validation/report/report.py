"""The report of a run: a fold over its log, as facts and in every format that people want."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from mlgym.errors import RunError
from mlgym.events import RunState
from mlgym.names import Best
from mlgym.texts import jsonable
from mlgym.validation.importance import importances
from mlgym.validation.report import formats
from mlgym.validation.report.caveats import data_of, missing_of, warnings_of
from mlgym.validation.report.claims import claims_of
from mlgym.validation.report.comparisons import Margins
from mlgym.validation.report.facts import (
    SCHEMA_VERSION,
    ComparisonFacts,
    ConfigurationFacts,
    ImportanceFacts,
    ImportancesFacts,
    ReportFacts,
    SelectionFacts,
)
from mlgym.validation.report.findings import Findings, findings_of
from mlgym.validation.report.reproductions import reproduction_lines
from mlgym.validation.report.scoring import Scoring
from mlgym.validation.report.sides import compare_choices, compare_runs
from mlgym.validation.report.tables import DEFAULT_ROWS
from mlgym.validation.report.trials import Trial
from mlgym.validation.report.wording import is_test_split
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
        RunError: nobody measured that metric, no such key was swept, the two runs cannot be compared, or a number is
            out of its range.
    """
    if not 0 < confidence < 1:
        raise RunError(f"`confidence` lies between 0 and 1, such as 0.95, but is {confidence:g}")
    if rope is not None and not 0 <= rope < math.inf:
        raise RunError(f"`rope` is 0 or more, in units of the metric, but is {rope:g}")
    findings = findings_of(state, run_id or state.run_id or "", metric, best, confidence=confidence)
    margins = Margins(rope, confidence)
    comparisons = compare_choices(compare, findings, margins) if compare is not None else []
    if against is not None:
        other = findings_of(against, against.run_id or "", metric, best, confidence=confidence)
        comparisons.append(compare_runs(findings, other, margins))
    return Report(_facts(state, findings, comparisons), findings.trials)


def _facts(state: RunState, findings: Findings, comparisons: list[ComparisonFacts]) -> ReportFacts:
    importance = _importance(findings.configurations)
    return ReportFacts(
        schema_version=SCHEMA_VERSION,
        run_id=findings.run_id,
        name=state.name,
        status=state.status,
        mode=state.validation_mode or "grid_search",
        deterministic=_deterministic(state),
        selection=_selection_facts(findings.scoring),
        num_experiments=state.num_experiments or len(state.experiments),
        counts={str(status): count for status, count in state.counts.items()},
        num_configurations=findings.num_configurations,
        started_at=state.started_at,
        duration_s=_duration(state),
        configurations=list(findings.configurations),
        nested=findings.nested,
        search=findings.search,
        importance=importance,
        comparisons=comparisons,
        claims=claims_of(findings),
        data=data_of(findings),
        warnings=warnings_of(state, findings, importance),
        missing=missing_of(state, findings),
        reproductions=reproduction_lines(state.experiments.values()),
    )


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
