"""Two sides on the same folds: two runs, or two choices within a run, with what may be claimed about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from mlgym.names import Best
from mlgym.texts import number
from mlgym.validation.ranking import smaller_is_better
from mlgym.validation.report.configurations import interval_facts
from mlgym.validation.report.facts import ComparisonFacts
from mlgym.validation.report.trials import Cell, Trial, has_folds, independent_scores, test_to_train
from mlgym.validation.report.wording import p_phrase, share_text, signed
from mlgym.validation.statistics import (
    DEFAULT_CONFIDENCE,
    PairedTest,
    Posterior,
    corrected_t_test,
    correlated_t_posterior,
    holm,
    mean_of,
)

DEFAULT_ROPE: Final = 0.01
_SURE: Final = 0.95
Over = Literal["folds", "outer folds", "seeds"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two things that are compared.

    Args:
        name: how sentences call it.
        trials: the experiments whose scores count.
        metric: what they are scored by, `split/metric`.
        best: its direction.
    """

    name: str
    trials: Sequence[Trial]
    metric: str
    best: Best

    @property
    def scores(self) -> dict[Cell, float]:
        """One score for each held-out part, or for each seed."""
        return independent_scores(self.trials)


@dataclass(frozen=True, slots=True)
class Margins:
    """What counts as a difference.

    Args:
        rope: half the width of the region of practical equivalence; None for 0.01 where the scores are shares, else
            none.
        confidence: of intervals, in (0, 1).
    """

    rope: float | None = None
    confidence: float = DEFAULT_CONFIDENCE


