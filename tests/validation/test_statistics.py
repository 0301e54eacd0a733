"""Intervals and tests over folds, against scikit-learn's own example and against hand-made cases."""

from __future__ import annotations

import math
from statistics import mean, stdev

import pytest

from mlgym.validation.statistics import (
    corrected_interval,
    corrected_t_test,
    correlated_t_posterior,
    holm,
    mean_of,
    sd_of,
)


@pytest.fixture(scope="module")
def example() -> tuple[list[float], list[float], float]:
    """The scores of scikit-learn's example `plot_grid_search_stats`: its best and its second model, and the ratio."""
    from sklearn.datasets import make_moons
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    inputs, labels = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), inputs, labels, scoring="roc_auc", cv=folds).tolist()
        for kernel in ("rbf", "linear")
    )
    train, test = next(iter(folds.split(inputs, labels)))
    return rbf, linear, len(test) / len(train)


def test_the_corrected_t_test_is_that_of_scikit_learns_example(example: tuple[list[float], list[float], float]) -> None:
    """The example prints t 0.750 and p 0.227 (one-sided), and 2.611 and 0.005 without the correction."""
    rbf, linear, ratio = example
    corrected, plain = corrected_t_test(rbf, linear, ratio), corrected_t_test(rbf, linear, 0)
    assert corrected is not None
    assert plain is not None
    assert (round(corrected.t or 0, 3), round((corrected.p or 0) / 2, 3)) == (0.750, 0.227)
    assert (round(plain.t or 0, 3), round((plain.p or 0) / 2, 3)) == (2.611, 0.005)


def test_the_posterior_is_that_of_scikit_learns_example(example: tuple[list[float], list[float], float]) -> None:
    """The example prints 0.773 for the better one, 0.432 for practical equivalence, and a 95 % credible interval."""
    rbf, linear, ratio = example
    test = corrected_t_test(rbf, linear, ratio)
    assert test is not None
    assert round(correlated_t_posterior(test, 0.0).first_larger, 3) == 0.773
    posterior = correlated_t_posterior(test, 0.01)
    assert round(posterior.equivalent, 3) == 0.432
    assert posterior.first_larger + posterior.equivalent + posterior.second_larger == pytest.approx(1, abs=1e-15)
    # With the example's prior the credible interval is the confidence interval.
    from scipy.stats import t

    differences = [one - other for one, other in zip(rbf, linear, strict=True)]
    scale = stdev(differences) * math.sqrt(1 / 100 + ratio)
    expected = t(99, loc=mean(differences), scale=scale).interval(0.95)
    assert (test.interval.low, test.interval.high) == pytest.approx(expected, rel=1e-9)


def test_an_interval_over_five_folds_is_half_as_wide_again_as_without_the_correction() -> None:
    """For k-fold cross validation the factor is sqrt(1/5 + 1/4) / sqrt(1/5) = 1.5."""
    values = [0.91, 0.93, 0.9, 0.95, 0.92]
    corrected, plain = corrected_interval(values, 1 / 4), corrected_interval(values, 0)
    assert corrected is not None
    assert plain is not None
    assert plain.high - mean(values) == pytest.approx(2.7764451 * stdev(values) / math.sqrt(5))
    assert corrected.high - mean(values) == pytest.approx(1.5 * (plain.high - mean(values)))
    assert corrected_interval([0.9], 0.25) is None
    assert sd_of([0.9]) is mean_of([]) is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0.5, 0.6], [0.5, 0.6], (0.0, 1.0, 0.0)),
        ([0.6, 0.7, 0.8], [0.5, 0.6, 0.7], (1.0, 0.0, 0.0)),
        ([0.5, 0.6, 0.7], [0.6, 0.7, 0.8], (0.0, 0.0, 1.0)),
    ],
)
def test_differences_without_spread_have_no_statistic(
    first: list[float], second: list[float], expected: tuple[float, float, float]
) -> None:
    """A difference that is the same on every fold, but for rounding, gives no t of 1e16."""
    test = corrected_t_test(first, second, 0.25)
    assert test is not None
    assert (test.t, test.p, test.effect_size) == (None, None, None)
    posterior = correlated_t_posterior(test, 0.01)
    assert (posterior.first_larger, posterior.equivalent, posterior.second_larger) == expected


def test_equal_means_with_spread_favour_nobody() -> None:
    """Zero is a statistic like any other."""
    test = corrected_t_test([0.5, 0.7], [0.7, 0.5], 1.0)
    assert test is not None
    assert (test.t, test.p, test.num_wins, test.num_ties) == (0.0, 1.0, 1, 0)
    posterior = correlated_t_posterior(test, 0.05)
    assert posterior.first_larger == posterior.second_larger


def test_holm_is_that_of_the_usual_example() -> None:
    """The smallest is multiplied by the number of tests, the next by one less; none falls below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
