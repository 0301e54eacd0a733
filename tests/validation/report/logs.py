"""Logs of runs in every mode, written by the real event log, with scores that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlgym.events import (
    ConfigurationScore,
    DataFingerprint,
    EvaluationResult,
    EventLog,
    ExperimentConfig,
    JobStatus,
    LossScore,
    MetricScore,
    MetricTable,
    Payload,
    Producer,
    RunFinished,
    RunStarted,
    RunState,
    SelectionMade,
)
from mlgym.tracking import RunFolder, create_run_folder, find_run

RUN_ID = "2026-11-23--16-14-30"
SELECT = {"metric": "val/f1", "best": "max", "at": "best"}

Score = Callable[[dict[str, Any], int], float]
"""Gives the score of a trial (its swept values are in `swept`) after an epoch."""


@dataclass
class Planned:
    """An experiment of a run that is written.

    Args:
        trial: as the event has it.
        swept: its swept values.
        error: what it failed with.
        is_open: whether it is left running.
    """

    trial: dict[str, Any]
    swept: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    is_open: bool = False


def grid(swept: Sequence[dict[str, Any]], seeds: int = 1) -> list[Planned]:
    """Gives a grid search, over some seeds."""
    return [
        Planned(_trial(number, "grid", seed_index=seed, seed=100 + seed), values)
        for number, values in enumerate(swept)
        for seed in range(seeds)
    ]


def cross_validation(swept: Sequence[dict[str, Any]], folds: int = 5, seeds: int = 1) -> list[Planned]:
    """Gives every configuration on every fold, over some seeds."""
    return [
        Planned(_trial(number, "fold", fold=fold, seed_index=seed, seed=100 + seed), values)
        for number, values in enumerate(swept)
        for fold in range(folds)
        for seed in range(seeds)
    ]


def nested(swept: Sequence[dict[str, Any]], outer: int = 3, inner: int = 2) -> list[Planned]:
    """Gives a nested cross validation in which the configuration with the number of the outer fold wins."""
    planned = []
    for outer_fold in range(outer):
        planned += [
            Planned(_trial(number, "inner", outer_fold=outer_fold, fold=fold), values)
            for number, values in enumerate(swept)
            for fold in range(inner)
        ]
        winner = outer_fold % len(swept)
        planned.append(Planned(_trial(winner, "outer", outer_fold=outer_fold), swept[winner]))
    return planned


def _trial(configuration: int, role: str, **facts: int) -> dict[str, Any]:
    empty = dict.fromkeys(("outer_fold", "fold", "repeat", "seed_index"))
    return {"configuration": configuration, "role": role, **empty, "seed": 1, **facts}


def write(
    storage: Path,
    planned: Sequence[Planned],
    score: Score,
    *,
    run_id: str = RUN_ID,
    mode: str = "grid_search",
    section: dict[str, Any] | None = None,
    epochs: int = 2,
    sizes: dict[str, int] | None = None,
    data: str = "",
    more: dict[str, float] | None = None,
    num_experiments: int | None = None,
    is_finished: bool = True,
    name: str = "digits",
    num_classes: int = 0,
) -> RunFolder:
    """Writes the log of a run through the real writer.

    Args:
        storage: where the run folder goes.
        planned: its experiments.
        score: the value of `val/f1` after each epoch.
        run_id: the run.
        mode: of validation.
        section: of validation, beside what it selects by.
        epochs: evaluations of each experiment.
        sizes: samples by split; none are told where None.
        data: what the data are like; those of equal ones have equal fingerprints.
        more: further metrics by `split/metric`, added to the score.
        num_experiments: as planned; None for as many as there are.
        is_finished: whether the run says that it ended.
        name: of the config.
        num_classes: of a confusion matrix, with a calibration curve beside it; 0 for none.
    """
    folder = create_run_folder(storage, run_id)
    producer = Producer()
    numbers = {one.trial.get("configuration") for one in planned}
    validation = {"mode": mode, "select": SELECT, "num_configurations": len(numbers)} | (section or {})
    started = RunStarted(
        grid_search_id=run_id, name=name, command=[], versions={}, validation_mode=mode, validation=validation,
        num_experiments=num_experiments if num_experiments is not None else len(planned),
    )  # fmt: skip
    payloads: list[Payload] = [started]
    for number, one in enumerate(planned):
        payloads += _experiment(run_id, number, one, score, epochs, sizes, data, more or {}, num_classes)
        if one.trial.get("role") == "outer":
            payloads.append(_selection(run_id, number, one, planned, score, epochs))
    if is_finished:
        failed = sum(one.error is not None for one in planned)
        payloads.append(
            RunFinished(
                grid_search_id=run_id,
                num_succeeded=len(planned) - failed,
                num_failed=failed,
                num_interrupted=0,
                num_not_started=0,
            )
        )
    with EventLog.open(folder.log_path) as log:
        log.append([producer.encode(payload) for payload in payloads])
    return find_run(storage, run_id)


def state_of(storage: Path, planned: Sequence[Planned], score: Score, **how: Any) -> RunState:
    """Gives the state of a run whose log was written and read again."""
    return write(storage, planned, score, **how).state()


def _experiment(
    run_id: str,
    number: int,
    one: Planned,
    score: Score,
    epochs: int,
    sizes: dict[str, int] | None,
    data: str,
    more: dict[str, float],
    num_classes: int,
) -> Iterator[Payload]:
    who: dict[str, Any] = {"grid_search_id": run_id, "experiment_id": number}
    job: dict[str, Any] = {"job_id": f"{run_id}-{number}", "starting_time": 1000.0 + number, "device": "cpu"}
    config = {"seed": one.trial.get("seed"), "experiment": {"use": "training", "epochs": epochs}}
    yield ExperimentConfig(**who, job_id=job["job_id"], config=config, swept=one.swept, trial=one.trial)
    yield JobStatus(**who, **job, status="RUNNING")
    for split, size in (sizes or {}).items():
        hold = f"{data}{split}{one.trial.get('outer_fold')}{one.trial.get('fold')}"
        yield DataFingerprint(**who, split=split, num_samples=size, sha256=hold, covers="all")
    for epoch in range(1, epochs + 1 if one.error is None else epochs):
        yield _scores(who, epoch, score(one.trial | {"swept": one.swept}, epoch), more, num_classes)
    if not one.is_open:
        yield JobStatus(**who, **job, status="DONE", finishing_time=1010.0 + number, error=one.error)


def _scores(who: dict[str, Any], epoch: int, value: float, more: dict[str, float], num_classes: int) -> Payload:
    further = [(key.partition("/"), value + added) for key, added in more.items()]
    matrix = [[8.0 if i == j else 1.0 for j in range(num_classes)] for i in range(num_classes)]
    curve = [[0.0, 0.0, 0.0], [0.4, 0.5, 6.0], [0.9, 0.75, 24.0]]
    tables = [MetricTable("confusion_matrix", "val", matrix), MetricTable("calibration_curve", "val", curve)]
    return EvaluationResult(
        **who,
        epoch=epoch,
        step=10 * epoch,
        metric_scores=[
            MetricScore("f1", "val", value),
            *(MetricScore(name, split, each) for (split, _, name), each in further),
        ],
        loss_scores=[LossScore("loss", "val", 1 - value), LossScore("loss", "train", 0.9 - value)],
        tables=tables if num_classes else [],
    )


def _selection(
    run_id: str, number: int, fit: Planned, planned: Iterable[Planned], score: Score, epochs: int
) -> Payload:
    outer_fold = fit.trial["outer_fold"]
    values: dict[int, list[float]] = {}
    for one in planned:
        if one.trial["role"] == "inner" and one.trial["outer_fold"] == outer_fold:
            values.setdefault(one.trial["configuration"], []).append(score(one.trial | {"swept": one.swept}, epochs))
    means = {key: sum(column) / len(column) for key, column in values.items()}
    ordered = sorted(means, key=lambda key: -means[key])
    return SelectionMade(
        grid_search_id=run_id,
        experiment_id=number,
        outer_fold=outer_fold,
        configuration=fit.trial["configuration"],
        metric="val/f1",
        best="max",
        score=means[fit.trial["configuration"]],
        num_failed=0,
        num_configurations=len(means),
        scores=[ConfigurationScore(key, means[key], 0.01, len(values[key]), 0) for key in ordered],
    )
