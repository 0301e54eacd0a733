"""The contract of metrics, and the wrapper that makes a torchmetrics metric keep it.

A metric takes batches and gives one value for all of them. Batches are gathered and counted many at a time, since
counting takes 10 or 20 calls to PyTorch whatever the size of the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import groupby
from typing import Any, ClassVar, Final, Protocol, Self, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from mlgym.components.tensors import PREDICTION, TARGET, Tensors, described, named, pick
from mlgym.config.registry import REGISTRY
from mlgym.errors import TrainingError
from mlgym.names import plain_name

Score: TypeAlias = float | dict[str, float] | list[list[float]]
"""What a metric gives: a number, several by name (`f1/0` for class 0), or a table (rows, columns)."""

_MAX_GATHERED: Final = 1 << 20
"""Gathered predictions are handed on at this many numbers: 4 MB in float32."""


class NamedMetric(ABC):
    """A value for a whole split, fed batch by batch.

    Attributes:
        name: what it is called in results, such as `f1_macro`.
    """

    name: str

    @abstractmethod
    def update(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> None:
        """Takes a batch.

        Args:
            predictions: what the model said, each (batch, ...).
            targets: what it should have said, each (batch, ...).

        Raises:
            TrainingError: no such prediction or target, or the two do not fit this metric.
        """

    @abstractmethod
    def compute(self) -> Score:
        """Gives the value of all batches since the last `reset`; NaN where it is not defined.

        Raises:
            TrainingError: there was no batch.
        """

    @abstractmethod
    def reset(self) -> None:
        """Forgets all batches."""

    def to(self, device: torch.device) -> Self:
        """Gives itself; what a metric gathers is on the device of the batches anyway."""
        return self


class PairMetric(NamedMetric):
    """A metric that reads one prediction and one target by name.

    A subclass counts in `take` and reports in `result`; `check` runs once per shape and dtype.

    Args:
        name: what it is called in results.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
    """

    max_gathered: ClassVar[float] = _MAX_GATHERED
    """How many numbers of predictions are gathered before `take` is called."""

    def __init__(self, name: str, *, prediction: str | None = None, target: str | None = None) -> None:
        self.name = name
        self.prediction = prediction
        self.target = target
        self._checked: set[tuple[object, ...]] = set()
        self._gathered: list[tuple[Tensor, Tensor]] = []
        self._num_gathered = 0
        self._has_batches = False

    def update(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> None:
        """Takes a batch; the tensors may be overwritten afterwards."""
        prediction = pick(named(predictions, PREDICTION), self.prediction, PREDICTION).detach()
        target = pick(named(targets, TARGET), self.target, TARGET).detach()
        seen = (prediction.shape, target.shape, prediction.dtype, target.dtype)
        if seen not in self._checked:
            self.check(prediction, target)
            self._checked.add(seen)
        self._has_batches = True
        self._num_gathered += prediction.numel()
        if self._num_gathered >= self.max_gathered:
            self._gathered.append((prediction, target))
            self._hand_on(last=False)
        else:
            # A model may write its next output, and a loader its next batch, into the same memory.
            self._gathered.append((prediction.clone(), target.clone()))

    def compute(self) -> Score:
        """Gives the value of all batches since the last `reset`."""
        if not self._has_batches:
            raise TrainingError(f"metric `{self.name}` has seen no batch; is the split empty?")
        self._hand_on(last=True)
        return self.result()

    def reset(self) -> None:
        """Forgets all batches."""
        self._gathered = []
        self._num_gathered = 0
        self._has_batches = False
        self.clear()

    def _hand_on(self, *, last: bool) -> None:
        if not self._gathered:
            return
        # Batches of the same form are put together first, so that each step is taken once for all of them.
        forms = groupby(self._gathered, key=lambda pair: (pair[0].shape[1:], pair[1].shape[1:], pair[1].dtype))
        joined = ([torch.cat(side) for side in zip(*pairs, strict=True)] for _, pairs in forms)
        rows = [self.rows(prediction, target) for prediction, target in joined]
        predictions, targets = rows[0] if len(rows) == 1 else [torch.cat(side) for side in zip(*rows, strict=True)]
        if self.take(predictions, targets, last=last):
            self._gathered = []
            self._num_gathered = 0
        else:
            self._gathered = [(predictions, targets)]

    def check(self, prediction: Tensor, target: Tensor) -> None:
        """Refuses what does not fit this metric; called for the first batch of each shape and dtype.

        Raises:
            TrainingError: shapes or types do not fit; the text says what to change.
        """

    @abstractmethod
    def rows(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Gives a batch with one row for each thing that is judged: (rows, ...) and (rows, ...)."""

    @abstractmethod
    def take(self, prediction: Tensor, target: Tensor, *, last: bool) -> bool:
        """Counts rows.

        Args:
            prediction: rows as `rows` gives them.
            target: the same.
            last: whether these are the last ones before `result`.

        Returns:
            Whether they need not come again. If not, they come again with those that follow, and `result` must not
            count them twice.
        """

    @abstractmethod
    def result(self) -> Score:
        """Gives the value of everything that was counted."""

    @abstractmethod
    def clear(self) -> None:
        """Forgets what was counted."""

    def misfit(self, problem: str, prediction: Tensor, target: Tensor, remedy: str) -> TrainingError:
        """Gives the error that says what the metric got, what is wrong with it and what to do."""
        return TrainingError(
            f"metric `{self.name}`: {problem}; the prediction is {described(prediction)} and the target is "
            f"{described(target)}; {remedy}"
        )


