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
from mlgym.validation.statistics import (
    PairedTest,
    Posterior,
    corrected_t_test,
    correlated_t_posterior,
    holm,
    mean_of,
)

DEFAULT_ROPE: Final = 0.01
_SURE: Final = 0.95
_SMALL: Final = 0.001
Over = Literal["folds", "outer folds", "seeds"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two things that are compared.

    Args:
        name: how sentences call it.
        trials: the experiments whose scores count.
    """

    name: str
    trials: Sequence[Trial]

    @property
    def scores(self) -> dict[Cell, float]:
        """One score for each held-out part, or for each seed."""
        return independent_scores(self.trials)


def compared(
    first: Side, second: Side, metric: str, best: Best, *, rope: float | None = None, confidence: float = 0.95
) -> ComparisonFacts:
    """Gives what the pairs of two sides say.

    Args:
        first: one side.
        second: the other, on the same folds or seeds.
        metric: what is compared, `split/metric`.
        best: its direction.
        rope: half the width of the region of practical equivalence; None for 0.01 where the scores are shares, else
            none.
        confidence: of the interval.
    """
    ours, theirs = first.scores, second.scores
    pairs = [cell for cell in ours if cell in theirs and math.isfinite(ours[cell]) and math.isfinite(theirs[cell])]
    scores = [ours[cell] for cell in pairs], [theirs[cell] for cell in pairs]
    over = over_of(first.trials)
    # Seeds on the same data are independent given these data.
    ratio = 0.0 if over == "seeds" else test_to_train([*first.trials, *second.trials])
    test = None if ratio is None else corrected_t_test(*scores, ratio, confidence)
    width = _rope_for(metric, [*scores[0], *scores[1]]) if rope is None else rope
    posterior = correlated_t_posterior(test, width) if test is not None and width is not None else None
    facts = _facts((first, second), (metric, best), over, scores, test, posterior)
    unpaired = len(ours) + len(theirs) - 2 * len(pairs)
    facts = msgspec.structs.replace(facts, num_unpaired=unpaired, same_data=_same_data(first, second), rope=width)
    return msgspec.structs.replace(facts, claim=claim_of(facts, is_ratio_known=ratio is not None))


def with_holm(comparisons: Sequence[ComparisonFacts]) -> list[ComparisonFacts]:
    """Gives comparisons of one question with p-values that stand for all of them together."""
    tested = [one for one in comparisons if one.p is not None]
    adjusted = iter(holm([one.p for one in tested if one.p is not None]))
    return [msgspec.structs.replace(one, p_holm=next(adjusted)) if one.p is not None else one for one in comparisons]


def over_of(trials: Sequence[Trial]) -> Over:
    """Gives what the scores of trials differ by."""
    if not has_folds(trials):
        return "seeds"
    return "outer folds" if any(trial.role == "outer" for trial in trials) else "folds"


def _facts(
    sides: tuple[Side, Side],
    compared_by: tuple[str, Best],
    over: Over,
    scores: tuple[list[float], list[float]],
    test: PairedTest | None,
    posterior: Posterior | None,
) -> ComparisonFacts:
    first_mean, second_mean = mean_of(scores[0]), mean_of(scores[1])
    no_test = first_mean is None or second_mean is None
    metric, best = compared_by
    is_max = best == "max"
    larger = sum(one > other for one, other in zip(*scores, strict=True))
    ties = sum(one == other for one, other in zip(*scores, strict=True))
    above, below = (None, None) if posterior is None else (posterior.first_larger, posterior.second_larger)
    return ComparisonFacts(
        first=sides[0].name,
        second=sides[1].name,
        metric=metric,
        best=best,
        over=over,
        num_pairs=len(scores[0]),
        num_unpaired=0,
        same_data=None,
        first_mean=first_mean,
        second_mean=second_mean,
        differences=[one - other for one, other in zip(*scores, strict=True)],
        difference=None if no_test else (first_mean or 0.0) - (second_mean or 0.0),
        sd=test.sd if test else None,
        interval=interval_facts(test.interval) if test else None,
        t=test.t if test else None,
        p=test.p if test else None,
        p_holm=None,
        effect_size=test.effect_size if test else None,
        num_first_better=larger if is_max else len(scores[0]) - larger - ties,
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


def claim_of(facts: ComparisonFacts, *, is_ratio_known: bool = True) -> str:
    """Gives the sentence that may be quoted: who is better, whether both are the same in practice, or neither."""
    names = f"{facts.first} and {facts.second}"
    if facts.num_pairs < 2:
        some = "no" if not facts.num_pairs else "only one"
        return f"Nothing can be claimed about {names}: {some} pair of scores on the same {facts.over}."
    if not is_ratio_known:
        return f"Nothing can be claimed about {names}: the log does not say how large the folds are."
    if facts.same_data is False:
        return f"Nothing can be claimed about {names}: they were not judged on the same samples."
    return f"{_verdict(facts)} {_evidence(facts)}{_scope(facts)}"


def _verdict(facts: ComparisonFacts) -> str:
    for probability, better, worse in (
        (facts.probability_first_better, facts.first, facts.second),
        (facts.probability_second_better, facts.second, facts.first),
    ):
        if probability is not None and probability > _SURE:
            return f"{better} is better than {worse} by more than {number(facts.rope)} in {facts.metric}:"
    if (facts.probability_equivalent or 0) > _SURE:
        return f"{facts.first} and {facts.second} are practically equivalent in {facts.metric}:"
    if facts.p is not None and facts.p < 1 - _SURE:
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
        parts.append(f"{test} p {p_text(facts.p) if facts.p < _SMALL else '= ' + p_text(facts.p)}")
    if facts.probability_equivalent is not None:
        parts.append(
            f"probabilities {share_text(facts.probability_first_better)} better, "
            f"{share_text(facts.probability_equivalent)} equivalent within {number(facts.rope)}, "
            f"{share_text(facts.probability_second_better)} worse"
        )
    return f"{', '.join(parts)}, over {facts.num_pairs} {facts.over}."


def _scope(facts: ComparisonFacts) -> str:
    return " Over seeds on one split of the data: this says nothing about other data." if facts.over == "seeds" else ""


def signed(value: float | None, digits: int = 3) -> str:
    """Gives a difference with its sign."""
    return number(value, digits) if value is None or value < 0 else f"+{number(value, digits)}"


def p_text(p: float) -> str:
    """Gives a p-value as papers print it."""
    return f"< {_SMALL}" if p < _SMALL else f"{p:.3f}"


def share_text(share: float | None) -> str:
    """Gives a probability with two places, without calling what is nearly certain certain."""
    if share is None:
        return number(None)
    return "> 0.99" if 0.99 < share < 1 else "< 0.01" if 0 < share < 0.01 else f"{share:.2f}"


def direction_of(best: Best) -> str:
    """Gives the arrow that tables put beside a metric."""
    return "\N{UPWARDS ARROW}" if best == "max" else "\N{DOWNWARDS ARROW}"
