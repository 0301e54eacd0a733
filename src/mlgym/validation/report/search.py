"""A search: how far each trial came and why, who went on at each rung, and the best score as the search went on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlgym.events import ExperimentState, RunState, SearchStep
from mlgym.names import Best
from mlgym.validation.report.facts import BestSoFarFacts, RungFacts, SearchFacts, SearchTrialFacts
from mlgym.validation.report.trials import Trial, by_configuration


def search_of(state: RunState, trials: Sequence[Trial]) -> SearchFacts | None:
    """Gives how a search went; None where the run is none, or its log does not have it.

    Args:
        state: the run.
        trials: its experiments.
    """
    if not state.search:
        return None
    experiments = {number: [trial.experiment for trial in own] for number, own in by_configuration(trials).items()}
    tried = [step.trial for step in state.search if step.action == "try" and step.trial is not None]
    section, is_over = state.validation, any(step.action == "finish" for step in state.search)
    strategy, max_epochs = section.get("strategy"), section.get("max_epochs")
    num_trials = section.get("num_trials")
    course = _course(state.search, experiments, _direction(state))
    own = [_trial(number, state.search, experiments.get(number, []), is_over=is_over) for number in tried]
    return SearchFacts(
        strategy=str(strategy.get("use")) if isinstance(strategy, dict) else "",
        num_trials=num_trials if type(num_trials) is int else len(tried),
        num_tried=len(tried),
        is_over=is_over,
        max_epochs=max_epochs if type(max_epochs) is int else None,
        epochs_trained=sum(one.epochs * max(1, len(one.experiment_ids)) for one in own),
        rungs=_rungs(state.search, _direction(state)),
        trials=own,
        course=course,
    )


def _direction(state: RunState) -> Best:
    select = state.validation.get("select")
    return "min" if isinstance(select, dict) and select.get("best") == "min" else "max"


def _trial(
    number: int, steps: Sequence[SearchStep], experiments: Sequence[ExperimentState], *, is_over: bool
) -> SearchTrialFacts:
    own = [step for step in steps if step.trial == number]
    told = [step for step in own if step.action == "result"]
    return SearchTrialFacts(
        trial=number,
        experiment_ids=[one.experiment_id for one in experiments],
        epochs=_epochs_behind(experiments),
        rung=next((step.rung for step in reversed(own) if step.action in ("try", "promote")), None),
        standing=_standing(own, experiments, is_over=is_over),
        score=told[-1].score if told else None,
        reason=next((step.reason for step in reversed(own) if step.reason), ""),
    )


def _epochs_behind(experiments: Sequence[ExperimentState]) -> int:
    return max((one.measured.epochs[-1] for one in experiments if len(one.measured.epochs)), default=0)


def _standing(own: Sequence[SearchStep], experiments: Sequence[ExperimentState], *, is_over: bool) -> str:
    last = own[-1]
    if last.action in ("try", "promote"):
        return "running"
    if last.action == "stop":
        return "stopped"
    if last.state == "paused":
        return "left" if is_over else "paused"
    if last.state == "failed":
        return "failed"
    return "stopped early" if any(one.stop_reason is not None for one in experiments) else "complete"


def _rungs(steps: Sequence[SearchStep], best: Best) -> list[RungFacts]:
    """Gives the rungs that any trial came to."""
    rung_of: dict[int | None, int | None] = {}
    came: dict[int, dict[int, float | None]] = {}
    epochs: dict[int, int] = {}
    promoted: dict[int, int] = {}
    for step in steps:
        if step.action in ("try", "promote"):
            if step.action == "promote" and (before := rung_of.get(step.trial)) is not None:
                promoted[before] = promoted.get(before, 0) + 1
            rung_of[step.trial] = step.rung
            if step.rung is not None and step.epochs is not None:
                epochs[step.rung] = step.epochs
        elif step.action == "result" and (rung := rung_of.get(step.trial)) is not None and step.trial is not None:
            came.setdefault(rung, {})[step.trial] = step.score
    return [
        RungFacts(
            rung=rung,
            epochs=epochs[rung],
            num_trials=len(came[rung]),
            num_promoted=promoted.get(rung, 0),
            best=_best([score for score in came[rung].values() if score is not None], best),
        )
        for rung in sorted(came)
        if rung in epochs
    ]


def _best(scores: Sequence[float], best: Best) -> float | None:
    return (min if best == "min" else max)(scores) if scores else None


def _course(
    steps: Sequence[SearchStep], experiments: Mapping[int, Sequence[ExperimentState]], best: Best
) -> list[BestSoFarFacts]:
    found: list[BestSoFarFacts] = []
    behind: dict[int, int] = {}
    top: tuple[float, int] | None = None
    for step in steps:
        if step.action != "result" or step.trial is None:
            continue
        own = experiments.get(step.trial, ())
        come_to = step.epochs if step.state == "paused" and step.epochs is not None else _epochs_behind(own)
        behind[step.trial] = come_to * max(1, len(own))
        if step.score is not None and (top is None or _is_better(step.score, top[0], best)):
            top = step.score, step.trial
        found.append(
            BestSoFarFacts(
                trial=step.trial,
                epochs_trained=sum(behind.values()),
                score=step.score,
                best=None if top is None else top[0],
                best_trial=None if top is None else top[1],
            )
        )
    return found


def _is_better(score: float, than: float, best: Best) -> bool:
    return score < than if best == "min" else score > than
