"""Checkpoint strategies: objects that answer "save now? delete which?" after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol, runtime_checkable

from pydantic import Field

from mlgym.config.registry import register
from mlgym.names import Best
from mlgym.training.stopping import improves


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of training that is, or could become, a checkpoint.

    Args:
        epoch: finished epochs.
        step: optimizer updates.
        scores: the latest evaluation, numbers by `split/metric`.
    """

    epoch: int
    step: int
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a strategy wants.

    Args:
        reasons: why the candidate is to be saved, such as `best` and `last`; empty: do not save it.
        delete: which of the kept ones are to go, once the candidate stands.
    """

    reasons: tuple[str, ...] = ()
    delete: tuple[Snapshot, ...] = ()


@runtime_checkable
class CheckpointStrategy(Protocol):
    """Decides which moments of training are kept; a `metric` attribute is checked before training."""

    def decide(self, candidate: Snapshot, kept: Sequence[Snapshot]) -> Decision:
        """Answers for the epoch that just ended.

        Args:
            candidate: training as it stands now.
            kept: the checkpoints that stand, oldest first.
        """


@register("keep_all")
class KeepAll:
    """Saves every epoch and deletes nothing."""

    def decide(self, candidate: Snapshot, kept: Sequence[Snapshot]) -> Decision:
        """See `CheckpointStrategy.decide`."""
        return Decision(("all",))


@register("keep_last")
class KeepLast:
    """Keeps the last few epochs."""

    def __init__(self, count: Annotated[int, Field(ge=1)] = 1) -> None:
        """Sets how many.

        Args:
            count: number of checkpoints to keep, >= 1.
        """
        self.count = count

    def decide(self, candidate: Snapshot, kept: Sequence[Snapshot]) -> Decision:
        """See `CheckpointStrategy.decide`."""
        surplus = max(0, len(kept) + 1 - self.count)
        return Decision(("last",), tuple(kept[:surplus]))


@register("keep_best")
class KeepBest:
    """Keeps the one best epoch by a metric; of equal ones the first."""

    def __init__(self, metric: str, best: Best) -> None:
        """Sets the rule.

        Args:
            metric: which score decides, such as `val/f1_macro`.
            best: `min` where smaller is better, `max` where larger is.
        """
        self.metric = metric
        self.best: Best = best

    def decide(self, candidate: Snapshot, kept: Sequence[Snapshot]) -> Decision:
        """See `CheckpointStrategy.decide`."""
        if not _is_best(candidate, kept, self.metric, self.best):
            return Decision()
        return Decision(("best",), tuple(kept))


@register("keep_best_and_last")
class KeepBestAndLast:
    """Keeps the best epoch by a metric, and the last one."""

    def __init__(self, metric: str, best: Best) -> None:
        """Sets the rule.

        Args:
            metric: which score decides, such as `val/f1_macro`.
            best: `min` where smaller is better, `max` where larger is.
        """
        self.metric = metric
        self.best: Best = best

    def decide(self, candidate: Snapshot, kept: Sequence[Snapshot]) -> Decision:
        """See `CheckpointStrategy.decide`."""
        if _is_best(candidate, kept, self.metric, self.best):
            return Decision(("best", "last"), tuple(kept))
        leader = _leader(kept, self.metric, self.best)
        return Decision(("last",), tuple(one for one in kept if one is not leader))


@register("every_n_epochs")
class EveryNEpochs:
    """Saves every n-th epoch and deletes nothing, or all but the last few of them."""

    def __init__(self, n: Annotated[int, Field(ge=1)], *, keep: Annotated[int, Field(ge=1)] | None = None) -> None:
        """Sets the rhythm.

        Args:
            n: epochs from one checkpoint to the next, >= 1.
            keep: number of checkpoints to keep; None for all.
        """
        self.n = n
        self.keep = keep

    def decide(self, candidate: Snapshot, kept: Sequence[Snapshot]) -> Decision:
        """See `CheckpointStrategy.decide`."""
        if candidate.epoch % self.n:
            return Decision()
        surplus = 0 if self.keep is None else max(0, len(kept) + 1 - self.keep)
        return Decision(("periodic",), tuple(kept[:surplus]))


def _leader(kept: Sequence[Snapshot], metric: str, best: Best) -> Snapshot | None:
    leader = None
    for one in kept:
        if metric in one.scores and improves(one.scores[metric], leader.scores[metric] if leader else None, best):
            leader = one
    return leader


def _is_best(candidate: Snapshot, kept: Sequence[Snapshot], metric: str, best: Best) -> bool:
    if metric not in candidate.scores:
        return False
    leader = _leader(kept, metric, best)
    return improves(candidate.scores[metric], leader.scores[metric] if leader else None, best)
