"""Checkpoint strategies: objects that answer "save now? delete which?" after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol, runtime_checkable

from pydantic import Field

from mlgym.config.registry import register
from mlgym.config.scores import ScoreName
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


class _ByMetric:
    """Knows the best epoch by a metric; of equal ones the first."""

    def __init__(self, metric: ScoreName, best: Best) -> None:
        """Sets the rule.

        Args:
            metric: which score decides, such as `val/f1_macro`.
            best: `min` where smaller is better, `max` where larger is.
        """
        self.metric = metric
        self.best: Best = best

    def leader(self, kept: Sequence[Snapshot]) -> Snapshot | None:
        """Gives the best of those that are kept; None where none has the score."""
        leader = None
        for one in kept:
            if self.metric in one.scores and self._improves(one, leader):
                leader = one
        return leader

    def is_best(self, candidate: Snapshot, kept: Sequence[Snapshot]) -> bool:
        """Tells whether an epoch is better than all that are kept."""
        return self.metric in candidate.scores and self._improves(candidate, self.leader(kept))

    def _improves(self, one: Snapshot, leader: Snapshot | None) -> bool:
        return improves(one.scores[self.metric], leader.scores[self.metric] if leader else None, self.best)


@register("keep_best")
class KeepBest(_ByMetric):
    """Keeps the one best epoch by a metric; of equal ones the first."""

    def decide(self, candidate: Snapshot, kept: Sequence[Snapshot]) -> Decision:
        """See `CheckpointStrategy.decide`."""
        if not self.is_best(candidate, kept):
            return Decision()
        return Decision(("best",), tuple(kept))


@register("keep_best_and_last")
class KeepBestAndLast(_ByMetric):
    """Keeps the best epoch by a metric, and the last one."""

    def decide(self, candidate: Snapshot, kept: Sequence[Snapshot]) -> Decision:
        """See `CheckpointStrategy.decide`."""
        if self.is_best(candidate, kept):
            return Decision(("best", "last"), tuple(kept))
        leader = self.leader(kept)
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
