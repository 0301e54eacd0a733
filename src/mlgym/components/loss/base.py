"""The contract of losses, and the wrapper that makes a plain one keep it.

What a single loss computes is in its own module; torch does the arithmetic.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeAlias

from torch import Tensor, nn

from mlgym.components.tensors import PREDICTION, TARGET, Tensors, described, named, pick
from mlgym.config.registry import REGISTRY
from mlgym.errors import TrainingError
from mlgym.names import plain_name

AnyLoss: TypeAlias = nn.Module | Callable[..., Any]
"""What serves as a loss: one of MLgym's, or a module or function from (prediction, target) to a scalar ()."""


class Term(NamedTuple):
    """A mean over one batch.

    Args:
        value: the mean, ().
        weight: what it weighs in the mean over several batches, (), >= 0; None for the number of samples.
    """

    value: Tensor
    weight: Tensor | None = None


class Loss(nn.Module, ABC):
    """A named scalar that says how far predictions are from targets.

    Args:
        name: what the loss is called in results; None for the name of its kind.
    """

    kind: ClassVar[str] = "loss"
    """How the loss is called where no name is given: the name it is registered under."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__()
        self.name: str = name or self.kind

    @abstractmethod
    def forward(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> Tensor:
        """Gives the loss of one batch.

        Args:
            predictions: what the model said, each (batch, ...).
            targets: what it should have said, each (batch, ...).

        Returns:
            Scalar (), the mean over the batch.

        Raises:
            TrainingError: no such prediction or target, or the two do not fit this loss.
        """

    def terms(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> list[Term]:
        """Gives the loss of one batch as means that add up to it, so that several batches have an exact mean.

        A mean that is weighted by more than the number of samples (by class, for one) says so here.
        """
        return [Term(self(predictions, targets))]


class PairLoss(Loss):
    """A loss that reads one prediction and one target by name.

    A subclass computes in `compare` and refuses in `check` what does not fit; `check` runs once per shape and dtype,
    so that it may read values from the device.

    Args:
        prediction: which prediction to read; None for the only one there is.
        target: which target to read; None for the only one there is.
        name: what the loss is called in results; None for the name of its kind.
    """

    def __init__(self, *, prediction: str | None = None, target: str | None = None, name: str | None = None) -> None:
        super().__init__(name=name)
        self.prediction = prediction
        self.target = target
        self._checked: set[tuple[object, ...]] = set()

    def forward(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> Tensor:
        """Gives the loss of one batch, a scalar ()."""
        prediction, target = self.pair(predictions, targets)
        seen = (prediction.shape, target.shape, prediction.dtype, target.dtype)
        if seen not in self._checked:
            self.check(prediction, target)
            self._checked.add(seen)
        return self.compare(prediction, target)

    def pair(self, predictions: Tensor | Tensors, targets: Tensor | Tensors) -> tuple[Tensor, Tensor]:
        """Gives the prediction and the target that are read, each (batch, ...).

        Raises:
            TrainingError: no such prediction or target.
        """
        prediction = pick(named(predictions, PREDICTION), self.prediction, PREDICTION)
        return prediction, pick(named(targets, TARGET), self.target, TARGET)

    @abstractmethod
    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Gives the loss (), the mean over the batch, of tensors that passed `check`."""

    def check(self, prediction: Tensor, target: Tensor) -> None:
        """Refuses what does not fit this loss; called for the first batch of each shape and dtype.

        Raises:
            TrainingError: shapes, types or values do not fit; the text says what to change.
        """

    def misfit(self, problem: str, prediction: Tensor, target: Tensor, remedy: str) -> TrainingError:
        """Gives the error that says what the loss got, what is wrong with it and what to do."""
        return TrainingError(
            f"loss `{self.name}`: {problem}; the prediction is {described(prediction)} and the target is "
            f"{described(target)}; {remedy}"
        )

    def extra_repr(self) -> str:
        """Gives what `print` shows: the names that are read."""
        return f"name={self.name!r}, prediction={self.prediction!r}, target={self.target!r}"


class PlainLoss(PairLoss):
    """A loss made from any module or function of one prediction and one target.

    Args:
        function: from (prediction, target) to a scalar (). Its own parameters, if it has any, are trained only by an
            optimizer that is given them.
    """

    def __init__(
        self,
        function: Callable[[Tensor, Tensor], Any],
        *,
        name: str,
        prediction: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__(prediction=prediction, target=target, name=name)
        self.function = function

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Gives what the wrapped function gives.

        Raises:
            TrainingError: that is no scalar tensor.
        """
        value = self.function(prediction, target)
        if not isinstance(value, Tensor) or value.ndim:
            what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise TrainingError(f"loss `{self.name}` must give a scalar tensor (), but gave {what}; take its mean")
        return value


def as_loss(loss: AnyLoss, *, name: str | None = None) -> Loss:
    """Gives `loss` itself where it is a `Loss`, else wraps a module or function of (prediction, target).

    Args:
        loss: a loss, or what computes one: any `nn.Module` or function from (prediction, target) to a scalar ().
        name: what a wrapped loss is called; None for the name that it is registered under, or else
            the snake-case name of its class or function.

    Raises:
        TrainingError: it cannot be called.
    """
    if isinstance(loss, Loss):
        return loss
    if not callable(loss):
        raise TrainingError(f"a loss must be a module or a function, but this is {type(loss).__name__}")
    return PlainLoss(loss, name=name or REGISTRY.name_of(loss) or plain_name(loss))
