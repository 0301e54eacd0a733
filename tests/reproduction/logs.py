"""Made-up results of experiments as events, and small ways to change them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from mlgym.events import (
    DataFingerprint,
    Digest,
    EvaluationResult,
    ExperimentResumed,
    JobStatus,
    LossScore,
    MetricScore,
    MetricTable,
    Payload,
    TrainingStopped,
)
from mlgym.reproduction.results import ExperimentResults

WHO: dict[str, Any] = {"grid_search_id": "run", "experiment_id": 0}
NAMES = ("layer.weight", "layer.bias", "optimizer.0.exp_avg")
STEPS_PER_EPOCH = 4


def short(text: str) -> str:
    """Gives 8 hexadecimal digits that stand for `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def event(payload: Payload) -> dict[str, Any]:
    """Gives an event as `read_log` does."""
    import msgspec

    return {"event_type": payload.event_type, "creation_ts": 1, "payload": msgspec.to_builtins(payload)}


def digest(
    epoch: int, step: int, state: str = "same", *, tensors: Sequence[str] | None = None, **fields: Any
) -> dict[str, Any]:
    """Gives the digest of a state; states of one name are equal at equal steps.

    Args:
        epoch: finished epochs.
        step: steps so far.
        state: what the state is like.
        tensors: what each tensor is like; those of `NAMES`, all as `state` says, unless told otherwise.
        fields: others of the event, such as `losses` and `order`.
    """
    parts = [f"{each}{step}" for each in (tensors or [state] * len(NAMES))]
    return event(
        Digest(
            **WHO,
            epoch=epoch,
            step=step,
            parameters=short("".join(parts[:2])),
            optimizer=short(parts[-1]),
            tensors="".join(map(short, parts)),
            **{"names": list(NAMES) if step <= STEPS_PER_EPOCH else [], **fields},
        )
    )


def losses(first: int, last: int, differs_from: int | None = None) -> str:
    """Gives the trace of the losses of steps `first` to `last`, in which those from `differs_from` on are others."""
    other = last + 1 if differs_from is None else differs_from
    return "".join(short(f"{'other' if step >= other else 'loss'}{step}") for step in range(first, last + 1))


def scores(epoch: int, value: float, *, metric: str = "f1", rows: list[list[float]] | None = None) -> dict[str, Any]:
    """Gives an evaluation with one metric on `val`, the loss of `train`, and a table where rows are given."""
    return event(
        EvaluationResult(
            **WHO,
            epoch=epoch,
            step=epoch * STEPS_PER_EPOCH,
            metric_scores=[MetricScore(metric, "val", value)],
            loss_scores=[LossScore("loss", "train", 1.0 / (1 + epoch))],
            tables=[] if rows is None else [MetricTable("confusion_matrix", "val", rows)],
        )
    )


def epochs(count: int, *, differs_from: int | None = None, factor: float = 1.0, first: int = 1) -> list[dict[str, Any]]:
    """Gives the results of a few epochs.

    Args:
        count: the last epoch.
        differs_from: the first epoch whose state is another; None for none.
        factor: the metric of such an epoch is that of the others times this.
        first: the first epoch.
    """
    events = []
    for epoch in range(first, count + 1):
        is_other = differs_from is not None and epoch >= differs_from
        events.append(scores(epoch, 0.5 + epoch / 100 * (factor if is_other else 1)))
        events.append(digest(epoch, epoch * STEPS_PER_EPOCH, "other" if is_other else "same"))
    return events


def fingerprint(split: str, content: str, *, covers: Any = "all", num_samples: int = 100) -> dict[str, Any]:
    """Gives the fingerprint of a split with some content."""
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    return event(DataFingerprint(**WHO, split=split, num_samples=num_samples, sha256=sha256, covers=covers))


def resumed(epoch: int, *, replaces_later: bool) -> dict[str, Any]:
    """Gives the event of going on after an epoch."""
    return event(
        ExperimentResumed(
            **WHO,
            job_id="run-1",
            epoch=epoch,
            step=epoch * STEPS_PER_EPOCH,
            path=None,
            lineage=int(replaces_later),
            replaces_later=replaces_later,
        )
    )


def status(kind: Any, **fields: Any) -> dict[str, Any]:
    """Gives a state of the job."""
    return event(JobStatus(**WHO, job_id="run-0", status=kind, **fields))


def stopped(epoch: int) -> dict[str, Any]:
    """Gives the event of stopping early."""
    return event(TrainingStopped(**WHO, epoch=epoch, step=epoch * STEPS_PER_EPOCH, reason="no better"))


def results(events: Iterable[Any]) -> ExperimentResults:
    """Gives the results that the events tell of."""
    found = ExperimentResults()
    for each in events:
        found.take(each)
    return found
