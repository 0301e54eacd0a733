"""What a report says, as plain data: the shape of `mlgym report --format json`, of which no field changes its meaning.

Fields may be added; `schema_version` grows where one is taken away or means something else.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

SCHEMA_VERSION: Final = 1


class Facts(msgspec.Struct, kw_only=True, frozen=True):
    """Base of what a report consists of. Where there is no value, it is null."""


class SelectionFacts(Facts, frozen=True):
    """What ranks the configurations.

    Args:
        metric: `split/metric` that ranks.
        score: `split/metric` that scores are of: the same, or that of data which decide nothing.
        best: whether its smallest or its largest value is the best.
        at: which epoch of an experiment counts: the one with the best value, or the last.
        is_test: whether it is measured on test data, which no selection may see.
    """

    metric: str
    score: str
    best: Literal["min", "max"]
    at: Literal["best", "last"]
    is_test: bool


class IntervalFacts(Facts, frozen=True):
    """An approximate confidence interval of a mean over folds, with the variance of Nadeau and Bengio (2003).

    Args:
        low: its lower end; the bound of the metric where it would reach beyond, such as 0 of an accuracy.
        high: its upper end; cut in the same way.
        confidence: such as 0.95.
        test_to_train: test samples per training sample; the variance of J scores is multiplied by 1/J plus this.
    """

    low: float
    high: float
    confidence: float
    test_to_train: float


class ScoreFacts(Facts, frozen=True):
    """The score of one experiment.

    Args:
        experiment_id: its number.
        status: where it stands.
        outer_fold: the outer fold that it lies in or held out, from 0; null without.
        fold: the fold that was held out, of a nested cross validation the inner one, from 0; null without.
        repeat: which repetition of the split, from 0; null without repetitions.
        seed: the seed it ran with; null where unknown.
        value: what it is judged by, at `epoch`.
        epoch: finished epochs.
        num_train: samples it was trained on.
        num_held_out: samples it was judged on.
    """

    experiment_id: int
    status: str
    outer_fold: int | None
    fold: int | None
    repeat: int | None
    seed: int | None
    value: float | None
    epoch: int | None
    num_train: int | None
    num_held_out: int | None


class SpreadFacts(Facts, frozen=True):
    """Mean and spread of a metric over experiments.

    Args:
        mean: of the values.
        sd: standard deviation (n - 1); null for fewer than two values.
        num: how many values.
    """

    mean: float
    sd: float | None
    num: int


class ConfigurationFacts(Facts, frozen=True):
    """One point of the grid or of the search, with all its experiments.

    Args:
        configuration: its number, from 0.
        rank: from 1; null where a score is missing.
        swept: its swept values, by short key.
        ranked_by: mean of the metric that ranks; null where an experiment failed.
        mean: of the scores, one for each fold (over its seeds) or seed; null where an experiment failed.
        sd: standard deviation (n - 1) of the same.
        interval: of the mean; null without folds.
        scores: of its experiments, in the order of their ids.
        metrics: other metrics at the epochs of the scores, by `split/metric`.
        num_scored: experiments that are done and have a score; of a single one, whether it has any.
        num_failed: experiments that failed, or ended without a score.
        num_open: experiments that are still to give their score: their scores so far are in the mean, and no rank.
        p_to_best: of the corrected t-test against the configuration that ranks first, after Holm; null where not
            comparable.
        duration_s: of all its experiments together, in s.
        error: of the first experiment that failed.
    """

    configuration: int
    rank: int | None
    swept: dict[str, Any]
    ranked_by: float | None
    mean: float | None
    sd: float | None
    interval: IntervalFacts | None
    scores: list[ScoreFacts]
    metrics: dict[str, SpreadFacts]
    num_scored: int
    num_failed: int
    num_open: int
    p_to_best: float | None
    duration_s: float | None
    error: str | None


class InnerFacts(Facts, frozen=True):
    """What a configuration scored inside an outer fold.

    Args:
        configuration: its number.
        mean: over its inner experiments; null where one of them has no score.
        sd: standard deviation (n - 1) of the same.
        num_scored: inner experiments with a score.
        num_failed: those without.
    """

    configuration: int
    mean: float | None
    sd: float | None
    num_scored: int
    num_failed: int


class OuterFoldFacts(Facts, frozen=True):
    """One outer fold of a nested cross validation.

    Args:
        outer_fold: from 0, over all repeats.
        repeat: from 0; null without repetitions.
        status: `waiting`, `running`, `done`, `failed` or `interrupted`: of the fit of its winner.
        configuration: the winner; null where it is not decided.
        swept: its swept values.
        inner_score: mean of the winner over the inner folds.
        inner: every configuration on the inner folds, the best first; not all where they are many.
        outer_score: the winner on the outer test fold; the mean over seeds where there are several.
        epoch: the epoch of it.
        metrics: other metrics of the winner's fit at that epoch, by `split/metric`.
        optimism: by how much the inner score is better than the outer one.
        num_train: samples of the outer training part.
        num_test: samples of the outer test fold.
        num_failed: inner experiments without a score.
        experiment_ids: the fits of the winner.
    """

    outer_fold: int
    repeat: int | None
    status: str
    configuration: int | None
    swept: dict[str, Any]
    inner_score: float | None
    inner: list[InnerFacts]
    outer_score: float | None
    epoch: int | None
    metrics: dict[str, SpreadFacts]
    optimism: float | None
    num_train: int | None
    num_test: int | None
    num_failed: int
    experiment_ids: list[int]


class NestedFacts(Facts, frozen=True):
    """What a nested cross validation says.

    Args:
        metric: what the outer scores are, `split/metric`.
        outer_folds: one by one.
        num_outer_folds: how many there will be; null where unknown.
        mean: of the outer scores; null while there is none.
        sd: standard deviation (n - 1) of the same.
        interval: of the mean.
        num_winners: how many different configurations won.
        optimism: mean of it over the outer folds.
    """

    metric: str
    outer_folds: list[OuterFoldFacts]
    num_outer_folds: int | None
    mean: float | None
    sd: float | None
    interval: IntervalFacts | None
    num_winners: int
    optimism: float | None


class ImportanceFacts(Facts, frozen=True):
    """How much of the variance between configurations a swept key, or two of them together, explains.

    Args:
        keys: one key, or two for what these do together beyond each alone.
        share: of the variance of the configurations' means, 0 to 1.
    """

    keys: list[str]
    share: float


class ImportancesFacts(Facts, frozen=True):
    """Which swept values mattered.

    Args:
        method: `anova` (exact, on a complete grid) or `forest` (a random forest in between the points).
        shares: the largest first.
        unexplained: what is left: more than two keys together, or what the forest does not see.
        num_configurations: how many it rests on.
        fit: for `forest`: R^2 on configurations that its trees did not see; the shares mean little where it is low.
    """

    method: Literal["anova", "forest"]
    shares: list[ImportanceFacts]
    unexplained: float
    num_configurations: int
    fit: float | None


class ComparisonFacts(Facts, frozen=True):
    """Two sides on the same folds or seeds; differences are the first minus the second.

    Args:
        first: what the first side is.
        second: what the second side is.
        metric: what is compared.
        best: whether its smallest or its largest value is the best.
        over: what a pair is: `folds`, `outer folds` or `seeds`.
        num_pairs: pairs that both sides have a score of.
        num_unpaired: folds or seeds that only one side has a score of.
        same_data: whether the samples of each pair are proven to be the same by their fingerprints; null where the logs
            have none.
        first_mean: of the first side, over the pairs.
        second_mean: of the second side, over the pairs.
        differences: of the scores, one for each pair.
        difference: mean of the differences.
        sd: standard deviation (n - 1) of the differences.
        interval: of the mean difference.
        t: statistic of the corrected resampled t-test; null where the differences have no spread.
        p: two-sided p-value of it.
        p_holm: the same after Holm, where several are compared.
        effect_size: mean / sd of the differences (Cohen's d for pairs).
        num_first_better: pairs on which the first side is better.
        num_ties: pairs on which both are equal.
        rope: half the width of the region of practical equivalence; null where nobody gave one that fits the metric.
        probability_first_better: that the first is better by more than `rope` (Bayesian correlated t-test).
        probability_equivalent: that the two differ by less than `rope`.
        probability_second_better: that the second is better by more than `rope`.
        claim: a sentence that may be quoted.
    """

    first: str
    second: str
    metric: str
    best: Literal["min", "max"]
    over: Literal["folds", "outer folds", "seeds"]
    num_pairs: int
    num_unpaired: int
    same_data: bool | None
    first_mean: float | None
    second_mean: float | None
    differences: list[float]
    difference: float | None
    sd: float | None
    interval: IntervalFacts | None
    t: float | None
    p: float | None
    p_holm: float | None
    effect_size: float | None
    num_first_better: int
    num_ties: int
    rope: float | None
    probability_first_better: float | None
    probability_equivalent: float | None
    probability_second_better: float | None
    claim: str


class RungFacts(Facts, frozen=True):
    """Epochs at which a search compared its trials.

    Args:
        rung: its number, from 0.
        epochs: that a trial has behind it there.
        num_trials: trials that came to it.
        num_promoted: those of them that the search went on with.
        best: the best score there; null without any.
    """

    rung: int
    epochs: int
    num_trials: int
    num_promoted: int
    best: float | None


class SearchTrialFacts(Facts, frozen=True):
    """A configuration that a search tried.

    Args:
        trial: its number, in the order in which they were tried, from 0; the number of the configuration.
        experiment_ids: its experiments, one for each seed.
        epochs: that it has behind it.
        rung: at which it stands, from 0; null where the strategy has none.
        standing: `running`; `paused`: the search may go on with it; `left`: the search ended without going on with it;
            `stopped`: the strategy stopped it; `complete`; `stopped early`: by early stopping; `failed`.
        score: the latest that the strategy was told; null without any.
        reason: what the strategy said when it decided about it last.
    """

    trial: int
    experiment_ids: list[int]
    epochs: int
    rung: int | None
    standing: str
    score: float | None
    reason: str


class BestSoFarFacts(Facts, frozen=True):
    """A result of a search, with the best score that it had then.

    Args:
        trial: whose result it was.
        epochs_trained: in all trials together up to then.
        score: of the result; null without any.
        best: the best one up to then; null before the first.
        best_trial: whose that was.
    """

    trial: int
    epochs_trained: int
    score: float | None
    best: float | None
    best_trial: int | None


class SearchFacts(Facts, frozen=True):
    """How a search went.

    Args:
        strategy: what decided.
        num_trials: how many configurations it was to try at most.
        num_tried: how many it has tried.
        is_over: whether it has come to its end.
        max_epochs: of a training by its config; null where the config does not say one number.
        epochs_trained: in all its experiments together.
        rungs: empty where the strategy trains each trial to its end.
        trials: in the order in which they were tried.
        course: its results in their order.
    """

    strategy: str
    num_trials: int
    num_tried: int
    is_over: bool
    max_epochs: int | None
    epochs_trained: int
    rungs: list[RungFacts]
    trials: list[SearchTrialFacts]
    course: list[BestSoFarFacts]


class DataUseFacts(Facts, frozen=True):
    """Which data a number was computed on.

    Args:
        numbers: which numbers.
        data: which data, and what else these data decided.
    """

    numbers: str
    data: str


class ReportFacts(Facts, frozen=True):
    """The whole report.

    Args:
        schema_version: of this shape.
        run_id: the run.
        name: what its config calls it.
        status: `running`, `finished`, `interrupted` or `crashed`.
        mode: of validation.
        deterministic: whether the run was told to repeat bit for bit; null in old logs.
        selection: what ranks the configurations; null where nothing was measured.
        num_experiments: how many there will be.
        counts: experiments by status.
        num_configurations: how many points the grid or the search has.
        started_at: s since the epoch.
        duration_s: from the start to the end, or to the latest event, in s.
        configurations: the best first. In a nested cross validation over the inner folds of all outer folds.
        nested: of a nested cross validation only.
        search: of a search only.
        importance: which swept values mattered; null where it cannot be told.
        comparisons: those asked for.
        claims: sentences that may be quoted.
        data: which data each number was computed on.
        warnings: what makes numbers here worth less than they look.
        missing: what the log does not have, and what therefore is not here.
        reproductions: experiments that were run again, with the verdict.
    """

    schema_version: int
    run_id: str
    name: str | None
    status: str
    mode: str
    deterministic: bool | None
    selection: SelectionFacts | None
    num_experiments: int
    counts: dict[str, int]
    num_configurations: int
    started_at: float | None
    duration_s: float | None
    configurations: list[ConfigurationFacts]
    nested: NestedFacts | None
    search: SearchFacts | None
    importance: ImportancesFacts | None
    comparisons: list[ComparisonFacts]
    claims: list[str]
    data: list[DataUseFacts]
    warnings: list[str]
    missing: list[str]
    reproductions: list[str]
