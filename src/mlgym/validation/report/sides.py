"""Who is compared with whom: a run with another one, or the values of a swept key within a run."""

from __future__ import annotations

from mlgym.errors import RunError
from mlgym.names import did_you_mean
from mlgym.texts import value_text
from mlgym.validation.report.comparisons import Margins, Side, compared, over_of, with_holm
from mlgym.validation.report.facts import ComparisonFacts, ConfigurationFacts
from mlgym.validation.report.findings import Findings
from mlgym.validation.report.trials import by_configuration


def compare_runs(ours: Findings, theirs: Findings, margins: Margins) -> ComparisonFacts:
    """Gives what two runs on the same folds or seeds say about each other.

    Raises:
        RunError: one has no results, or they have no pairs of scores by nature.
    """
    first, second = _side_of(ours), _side_of(theirs)
    if first.metric.partition("/")[2] != second.metric.partition("/")[2]:
        raise RunError(
            f"{first.name} is scored by `{first.metric}` and {second.name} by `{second.metric}`: "
            "say which to compare with --metric"
        )
    if (over_of(first.trials) == "seeds") != (over_of(second.trials) == "seeds"):
        raise RunError(
            f"{first.name} and {second.name} cannot be compared pair by pair: only one of them has folds; "
            "run both with the same section `validation`"
        )
    return compared(first, second, margins)


def _side_of(findings: Findings) -> Side:
    """Gives what a run has to compare: its outer fits, or the experiments of its best configuration."""
    scoring, configurations = findings.scoring, findings.configurations
    if scoring is None:
        raise RunError(f"run `{findings.run_id}` has nothing to compare: nothing was measured yet")
    best = scoring.selection.best
    name = f"run {findings.run_id}"
    if findings.nested is not None:
        fits = [trial for trial in findings.trials if trial.role == "outer"]
        return Side(name, fits, scoring.outer.metric, best)
    own = [trial for trial in findings.trials if trial.configuration == configurations[0].configuration]
    return Side(name if len(configurations) == 1 else f"the best of {name}", own, scoring.score.metric, best)


def compare_choices(key: str, findings: Findings, margins: Margins) -> list[ComparisonFacts]:
    """Gives the best value of a swept key against each other one, each by its best configuration.

    Raises:
        RunError: no such key was swept, or its values have no scores of their own.
    """
    scoring, configurations = findings.scoring, findings.configurations
    keys = list(dict.fromkeys(each for one in configurations for each in one.swept))
    if key not in keys:
        raise RunError(f"`{key}` is no swept key{did_you_mean(key, keys)}")
    if findings.nested is not None:
        raise RunError(
            f"`{key}` was chosen anew in each outer fold, so that its values have no outer scores of their own; run a "
            "nested cross validation for each and compare them with --against"
        )
    winners: dict[str, ConfigurationFacts] = {}
    for one in configurations:
        if one.rank is not None and key in one.swept:
            winners.setdefault(value_text(one.swept[key]), one)
    if scoring is None or len(winners) < 2:
        raise RunError(f"there are no two values of `{key}` with results to compare")
    groups = by_configuration(findings.ranked)
    first, *others = [
        Side(f"{key} {value}", groups[one.configuration], scoring.score.metric, scoring.selection.best)
        for value, one in winners.items()
    ]
    return with_holm([compared(first, one, margins) for one in others])