@runtime_checkable
class StreamingMetric(Protocol):
    """What torchmetrics' metrics have."""

    def update(self, prediction: Any, target: Any, /) -> None:
        """Takes a batch."""

    def compute(self) -> Any:
        """Gives the value of all batches."""

    def reset(self) -> None:
        """Forgets all batches."""


AnyMetric: TypeAlias = NamedMetric | StreamingMetric
"""What serves as a metric: one of MLgym's or torchmetrics', or anything with the same three methods."""


class PlainMetric(NamedMetric):
    """A metric made from one of torchmetrics, or anything with its `update`, `compute` and `reset`.

    Args:
        metric: takes (prediction, target); computes a number, a vector (classes,), a table, or numbers by name.
        name: what it is called in results.
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
    """

    def __init__(
        self, metric: StreamingMetric, *, name: str, prediction: str | None = None, target: str | None = None
    ) -> None:
        self.metric = metric
        for part in metric.modules() if isinstance(metric, torch.nn.Module) else ():
            if hasattr(part, "sync_on_compute"):
                # Where several processes evaluate together, one of them sees all batches and computes alone.
                setattr(part, "sync_on_compute", False)  # noqa: B010 - no attribute of every module
        self.name = name
        self.prediction = prediction
        self.target = target

    def update(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> None:
        """Takes a batch."""
        prediction = pick(named(predictions, PREDICTION), self.prediction, PREDICTION)
        self.metric.update(prediction, pick(named(targets, TARGET), self.target, TARGET))

    def compute(self) -> Score:
        """Gives the value of all batches, tensors as numbers."""
        value = self.metric.compute()
        if isinstance(value, Mapping):
            return {f"{self.name}/{key}": float(each) for key, each in value.items()}
        return as_score(torch.as_tensor(value), self.name)

    def reset(self) -> None:
        """Forgets all batches."""
        self.metric.reset()

    def to(self, device: torch.device) -> Self:
        """Moves the metric's state and gives itself."""
        if isinstance(self.metric, torch.nn.Module):
            self.metric.to(device)
        return self


def as_score(value: Tensor, name: str) -> Score:
    """Gives a tensor as a number (), as numbers by class (classes,), or as a table (rows, columns)."""
    if value.numel() == 1:
        return float(value)
    if value.ndim == 1:
        return {f"{name}/{index}": float(each) for index, each in enumerate(value.tolist())}
    table: list[list[float]] = value.double().tolist()
    return table


def as_metric(metric: Any, *, name: str | None = None) -> NamedMetric:
    """Gives `metric` itself where it is a `NamedMetric`, else wraps a torchmetrics metric of (prediction, target).

    Args:
        metric: a metric, or anything with `update(prediction, target)`, `compute()` and `reset()`.
        name: what a wrapped metric is called; None for the name that it is registered under, or else the
            snake-case name of its class.

    Raises:
        TrainingError: it has no such methods.
    """
    if isinstance(metric, NamedMetric):
        return metric
    if not isinstance(metric, StreamingMetric):
        raise TrainingError(
            f"a metric needs `update(prediction, target)`, `compute()` and `reset()`, but {type(metric).__name__} "
            "has not all of them"
        )
    return PlainMetric(metric, name=name or REGISTRY.name_of(metric) or plain_name(metric))
