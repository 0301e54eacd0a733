"""What may be claimed: sentences that may be quoted, of which each says what it does not say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mlgym.texts import number
from mlgym.validation.ranking import Selection
from mlgym.validation.report.facts import ConfigurationFacts, IntervalFacts, NestedFacts, SearchFacts
from mlgym.validation.report.findings import Findings
from mlgym.validation.report.scoring import Scoring
from mlgym.validation.report.trials import has_folds
from mlgym.validation.report.wording import count, interval_text, is_test_split, name_of, signed, with_spread

_LEVEL: Final = 0.05


def claims_of(findings: Findings) -> list[str]:
    """Gives the sentences about configurations, or about the procedure that chose one."""
    scoring, nested, num = findings.scoring, findings.nested, findings.num_configurations
    if scoring is None:
        return []
    if nested is not None:
        return _of_nested(nested, num)
    best = findings.configurations[0] if findings.configurations else None
    if best is None or best.rank != 1:
        return []
    if not has_folds(findings.ranked):
        return [*_of_grid(best, scoring.selection, _among(findings)), *_of_search(findings.search)]
    if num == 1:
        return [_of_one(best, scoring)]
    return [_of_best(best, scoring, _among(findings)), *_of_others(findings.configurations)]


def _among(findings: Findings) -> str:
    """Gives which configurations the best one is the best of; empty where there is one alone."""
    # A search need not try as many as it might.
    num = findings.num_configurations if findings.search is None else findings.search.num_tried
    if findings.num_configurations == 1:
        return ""
    num_failed = sum(bool(one.num_failed) for one in findings.configurations)
    num_done = sum(all(score.status == "done" for score in one.scores) for one in _unhurt(findings))
    if num_done + num_failed < num:
        return f"The best so far, with {num_done} of {num} configurations done,"
    others = f" ({num_failed} more failed or have no score)" if num_failed else ""
    return f"The best of {count(num - num_failed, 'configuration')}{others}"


def _unhurt(findings: Findings) -> list[ConfigurationFacts]:
    return [one for one in findings.configurations if not one.num_failed and not one.num_open]


def _of_nested(nested: NestedFacts, num_configurations: int) -> list[str]:
    scored = [one for one in nested.outer_folds if one.outer_score is not None]
    if nested.mean is None or not scored:
        return []
    chosen = f"choosing among {num_configurations} configurations" if num_configurations > 1 else "training"
    claim = (
        f"On data that decided nothing, the whole procedure ({chosen} by inner cross validation, then training anew) "
        f"scores {nested.metric} {with_spread(nested.mean, nested.sd)} (mean and sd over {len(scored)} outer "
        f"folds{_interval(nested.interval)}). This is about the procedure, not about any one configuration."
    )
    claims = [claim]
    num_decided = sum(one.configuration is not None for one in nested.outer_folds)
    if nested.num_winners > 1:
        claims.append(
            f"{nested.num_winners} different configurations won {num_decided} outer folds: the choice "
            "depends on the data, and no single one of them is what was measured."
        )
    if nested.optimism is not None:
        claims.append(_optimism(nested.optimism))
    return claims


def _optimism(optimism: float) -> str:
    if optimism <= 0:
        return f"The winners' inner scores were no better than their outer ones ({signed(optimism)} on average)."
    return (
        f"The inner score of the winner was {number(optimism, 2)} better than its outer score on average: by so much a "
        "search without outer folds would have flattered itself."
    )


def _of_search(search: SearchFacts | None) -> list[str]:
    """Gives what a search has cost, where it has spared anything."""
    if search is None or search.max_epochs is None:
        return []
    num_experiments = sum(max(1, len(one.experiment_ids)) for one in search.trials)
    whole = num_experiments * search.max_epochs
    tried = f"The search ({search.strategy}) tried {count(search.num_tried, 'configuration')}"
    spent = f"{search.epochs_trained} epochs of training in all; each to its end would have taken {whole}."
    return [f"{tried} with {spent}"]


def _of_one(only: ConfigurationFacts, scoring: Scoring) -> str:
    by = scoring.score.chosen_by
    flatters = by.at == "best" and by.metric == scoring.score.metric
    epoch = " Each fold is scored at its own best epoch, which flatters a little." if flatters else ""
    spread = f"mean and sd over folds{_interval(only.interval)}"
    return f"Cross validation scores {scoring.score.metric} {with_spread(only.mean, only.sd)} ({spread}).{epoch}"


def _of_best(best: ConfigurationFacts, scoring: Scoring, among: str) -> str:
    own = scoring.score.metric == scoring.selection.metric
    chosen = "on the folds that it was scored on" if own else f"by {scoring.selection.metric}, on rows of other folds"
    return (
        f"{among} is {name_of(best)}: {scoring.score.metric} "
        f"{with_spread(best.mean, best.sd)}. It was chosen {chosen}, so that this is too good an estimate for new "
        "data; nested cross validation gives an honest one."
    )


def _of_others(configurations: Sequence[ConfigurationFacts]) -> list[str]:
    """Gives how many others cannot be told from the best one."""
    tested = [one.p_to_best for one in configurations if one.p_to_best is not None]
    if not tested:
        return []
    num_alike = sum(p >= _LEVEL for p in tested)
    some = f"{num_alike} of {count(len(tested), 'other')} cannot be told from it"
    worse = "All others tested are worse" if len(tested) > 1 else "The other one is worse"
    return [f"{some if num_alike else worse} (corrected resampled t-test at {_LEVEL}, after Holm)."]


def _interval(interval: IntervalFacts | None) -> str:
    return f", approximate {interval.confidence:.0%} interval {interval_text(interval)}" if interval else ""


def _of_grid(best: ConfigurationFacts, selection: Selection, among: str) -> list[str]:
    over_seeds = f" (mean and sd over {best.num_scored} seeds)" if best.num_scored > 1 else ""
    claims = [
        f"{among} is {name_of(best)}: {selection.metric} {with_spread(best.mean, best.sd)}{over_seeds}."
        if among
        else f"{name_of(best).capitalize()} scores {selection.metric} {with_spread(best.mean, best.sd)}{over_seeds}."
    ]
    name = selection.metric.partition("/")[2]
    held_out = [key for key in best.metrics if is_test_split(key.partition("/")[0]) and key.endswith(f"/{name}")]
    if is_test_split(selection.split):
        return claims
    decided = "It was chosen by this score" if among else "Its epoch was chosen by this score"
    if held_out:
        test = best.metrics[held_out[0]]
        claims.append(
            f"{decided}; on data that decided nothing it has {held_out[0]} {with_spread(test.mean, test.sd)}."
        )
    elif among or selection.at == "best":
        claims.append(f"{decided}, so that it is too good an estimate for new data.")
    if best.num_scored > 1:
        claims.append("The spread over seeds is that of training on the same data, not that of other data.")
    return claims
