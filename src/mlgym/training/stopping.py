"""Early stopping: objects that look at the scores after an evaluation and may say why training should end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import Field

from mlgym.config.registry import register
from mlgym.config.scores import ScoreName
from mlgym.names import Best


@runtime_checkable
class EarlyStopping(Protocol):
    """Decides after each evaluation whether training ends; a `metric` attribute is checked before training."""

    def update(self, epoch: int, scores: Mapping[str, float]) -> str | None:
        """Takes the scores of an evaluation.

        Args:
            epoch: finished epochs.
            scores: numbers by `split/metric`, NaN and infinities included.

        Returns:
            The reason to stop, or None to go on.
        """


def improves(value: float, reference: float | None, best: Best, margin: float = 0.0) -> bool:
    """Says whether `value` beats `reference` by more than `margin`; only a finite one does, and any beats None."""
    if not math.isfinite(value):
        return False
    if reference is None or not math.isfinite(reference):
        return True
    return value - reference > margin if best == "max" else reference - value > margin


@register("patience")
class Patience:
    """Stops when a metric has not improved for a number of epochs."""

    def __init__(
        self,
        metric: ScoreName,
        best: Best,
        *,
        epochs: Annotated[int, Field(ge=1)],
        min_absolute_improvement: Annotated[float, Field(ge=0)] = 0.0,
        min_relative_improvement: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        """Sets the rule.

        Args:
            metric: which score to watch, such as `val/f1_macro`.
            best: `min` where smaller is better, `max` where larger is.
            epochs: how many epochs without improvement are too many.
            min_absolute_improvement: an improvement must be larger than this.
            min_relative_improvement: and larger than this share of the best score before it.
        """
        self.metric = metric
        self.best: Best = best
        self.epochs = epochs
        self.min_absolute_improvement = min_absolute_improvement
        self.min_relative_improvement = min_relative_improvement
        self._best_score: float | None = None
        self._best_epoch = 0

    def update(self, epoch: int, scores: Mapping[str, float]) -> str | None:
        """Takes the scores of an evaluation; see `EarlyStopping.update`."""
        value = scores[self.metric]
        reference = self._best_score
        share_of = 0.0 if reference is None else abs(reference)
        margin = max(self.min_absolute_improvement, self.min_relative_improvement * share_of)
        if improves(value, reference, self.best, margin):
            self._best_score, self._best_epoch = value, epoch
        if epoch - self._best_epoch < self.epochs:
            return None
        shown = "never finite" if self._best_score is None else f"best {self._best_score:.6g}"
        return f"`{self.metric}` did not improve for {self.epochs} epochs ({shown} at epoch {self._best_epoch})"

    def state_dict(self) -> dict[str, Any]:
        """Gives the best score so far and its epoch."""
        return {"best_score": self._best_score, "best_epoch": self._best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        self._best_score, self._best_epoch = state["best_score"], state["best_epoch"]


@register("target_reached")
class TargetReached:
    """Stops as soon as a metric reaches a value."""

    def __init__(self, metric: ScoreName, best: Best, *, target: float) -> None:
        """Sets the target.

        Args:
            metric: which score to watch, such as `val/accuracy`.
            best: `min`: stop at or below the target; `max`: at or above.
            target: the value.
        """
        self.metric = metric
        self.best: Best = best
        self.target = target

    def update(self, epoch: int, scores: Mapping[str, float]) -> str | None:
        """Takes the scores of an evaluation; see `EarlyStopping.update`."""
        value = scores[self.metric]
        reached = math.isfinite(value) and (value >= self.target if self.best == "max" else value <= self.target)
        return f"`{self.metric}` reached {value:.6g} (target {self.target:g})" if reached else None


@register("time_limit")
class TimeLimit:
    """Stops when training has taken too long.

    The number of epochs then depends on the speed of the machine, and so do the results.
    """

    def __init__(self, seconds: Annotated[float, Field(gt=0)]) -> None:
        """Sets the limit.

        Args:
            seconds: wall time in s since the experiment was built; looked at after each evaluation.
        """
        self.seconds = seconds
        self._spent_before_s = 0.0
        self._started_s = time.monotonic()

    def update(self, epoch: int, scores: Mapping[str, float]) -> str | None:
        """Takes the scores of an evaluation; see `EarlyStopping.update`."""
        spent_s = self._spent()
        return f"the time limit of {self.seconds:g} s is over ({spent_s:.1f} s)" if spent_s >= self.seconds else None

    def _spent(self) -> float:
        return self._spent_before_s + time.monotonic() - self._started_s

    def state_dict(self) -> dict[str, Any]:
        """Gives the seconds spent so far."""
        return {"spent_s": self._spent()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        self._spent_before_s, self._started_s = state["spent_s"], time.monotonic()


@register("stop_on_nan")
class StopOnNan:
    """Stops when a score is NaN or infinite: from there on training only wastes time."""

    def __init__(self, metric: ScoreName = "train/running_loss") -> None:
        """Sets what to watch.

        Args:
            metric: which score; by default the mean loss of the epoch's training steps.
        """
        self.metric = metric

    def update(self, epoch: int, scores: Mapping[str, float]) -> str | None:
        """Takes the scores of an evaluation; see `EarlyStopping.update`."""
        value = scores.get(self.metric, 0.0)
        return None if math.isfinite(value) else f"`{self.metric}` became {value}"
