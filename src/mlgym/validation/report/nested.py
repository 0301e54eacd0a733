"""Nested cross validation: the winner of each outer fold, and how it did on data that nothing had seen."""

from __future__ import annotations

from collections.abc import Sequence

from mlgym.events import ExperimentState, RunState, SelectionRecord
from mlgym.names import Best
from mlgym.validation.bounds import bounds_of
from mlgym.validation.report.configurations import interval_facts
from mlgym.validation.report.facts import InnerFacts, NestedFacts, OuterFoldFacts
from mlgym.validation.report.scoring import Scoring
from mlgym.validation.report.trials import Trial, other_metrics, test_to_train
from mlgym.validation.statistics import corrected_interval, mean_of, sd_of

NESTED: str = "nested_cross_validation"


def nested_of(state: RunState, trials: Sequence[Trial], scoring: Scoring, confidence: float) -> NestedFacts:
    """Gives the outer folds and what follows from them.

    Args:
        state: the run.
        trials: all its experiments.
        scoring: what judges them.
        confidence: of the interval.
    """
    numbers = sorted({one.outer_fold for one in trials if one.outer_fold is not None} | set(state.selections))
    folds = [_outer_fold(state, number, trials, scoring.selection.best) for number in numbers]
    scores = [one.outer_score for one in folds if one.outer_score is not None]
    fits = [trial for trial in trials if trial.role == "outer"]
    ratio = test_to_train(fits)
    # A fold whose fit failed, or has no score that counts, never disappears from a mean.
    is_whole = all(one.status != "failed" for one in folds) and not any(fit.is_lost for fit in fits)
    interval = None
    if ratio is not None and is_whole:
        interval = corrected_interval(scores, ratio, confidence, bounds_of(scoring.outer.metric, scores))
    return NestedFacts(
        metric=scoring.outer.metric,
        outer_folds=folds,
        num_outer_folds=num_outer_folds(state, len(folds)),
        mean=mean_of(scores) if is_whole else None,
        sd=sd_of(scores) if is_whole else None,
        interval=interval_facts(interval),
        num_winners=len({one.configuration for one in folds if one.configuration is not None}),
        optimism=mean_of([one.optimism for one in folds if one.optimism is not None]),
    )


def num_outer_folds(state: RunState, num_seen: int) -> int | None:
    """Gives how many outer folds there will be; None where the log does not say it."""
    planned = state.validation.get("num_outer_folds")
    return planned if type(planned) is int and planned >= num_seen else None


def _outer_fold(state: RunState, number: int, trials: Sequence[Trial], best: Best) -> OuterFoldFacts:
    own = [trial for trial in trials if trial.outer_fold == number]
    fits = [trial for trial in own if trial.role == "outer"]
    inner = [trial for trial in own if trial.role == "inner"]
    made = state.selections.get(number)
    # One that is under way has no outer score yet; one that failed leaves the fold without any.
    scores = [trial.point.value for trial in fits if trial.point is not None and trial.is_settled]
    outer_score = mean_of(scores) if len(scores) == len(fits) >= _num_seeds(state) else None
    inner_score = made.score if made else None
    first = fits[0] if fits else None
    return OuterFoldFacts(
        outer_fold=number,
        repeat=next((trial.repeat for trial in own), None),
        status=_status([trial.experiment for trial in fits], made),
        configuration=made.configuration if made else (first.configuration if first else None),
        swept=_swept(made, fits, inner),
        inner_score=inner_score,
        inner=_inner(made),
        outer_score=outer_score,
        epoch=first.point.epoch if first and first.point else None,
        metrics={} if any(trial.is_lost for trial in fits) else other_metrics(fits),
        optimism=_optimism(inner_score, outer_score, best),
        num_train=first.num_train if first else None,
        num_test=first.num_held_out if first else None,
        num_failed=made.num_failed if made else sum(trial.is_lost for trial in inner),
        experiment_ids=[trial.experiment.experiment_id for trial in fits],
    )


def _num_seeds(state: RunState) -> int:
    seeds = state.validation.get("seeds")
    return max(1, len(seeds)) if isinstance(seeds, list) else 1


def _status(fits: Sequence[ExperimentState], made: SelectionRecord | None) -> str:
    if made is not None and made.configuration is None:
        return "failed"
    kinds = {fit.status for fit in fits}
    order = ("failed", "running", "interrupted", "waiting", "done")
    return next((kind for kind in order if kind in kinds), "waiting")


def _swept(made: SelectionRecord | None, fits: Sequence[Trial], inner: Sequence[Trial]) -> dict[str, object]:
    if fits:
        return fits[0].experiment.swept
    winner = made.configuration if made else None
    return next((trial.experiment.swept for trial in inner if trial.configuration == winner), {})


def _inner(made: SelectionRecord | None) -> list[InnerFacts]:
    scores = made.scores if made else []
    return [
        InnerFacts(
            configuration=one.configuration,
            mean=one.mean,
            sd=one.sd,
            num_scored=one.num_scored,
            num_failed=one.num_failed,
        )
        for one in scores
    ]


def _optimism(inner: float | None, outer: float | None, best: Best) -> float | None:
    if inner is None or outer is None:
        return None
    return inner - outer if best == "max" else outer - inner