def compared(first: Side, second: Side, margins: Margins) -> ComparisonFacts:
    """Gives what the pairs of two sides say, by the metric of the first.

    Args:
        first: one side.
        second: the other, on the same folds or seeds.
        margins: what counts as a difference.
    """
    pairs = _pairs(first, second)
    over = over_of(first.trials)
    # Seeds on the same data are independent given these data.
    ratio = 0.0 if over == "seeds" else test_to_train([*first.trials, *second.trials])
    test = None if ratio is None else corrected_t_test(pairs.ours, pairs.theirs, ratio, margins.confidence)
    rope = _rope_for(first.metric, [*pairs.ours, *pairs.theirs]) if margins.rope is None else margins.rope
    has_spread = test is not None and test.t is not None
    posterior = correlated_t_posterior(test, rope) if test is not None and has_spread and rope is not None else None
    facts = _facts((first, second), over, pairs, test, posterior)
    facts = msgspec.structs.replace(facts, same_data=_same_data(first, second), rope=rope)
    return msgspec.structs.replace(facts, claim=claim_of(facts))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Scores of both sides on what both have, and how many have no partner."""

    ours: list[float]
    theirs: list[float]
    num_unpaired: int


def _pairs(first: Side, second: Side) -> _Pairs:
    ours, theirs = first.scores, second.scores
    shared = [cell for cell in ours if cell in theirs and math.isfinite(ours[cell]) and math.isfinite(theirs[cell])]
    num_unpaired = len(ours) + len(theirs) - 2 * len(shared)
    return _Pairs([ours[cell] for cell in shared], [theirs[cell] for cell in shared], num_unpaired)


def with_holm(comparisons: Sequence[ComparisonFacts]) -> list[ComparisonFacts]:
    """Gives comparisons of one question with p-values that stand for all of them together."""
    tested = [one for one in comparisons if one.p is not None]
    adjusted = iter(holm([one.p for one in tested if one.p is not None]))
    found = [msgspec.structs.replace(one, p_holm=next(adjusted)) if one.p is not None else one for one in comparisons]
    return [msgspec.structs.replace(one, claim=claim_of(one)) for one in found]


def over_of(trials: Sequence[Trial]) -> Over:
    """Gives what the scores of trials differ by."""
    if not has_folds(trials):
        return "seeds"
    return "outer folds" if any(trial.role == "outer" for trial in trials) else "folds"


def _facts(
    sides: tuple[Side, Side], over: Over, pairs: _Pairs, test: PairedTest | None, posterior: Posterior | None
) -> ComparisonFacts:
    differences = [one - other for one, other in zip(pairs.ours, pairs.theirs, strict=True)]
    is_max = sides[0].best == "max"
    larger, ties = sum(each > 0 for each in differences), sum(each == 0 for each in differences)
    above, below = (None, None) if posterior is None else (posterior.first_larger, posterior.second_larger)
    return ComparisonFacts(
        first=sides[0].name,
        second=sides[1].name,
        metric=sides[0].metric,
        best=sides[0].best,
        over=over,
        num_pairs=len(differences),
        num_unpaired=pairs.num_unpaired,
        same_data=None,
        first_mean=mean_of(pairs.ours),
        second_mean=mean_of(pairs.theirs),
        differences=differences,
        difference=mean_of(differences),
        sd=test.sd if test else None,
        interval=interval_facts(test.interval) if test else None,
        t=test.t if test else None,
        p=test.p if test else None,
        p_holm=None,
        effect_size=test.effect_size if test else None,
        num_first_better=larger if is_max else len(differences) - larger - ties,
        num_ties=ties,
        rope=None,
        probability_first_better=above if is_max else below,
        probability_equivalent=posterior.equivalent if posterior else None,
        probability_second_better=below if is_max else above,
        claim="",
    )


def _rope_for(metric: str, scores: Sequence[float]) -> float | None:
    """Gives a hundredth for metrics that are shares; what matters of a loss nobody but its user knows."""
    is_share = not smaller_is_better(metric) and all(-1 <= score <= 1 for score in scores)
    return DEFAULT_ROPE if is_share else None


def _same_data(first: Side, second: Side) -> bool | None:
    """Says whether the held-out samples of each pair have the same fingerprints; None where one has none."""
    ours, theirs = _fingerprints(first.trials), _fingerprints(second.trials)
    shared = [cell for cell in ours if cell in theirs]
    if not shared or any(not ours[cell] or not theirs[cell] for cell in shared):
        return None
    return all(ours[cell] == theirs[cell] for cell in shared)


def _fingerprints(trials: Sequence[Trial]) -> Mapping[Cell, str | None]:
    return {trial.cell: trial.fingerprint for trial in trials if trial.point is not None}


def claim_of(facts: ComparisonFacts) -> str:
    """Gives the sentence that may be quoted: who is better, whether both are the same in practice, or neither."""
    names = f"{facts.first} and {facts.second}"
    if facts.num_pairs < 2:
        some = "no" if not facts.num_pairs else "only one"
        return f"Nothing can be claimed about {names}: {some} pair of scores on the same {facts.over}."
    if facts.interval is None:
        return f"Nothing can be claimed about {names}: the log does not say how large the folds are."
    if facts.same_data is False:
        return f"Nothing can be claimed about {names}: they were not judged on the same samples."
    if facts.t is None:
        return _without_spread(facts)
    return f"{_verdict(facts)} {_evidence(facts)}{_scope(facts)}"


def _without_spread(facts: ComparisonFacts) -> str:
    """Gives the sentence for differences that are all the same, of which there is no test."""
    names = f"{facts.first} and {facts.second}"
    if not facts.difference:
        return f"{names} score the same in {facts.metric} on all {facts.num_pairs} {facts.over}."
    return (
        f"Nothing can be claimed about {names}: they differ by the same {signed(facts.difference)} in {facts.metric} "
        f"on all {facts.num_pairs} {facts.over}, and without any spread there is no test."
    )


def _verdict(facts: ComparisonFacts) -> str:
    for probability, better, worse in (
        (facts.probability_first_better, facts.first, facts.second),
        (facts.probability_second_better, facts.second, facts.first),
    ):
        if probability is not None and probability > _SURE:
            return f"{better} is better than {worse} by more than {number(facts.rope)} in {facts.metric}:"
    if (facts.probability_equivalent or 0) > _SURE:
        return f"{facts.first} and {facts.second} are practically equivalent in {facts.metric}:"
    p = facts.p if facts.p_holm is None else facts.p_holm
    if p is not None and p < 1 - _SURE:
        better, worse = _by_mean(facts)
        though = "" if facts.rope is None else f", though perhaps by less than {number(facts.rope)}"
        return f"{better} is better than {worse} in {facts.metric}{though}:"
    return f"These scores do not show that {facts.first} or {facts.second} is better in {facts.metric}:"


def _by_mean(facts: ComparisonFacts) -> tuple[str, str]:
    is_first = ((facts.difference or 0) > 0) == (facts.best == "max")
    return (facts.first, facts.second) if is_first else (facts.second, facts.first)


def _evidence(facts: ComparisonFacts) -> str:
    parts = [f"mean difference {signed(facts.difference)}"]
    if facts.interval is not None:
        level = f"approximate {facts.interval.confidence:.0%} interval"
        parts.append(f"{level} {signed(facts.interval.low)} to {signed(facts.interval.high)}")
    if facts.p is not None:
        test = "paired t-test" if facts.over == "seeds" else "corrected resampled t-test"
        after = f" ({p_phrase(facts.p_holm)} after Holm)" if facts.p_holm is not None else ""
        parts.append(f"{test} {p_phrase(facts.p)}{after}")
    if facts.probability_equivalent is not None:
        parts.append(
            f"probabilities {share_text(facts.probability_first_better)} better, "
            f"{share_text(facts.probability_equivalent)} equivalent within {number(facts.rope)}, "
            f"{share_text(facts.probability_second_better)} worse"
        )
    return f"{', '.join(parts)}, over {facts.num_pairs} {facts.over}.{_left_out(facts)}"


def _left_out(facts: ComparisonFacts) -> str:
    """Says that pairs are missing: over what is left, the side that failed may look better than it is."""
    num = facts.num_unpaired
    if not num:
        return ""
    which = f"{facts.over} have" if num > 1 else f"{facts.over.removesuffix('s')} has"
    return f" {num} more {which} a score on one side only and {'are' if num > 1 else 'is'} left out."


def _scope(facts: ComparisonFacts) -> str:
    proven = "" if facts.same_data else " That both were judged on the same samples is not proven by the logs."
    if facts.over == "seeds":
        return f" Over seeds on one split of the data: this says nothing about other data.{proven}"
    return proven
