"""The sentences of a report: what may be claimed, on which data, what to beware of, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from mlgym.events import RunState
from mlgym.texts import first_line, key_text, number, value_text
from mlgym.validation.ranking import Selection
from mlgym.validation.report.comparisons import share_text, signed
from mlgym.validation.report.facts import ConfigurationFacts, DataUseFacts, ImportancesFacts, IntervalFacts, NestedFacts
from mlgym.validation.report.scoring import Score, Scoring
from mlgym.validation.report.trials import TRAIN, Trial, has_folds

_LEVEL: Final = 0.05
_MIN_FIT: Final = 0.3
_MAX_ERRORS: Final = 5


def is_test_split(split: str) -> bool:
    """Says whether a split is, by its name, one that no selection may see."""
    return split == "test" or split.startswith("test_") or split.endswith("_test")


def with_spread(mean: float | None, sd: float | None) -> str:
    """Gives `0.971 ± 0.012`: as many places as two digits of the spread take."""
    if mean is None or sd is None or not 0 < sd < math.inf or not math.isfinite(mean):
        return number(mean) if sd is None else f"{number(mean)} \N{PLUS-MINUS SIGN} {number(sd, 2)}"
    places = _places(sd)
    return f"{mean:.{places}f} \N{PLUS-MINUS SIGN} {sd:.{places}f}"


def interval_text(interval: IntervalFacts) -> str:
    """Gives `[0.94, 0.98]`: as many places as two digits of half its width take."""
    half = (interval.high - interval.low) / 2
    if not 0 < half < math.inf:
        return f"[{number(interval.low)}, {number(interval.high)}]"
    places = _places(half)
    return f"[{interval.low:.{places}f}, {interval.high:.{places}f}]"


def _places(size: float) -> int:
    return min(8, max(0, 1 - math.floor(math.log10(size))))


def name_of(one: ConfigurationFacts) -> str:
    """Gives what a configuration is called in a sentence: its swept values."""
    values = ", ".join(f"{key_text(key)} {value_text(value)}" for key, value in one.swept.items())
    return f"configuration {one.configuration}" + (f" ({values})" if values else "")


def claims_of(
    configurations: Sequence[ConfigurationFacts],
    nested: NestedFacts | None,
    scoring: Scoring | None,
    *,
    num_configurations: int,
    has_folds: bool,
) -> list[str]:
    """Gives the sentences that may be quoted, of which each says what it does not say."""
    if scoring is None:
        return []
    if nested is not None:
        return _of_nested(nested, num_configurations)
    best = configurations[0] if configurations and configurations[0].rank == 1 else None
    if best is None or best.mean is None:
        return []
    if has_folds:
        return _of_folds(best, configurations, scoring, num_configurations)
    return _of_grid(best, scoring.selection, num_configurations)


def _of_nested(nested: NestedFacts, num_configurations: int) -> list[str]:
    scored = [one for one in nested.outer_folds if one.outer_score is not None]
    if nested.mean is None or not scored:
        return []
    chosen = f"choosing among {num_configurations} configurations" if num_configurations > 1 else "training"
    interval = (
        f", approximate {nested.interval.confidence:.0%} interval {interval_text(nested.interval)}"
        if nested.interval
        else ""
    )
    claim = (
        f"On data that decided nothing, the whole procedure ({chosen} by inner cross validation, then training anew) "
        f"scores {nested.metric} {with_spread(nested.mean, nested.sd)} (mean and sd over {len(scored)} outer "
        f"folds{interval}). This is about the procedure, not about any one configuration."
    )
    claims = [claim]
    if nested.num_winners > 1:
        claims.append(
            f"{nested.num_winners} different configurations won the {len(nested.outer_folds)} outer folds: the choice "
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


def _of_folds(
    best: ConfigurationFacts, configurations: Sequence[ConfigurationFacts], scoring: Scoring, num: int
) -> list[str]:
    score = f"{scoring.score.metric} {with_spread(best.mean, best.sd)}"
    if num == 1:
        level = best.interval
        interval = f", approximate {level.confidence:.0%} interval {interval_text(level)}" if level else ""
        by = scoring.score.chosen_by
        flatters = by.at == "best" and by.metric == scoring.score.metric
        epoch = " Each fold is scored at its own best epoch, which flatters a little." if flatters else ""
        return [f"Cross validation scores {score} (mean and sd over folds{interval}).{epoch}"]
    own = scoring.score.metric == scoring.selection.metric
    chosen = "on the folds that it was scored on" if own else f"by {scoring.selection.metric}, on rows of other folds"
    claim = (
        f"The best of {num} configurations is {name_of(best)}: {score}. It was chosen {chosen}, so that this is too "
        "good an estimate for new data; nested cross validation gives an honest one."
    )
    claims = [claim]
    tested = [one for one in configurations if one.p_to_best is not None]
    alike = [one for one in tested if (one.p_to_best or 0) >= _LEVEL]
    if tested:
        how = f"corrected resampled t-test at {_LEVEL}, after Holm"
        some = f"{len(alike)} of {_count(len(tested), 'other')} cannot be told from it"
        worse = "All others tested are worse" if len(tested) > 1 else "The other one is worse"
        claims.append(f"{some if alike else worse} ({how}).")
    return claims


def _of_grid(best: ConfigurationFacts, selection: Selection, num: int) -> list[str]:
    over_seeds = f" (mean and sd over {best.num_scored} seeds)" if best.num_scored > 1 else ""
    claims = [
        f"The best of {num} configurations is {name_of(best)}: {selection.metric} "
        f"{with_spread(best.mean, best.sd)}{over_seeds}."
        if num > 1
        else f"{name_of(best).capitalize()} scores {selection.metric} {with_spread(best.mean, best.sd)}{over_seeds}."
    ]
    name = selection.metric.partition("/")[2]
    held_out = [key for key in best.metrics if is_test_split(key.partition("/")[0]) and key.endswith(f"/{name}")]
    if is_test_split(selection.split):
        return claims
    decided = "It was chosen by this score" if num > 1 else "Its epoch was chosen by this score"
    if held_out:
        test = best.metrics[held_out[0]]
        claims.append(
            f"{decided}; on data that decided nothing it has {held_out[0]} {with_spread(test.mean, test.sd)}."
        )
    elif num > 1 or selection.at == "best":
        claims.append(f"{decided}, so that it is too good an estimate for new data.")
    if best.num_scored > 1:
        claims.append("The spread over seeds is that of training on the same data, not that of other data.")
    return claims


def data_of(scoring: Scoring | None, trials: Sequence[Trial], nested: NestedFacts | None) -> list[DataUseFacts]:
    """Gives which data each number was computed on, and what else these data decided."""
    if scoring is None:
        return []
    selection = scoring.selection
    epoch = "the epoch and " if selection.at == "best" else ""
    if nested is not None:
        return _of_outer(scoring, epoch)
    others = _others(scoring, trials)
    if not has_folds(trials):
        data = f"the split {selection.split}, the same for all; it chose {epoch}the order"
        return [DataUseFacts(numbers=selection.metric, data=data), *others]
    score = scoring.score
    numbers = f"{score.metric}: scores, mean, sd, interval"
    held_out = "the held-out part of each fold, which its training did not see"
    if score.metric == selection.metric:
        return [DataUseFacts(numbers=numbers, data=f"{held_out}; it chose {epoch}the order here"), *others]
    ranks = DataUseFacts(
        numbers=selection.metric, data=f"rows cut off the training part of each fold; they chose {epoch}the order here"
    )
    return [DataUseFacts(numbers=numbers, data=f"{held_out}; {_epoch_text(score)}"), ranks, *others]


def _of_outer(scoring: Scoring, epoch: str) -> list[DataUseFacts]:
    return [
        DataUseFacts(
            numbers=f"inner scores ({scoring.selection.metric})",
            data="the validation parts of the inner folds, which lie inside the outer training part; they chose "
            f"{epoch}the winner",
        ),
        DataUseFacts(
            numbers=f"outer scores ({scoring.outer.metric}), their mean and interval",
            data="the outer test folds, which no training and no choice of a configuration saw; "
            f"{_epoch_text(scoring.outer)}",
        ),
    ]


def _epoch_text(score: Score) -> str:
    if score.chosen_by.at == "last":
        return "read after the last epoch"
    if score.chosen_by.metric == score.metric:
        return "they also chose the epoch that is read"
    return f"read at the epoch that {score.chosen_by.metric} chose"


def _others(scoring: Scoring, trials: Iterable[Trial]) -> list[DataUseFacts]:
    chosen = scoring.score.chosen_by.metric
    splits = dict.fromkeys(key.partition("/")[0] for trial in trials for key in trial.experiment.metrics)
    return [
        DataUseFacts(numbers=f"{split}/...", data=f"the split {split}, at the epoch that {chosen} chose{use}")
        for split in splits
        if split not in (scoring.score.split, scoring.selection.split)
        for use in [_use_of(split)]
    ]


def _use_of(split: str) -> str:
    if is_test_split(split):
        return "; it decided nothing"
    return "; the parameters were fitted to it" if split == TRAIN else ""


def warnings_of(
    state: RunState,
    scoring: Scoring | None,
    trials: Sequence[Trial],
    configurations: Sequence[ConfigurationFacts],
    nested: NestedFacts | None,
    importance: ImportancesFacts | None,
) -> list[str]:
    """Gives what makes the numbers worth less than they look."""
    found = []
    if scoring is not None and is_test_split(scoring.selection.split) and nested is None:
        found.append(
            f"{scoring.selection.metric} decides here: whatever is chosen on test data has no honest score left. "
            "Select by a validation split."
        )
    if state.environment.get("deterministic") is False:
        found.append("determinism: fast - the run need not repeat bit for bit.")
    num_lost = sum(trial.is_lost for trial in trials)
    if num_lost:
        hit = sum(bool(one.num_failed) for one in configurations)
        found.append(
            f"{_count(num_lost, 'experiment')} failed or ended without a score; {_count(hit, 'configuration')} "
            "with such a one rank last and have no mean."
        )
    found += _errors(trials)
    if nested is not None and scoring is not None and _flatters(trials, scoring.outer):
        found.append(
            "The outer scores are those of the best epoch on the outer test folds, so that they flatter. Set "
            "validation.select.at: last."
        )
    if importance is not None and importance.fit is not None and importance.fit < _MIN_FIT:
        found.append(
            f"The forest behind the shares of variance hardly predicts scores (R\N{SUPERSCRIPT TWO} = "
            f"{share_text(importance.fit) if importance.fit > 0 else number(importance.fit, 2)}): they say little."
        )
    return found


def _errors(trials: Sequence[Trial]) -> list[str]:
    """Gives the errors that experiments failed with, each once, with who has it."""
    who: dict[str, list[int]] = {}
    for trial in trials:
        if trial.experiment.status == "failed":
            who.setdefault(first_line(trial.experiment.error, 300), []).append(trial.experiment.experiment_id)
    lines = [f"{_experiments(ids)}: {error}" for error, ids in list(who.items())[:_MAX_ERRORS]]
    return [*lines, *([f"and {len(who) - len(lines)} other errors."] if len(who) > len(lines) else [])]


def _experiments(ids: Sequence[int]) -> str:
    listed = ", ".join(map(str, ids[:8])) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
    return f"experiment{'s' if len(ids) > 1 else ''} {listed}"


def _flatters(trials: Sequence[Trial], outer: Score) -> bool:
    """Says whether the epoch was chosen by the data that the outer scores are of."""
    if outer.chosen_by.at == "last" or outer.chosen_by.metric != outer.metric:
        return False
    fits = (trial.experiment.metrics.get(outer.metric) for trial in trials if trial.role == "outer")
    return any(history is not None and len(history) > 1 for history in fits)


def missing_of(
    state: RunState,
    scoring: Scoring | None,
    trials: Sequence[Trial],
    configurations: Sequence[ConfigurationFacts],
    nested: NestedFacts | None,
    num_configurations: int,
) -> list[str]:
    """Gives what the log does not have, or not yet."""
    found = []
    started = [trial for trial in trials if trial.experiment.status in ("waiting", "running", "interrupted")]
    not_started = (state.num_experiments or 0) - len(trials)
    num_open = len(started) + max(0, not_started)
    if num_open:
        when = "so far: the run goes on, and" if state.status == "running" else f"the run is {state.status}:"
        found.append(f"{when} {_count(num_open, 'experiment')} of {max(state.num_experiments or 0, len(trials))} "
                     "have not ended.")  # fmt: skip
    if scoring is None and trials:
        found.append("no metric was measured: nothing can be ranked.")
    elif scoring is not None and trials and not any(trial.point for trial in trials):
        found.append(f"{scoring.score.metric} was not measured so far: nothing can be ranked.")
    if num_configurations > len(configurations):
        missing = num_configurations - len(configurations)
        found.append(f"{_count(missing, 'configuration')} of {num_configurations} have no experiment yet.")
    if nested is not None:
        undecided = sum(one.outer_score is None for one in nested.outer_folds)
        undecided += (nested.num_outer_folds or 0) - len(nested.outer_folds) if nested.num_outer_folds else 0
        if undecided:
            found.append(f"{_count(undecided, 'outer fold')} without an outer score: the mean is over the others.")
    judged = [trial for trial in trials if trial.point is not None and has_folds([trial])]
    if judged and any(trial.num_train is None or trial.num_held_out is None for trial in judged):
        found.append("the sizes of some folds: there are no intervals and tests where they are needed.")
    if trials and not any(trial.experiment.trial for trial in trials):
        found.append("what each experiment was for: the log is older, so each counts as a configuration of its own.")
    return found


def _count(num: int, noun: str) -> str:
    return f"{num} {noun}{'' if num == 1 else 's'}"
