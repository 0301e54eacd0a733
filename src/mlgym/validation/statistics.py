"""What may be said about scores over folds: spread, corrected intervals, comparisons of two, effect sizes.

Scores of folds are no independent samples: their training parts overlap, so that their spread says too little about
another draw of the data. Every interval and test here widens the variance as Nadeau and Bengio do, and is called
approximate for that reason: no unbiased estimate of that variance exists.

Sources:
    Nadeau and Bengio 2003, "Inference for the Generalization Error", Machine Learning 52, 239-281: the corrected
        resampled t-test; the variance of J trials is multiplied by 1/J + n_test/n_train instead of 1/J.
    Bouckaert and Frank 2004, "Evaluating the Replicability of Significance Tests for Comparing Learning Algorithms":
        the same for repeated k-fold cross validation, with J = folds x repeats.
    Bengio and Grandvalet 2004, "No Unbiased Estimator of the Variance of K-Fold Cross-Validation", JMLR 5.
    Corani and Benavoli 2015, "A Bayesian approach for comparing cross-validated algorithms on multiple data sets",
        Machine Learning 100: the posterior of the correlated t-test; Benavoli, Corani, Demsar and Zaffalon 2017, "Time
        for a Change", JMLR 18, for the region of practical equivalence.
    scikit-learn's example `plot_grid_search_stats` computes the same; a test runs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mlgym.validation.bounds import UNBOUNDED, Bounds

DEFAULT_CONFIDENCE: Final = 0.95
_EQUAL: Final = 1e-12


def mean_of(values: Sequence[float]) -> float | None:
    """Gives the mean, summed as NumPy and scikit-learn do; None of nothing."""
    import numpy as np

    return float(np.mean(values)) if len(values) else None


def sd_of(values: Sequence[float]) -> float | None:
    """Gives the standard deviation of a sample (n - 1); None of fewer than two values."""
    import numpy as np

    with np.errstate(invalid="ignore"):  # infinite scores have no spread, but are scores
        return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Args:
        low, high: its ends.
        confidence: such as 0.95.
        ratio: test samples per training sample that its variance was corrected with; 0 for independent values.
    """

    low: float
    high: float
    confidence: float
    ratio: float


def corrected_interval(
    values: Sequence[float], ratio: float, confidence: float = DEFAULT_CONFIDENCE, bounds: Bounds = UNBOUNDED
) -> Interval | None:
    """Gives the approximate interval of a mean over folds: mean ± t(J - 1) s sqrt(1/J + n_test/n_train).

    Args:
        values: score of each fold, (folds,), finite.
        ratio: n_test / n_train; the mean over the folds where they differ.
        confidence: in (0, 1).
        bounds: of the values, and so of their mean; the interval ends there. It holds the mean as often as the whole
            one would, since the part that is cut off can hold none.

    Returns:
        None for fewer than two values, which have no spread.

    Source: Nadeau and Bengio 2003.
    """
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    mean, scale = _mean_and_scale(values, ratio)
    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * scale
    return Interval(max(mean - half, bounds[0]), min(mean + half, bounds[1]), confidence, ratio)


@dataclass(frozen=True, slots=True)
class PairedTest:
    """How two lists of scores on the same folds differ; differences are the first minus the second.

    Args:
        num_pairs: folds that both have a score on.
        mean: of the differences.
        sd: of the differences (n - 1).
        t: statistic of the corrected resampled t-test; None where the differences have no spread.
        p: two-sided p-value of it.
        interval: corrected interval of the mean difference.
        effect_size: mean / sd, Cohen's d for pairs (d_z); None where the differences have no spread.
        num_wins: folds on which the first is the larger.
        num_ties: folds on which both are equal.
    """

    num_pairs: int
    mean: float
    sd: float
    t: float | None
    p: float | None
    interval: Interval
    effect_size: float | None
    num_wins: int
    num_ties: int


def corrected_t_test(
    first: Sequence[float], second: Sequence[float], ratio: float, confidence: float = DEFAULT_CONFIDENCE
) -> PairedTest | None:
    """Gives the corrected resampled t-test: t = mean / sqrt((1/J + n_test/n_train) s^2) with J - 1 degrees of freedom.

    Args:
        first: scores of one, (folds,), finite.
        second: scores of the other on the same folds in the same order.
        ratio: n_test / n_train; 0 for the plain paired t-test, where pairs are independent.
        confidence: of the interval, in (0, 1).

    Returns:
        None for fewer than two pairs.

    Sources: Nadeau and Bengio 2003; the effect size: Cohen 1988, "Statistical Power Analysis for the
        Behavioral Sciences", chapter 2.
    """
    differences = [one - other for one, other in zip(first, second, strict=True)]
    interval = corrected_interval(differences, ratio, confidence)
    sd = sd_of(differences)
    if interval is None or sd is None:
        return None
    from scipy.special import stdtr

    mean, scale = _mean_and_scale(differences, ratio)
    t = None if _is_nothing(scale, first) else mean / scale
    return PairedTest(
        num_pairs=len(differences),
        mean=mean,
        sd=sd,
        t=t,
        p=None if t is None else 2 * float(stdtr(len(differences) - 1, -abs(t))),
        interval=interval,
        effect_size=None if t is None else mean / sd,
        num_wins=sum(each > 0 for each in differences),
        num_ties=sum(each == 0 for each in differences),
    )


@dataclass(frozen=True, slots=True)
class Posterior:
    """Probabilities about the true difference of two, which add up to 1.

    Args:
        first_larger: it is above `rope`.
        equivalent: it lies within `rope` of 0: no matter in practice.
        second_larger: it is below `-rope`.
        rope: half the width of the region of practical equivalence.
    """

    first_larger: float
    equivalent: float
    second_larger: float
    rope: float


def correlated_t_posterior(test: PairedTest, rope: float) -> Posterior:
    """Gives the Bayesian correlated t-test: the mean difference is distributed as t(J - 1; mean, corrected variance).

    Args:
        test: the differences.
        rope: half the width of the region of practical equivalence, at least 0, in units of the metric.

    Sources: Corani and Benavoli 2015; Benavoli et al. 2017. (The library baycomp has it as well, but takes
        n_test/n_train for 1/(folds - 1), which holds for k-fold cross validation alone: docs/decisions.)
    """
    if test.t is None:
        first, second = float(test.mean > rope), float(test.mean < -rope)
        return Posterior(first, 1 - first - second, second, rope)
    from scipy.special import stdtr

    scale, degrees = _scale(test), test.num_pairs - 1
    first = float(stdtr(degrees, (test.mean - rope) / scale))
    second = float(stdtr(degrees, (-rope - test.mean) / scale))
    return Posterior(first, max(0.0, 1 - first - second), second, rope)


def holm(p_values: Sequence[float]) -> list[float]:
    """Gives p-values that stay below a level for any of them with at most that probability, in the given order.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _mean_and_scale(values: Sequence[float], ratio: float) -> tuple[float, float]:
    mean, sd = mean_of(values), sd_of(values)
    assert mean is not None
    assert sd is not None
    return mean, sd * math.sqrt(1 / len(values) + ratio)


def _scale(test: PairedTest) -> float:
    return test.sd * math.sqrt(1 / test.num_pairs + test.interval.ratio)


def _is_nothing(scale: float, values: Sequence[float]) -> bool:
    # Differences that ought to be equal differ by what rounding leaves of the scores.
    return scale <= _EQUAL * max(1.0, *map(abs, values))
