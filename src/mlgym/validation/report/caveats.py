"""What to know before believing a number: which data it rests on, what to beware of, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from mlgym.events import RunState
from mlgym.names import TRACKED, did_you_mean
from mlgym.texts import first_line, number
from mlgym.validation.bounds import bounds_of
from mlgym.validation.report.facts import DataUseFacts, ImportancesFacts, SearchFacts
from mlgym.validation.report.findings import Findings
from mlgym.validation.report.scoring import Score, Scoring
from mlgym.validation.report.trials import TRAIN, Trial, has_folds
from mlgym.validation.report.wording import count, is_test_split, share_text

_MIN_FIT: Final = 0.3
_MAX_ERRORS: Final = 5


def data_of(findings: Findings) -> list[DataUseFacts]:
    """Gives which data each number was computed on, and what else these data decided."""
    scoring, trials = findings.scoring, findings.ranked
    if scoring is None:
        return []
    selection = scoring.selection
    epoch = "the epoch and " if selection.at == "best" else ""
    if findings.nested is not None:
        return _of_outer(scoring, epoch)
    others = _others(scoring, trials)
    if not has_folds(trials):
        data = f"the split {selection.split}, the same for all; it chose {epoch}the order"
        return [DataUseFacts(numbers=selection.metric, data=data), *others]
    score = scoring.score
    numbers = f"{score.metric}: scores, mean, sd, interval"
    held_out = "the held-out part of each fold, which its training did not see"
    if score.metric == selection.metric:
        chosen = f"it chose {epoch}the order here"
        if score.chosen_by.metric != score.metric:
            chosen = f"{_epoch_text(score)}; it chose the order here"
        return [DataUseFacts(numbers=numbers, data=f"{held_out}; {chosen}"), *others]
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


def warnings_of(state: RunState, findings: Findings, importance: ImportancesFacts | None) -> list[str]:
    """Gives what makes the numbers worth less than they look."""
    scoring, trials, nested = findings.scoring, findings.trials, findings.nested
    found = []
    if scoring is not None and is_test_split(scoring.selection.split) and nested is None:
        found.append(
            f"{scoring.selection.metric} decides here: whatever is chosen on test data has no honest score left. "
            "Select by a validation split."
        )
    if state.environment.get("deterministic") is False:
        found.append("determinism: fast - the run need not repeat bit for bit.")
    num_lost = sum(trial.is_lost for trial in trials)
    # Where nobody measured the metric, that is what is missing; no experiment is to blame.
    if num_lost and any(trial.point is not None or trial.experiment.status == "failed" for trial in trials):
        hit = sum(bool(one.num_failed) for one in findings.configurations)
        concerned = (
            f" What configurations would have without them is not shown: those concerned ({hit}) rank last and have no "
            "mean."
        )
        found.append(f"{count(num_lost, 'experiment')} failed or ended without a score.{concerned if hit else ''}")
    found += _errors(trials) + _lost_losses(trials) + _not_finite(trials, scoring)
    found += _cut(findings)
    found += _of_search(findings.search, importance)
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


def _cut(findings: Findings) -> list[str]:
    """Gives where intervals end at what the metric can be at most or at least."""
    scoring, nested = findings.scoring, findings.nested
    if scoring is None:
        return []
    metric = (scoring.score if nested is None else scoring.outer).metric
    intervals = [one.interval for one in findings.configurations] if nested is None else [nested.interval]
    bounds = [each for each in bounds_of(metric, ()) if math.isfinite(each)]
    ends = {each for one in intervals if one is not None and one.low < one.high for each in (one.low, one.high)}
    return [
        f"Intervals of {metric} that would reach beyond {number(bound)} are cut there, since no score can be. So near "
        "its bound a metric spreads to one side, of which these intervals know nothing: take them for rough."
        for bound in bounds
        if bound in ends
    ]


def _of_search(search: SearchFacts | None, importance: ImportancesFacts | None) -> list[str]:
    """Gives what the scores of a search do not say, because the search has steered by them."""
    if search is None:
        return []
    found = []
    epochs = sorted({one.epochs for one in search.trials if one.standing in ("left", "stopped", "paused")})
    if epochs:
        after = f"{epochs[0]} to {epochs[-1]} epochs" if len(epochs) > 1 else count(epochs[0], "epoch")
        found.append(
            "Configurations were trained for different numbers of epochs: what the search did not go on with has the "
            f"score after {after}, which says little about what all epochs would give."
        )
    if importance is not None and (epochs or search.strategy not in ("grid", "random")):
        found.append(
            "The shares of variance rest on configurations that the search chose by their scores, at the epochs that "
            "they came to: they are about where the search went."
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


def _lost_losses(trials: Sequence[Trial]) -> list[str]:
    """Gives who has trained on although the loss was none any more: accuracies of such weights look innocent."""
    losses = [
        (one.experiment_id, one.metrics.get("train/running_loss") or one.metrics.get("train/loss"))
        for one in (trial.experiment for trial in trials)
    ]
    lost = [number for number, history in losses if history and not math.isfinite(history[-1].value)]
    broken = "the training loss became NaN or infinite, and scores from there on are those of broken weights"
    remedy = (
        "take a smaller learning rate or `clip_gradient_norm`; early stopping by `stop_on_nan` ends such experiments"
    )
    return [f"{_experiments(lost)}: {broken}: {remedy}."] if lost else []


def _not_finite(trials: Sequence[Trial], scoring: Scoring | None) -> list[str]:
    """Gives the values that count for nothing, for each metric that ranks or scores."""
    if scoring is None:
        return []
    found = []
    for metric in dict.fromkeys((scoring.selection.metric, scoring.score.metric, scoring.outer.metric)):
        num_values, ids = 0, []
        for experiment in (trial.experiment for trial in trials):
            history = experiment.metrics.get(metric)
            num = 0 if history is None else sum(not math.isfinite(value) for value in history.values)
            num_values += num
            ids += [experiment.experiment_id] if num else []
        if ids:
            found.append(
                f"{count(num_values, 'value')} of {metric} {'is' if num_values == 1 else 'are'} NaN or infinite and "
                f"left out ({_experiments(ids)}): no such value is a best one, ranks or enters a mean."
            )
    return found


def _experiments(ids: Sequence[int]) -> str:
    listed = ", ".join(map(str, ids[:8])) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
    return f"experiment{'s' if len(ids) > 1 else ''} {listed}"


def _flatters(trials: Sequence[Trial], outer: Score) -> bool:
    """Says whether the epoch was chosen by the data that the outer scores are of."""
    if outer.chosen_by.at == "last" or outer.chosen_by.metric != outer.metric:
        return False
    fits = (trial.experiment.metrics.get(outer.metric) for trial in trials if trial.role == "outer")
    return any(history is not None and len(history) > 1 for history in fits)


def missing_of(state: RunState, findings: Findings) -> list[str]:
    """Gives what the log does not have, or not yet."""
    return [*_not_ended(state, findings.trials), *_not_scored(findings), *_not_told(state, findings.trials)]


def _not_ended(state: RunState, trials: Sequence[Trial]) -> list[str]:
    started = sum(trial.experiment.status in ("waiting", "running", "interrupted") for trial in trials)
    num_open = started + max(0, (state.num_experiments or 0) - len(trials))
    if not num_open:
        return []
    when = "so far: the run goes on, and" if state.status == "running" else f"the run is {state.status}:"
    total = max(state.num_experiments or 0, len(trials))
    return [f"{when} {count(num_open, 'experiment')} of {total} have not ended."]


def _not_scored(findings: Findings) -> list[str]:
    scoring, trials, found = findings.scoring, findings.trials, []
    if scoring is None and trials:
        found.append("no metric was measured: nothing can be ranked.")
    elif scoring is not None and trials and not any(trial.point for trial in trials):
        keys = dict.fromkeys(key for trial in trials for key in trial.experiment.metrics)
        near = "" if scoring.score.metric in keys else did_you_mean(scoring.score.metric, keys)
        none = "has no finite value" if scoring.score.metric in keys else "was not measured"
        other = f"{near}; --metric ranks by another one" if keys else ""
        found.append(f"{scoring.score.metric} {none} so far{other}: nothing can be ranked.")
    num_missing = findings.num_configurations - len(findings.configurations)
    if num_missing > 0:
        found.append(f"{count(num_missing, 'configuration')} of {findings.num_configurations} have no experiment yet.")
    nested = findings.nested
    if nested is not None:
        undecided = max(0, (nested.num_outer_folds or 0) - len(nested.outer_folds))
        undecided += sum(one.outer_score is None for one in nested.outer_folds)
        if undecided:
            is_lost = any(trial.is_lost for trial in findings.trials if trial.role == "outer")
            none = "there is no mean" if is_lost else "there is no mean yet"
            rest = none if nested.mean is None else "the mean is over the others"
            found.append(f"{count(undecided, 'outer fold')} without an outer score: {rest}.")
    return found


def _not_told(state: RunState, trials: Sequence[Trial]) -> list[str]:
    # A loop that is tracked has one experiment, and never said what it is for.
    if state.validation_mode == TRACKED:
        return []
    found = []
    judged = [trial for trial in trials if trial.point is not None and has_folds([trial])]
    if any(trial.num_train is None or trial.num_held_out is None for trial in judged):
        found.append("the sizes of some folds: there are no intervals and tests where they are needed.")
    if trials and not any(trial.experiment.trial for trial in trials):
        found.append("what each experiment was for: the log is older, so each counts as a configuration of its own.")
    return found
