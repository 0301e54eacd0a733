"""Callbacks: what users hang into training, and the table of hooks that is looked up once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from mlgym.errors import TrainingError
from mlgym.names import did_you_mean

HOOKS: Final = {
    "on_experiment_start": "before the first evaluation or step; takes (state)",
    "on_epoch_start": "takes (state)",
    "on_step_end": "after each optimizer update; takes (state, output), the step's `StepOutput`; costs time each step",
    "on_evaluation": "after each evaluation; takes (state, scores), numbers by `split/metric`",
    "on_epoch_end": "after the epoch's evaluation and before its checkpoint; takes (state)",
    "on_checkpoint": "when a checkpoint stands on disk, and again where training goes on from it; takes (state, path)",
    "on_experiment_end": "after the last epoch, also when stopped early; takes (state)",
}
"""Every hook, with when it is called and what it takes. A callback has any of them as methods."""


class Hooks:
    """The hooks of all callbacks, each a tuple of bound methods."""

    def __init__(self, callbacks: Sequence[Any]) -> None:
        """Looks up every hook of every callback, in their order.

        Raises:
            TrainingError: a callback has a method `on_...` that is no hook, and would never be called.
        """
        self.callbacks = tuple(callbacks)
        self._methods: dict[str, tuple[Callable[..., None], ...]] = {}
        for callback in self.callbacks:
            _refuse_unknown_hooks(callback)
        for hook in HOOKS:
            methods = (getattr(callback, hook, None) for callback in self.callbacks)
            self._methods[hook] = tuple(method for method in methods if method is not None)

    def of(self, hook: str) -> tuple[Callable[..., None], ...]:
        """Gives the methods hung into one hook; empty where nobody uses it."""
        return self._methods[hook]

    def call(self, hook: str, *arguments: Any) -> None:
        """Calls one hook of every callback in order."""
        for method in self._methods[hook]:
            method(*arguments)


def _refuse_unknown_hooks(callback: Any) -> None:
    for name in dir(type(callback)):
        if name.startswith("on_") and name not in HOOKS and callable(getattr(callback, name)):
            raise TrainingError(
                f"callback `{type(callback).__name__}` has a method `{name}`, which is no hook and would never be "
                f"called{did_you_mean(name, HOOKS)}"
            )
