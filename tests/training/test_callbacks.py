"""Callbacks and the table of hooks."""

from typing import Any

import pytest

from mlgym.errors import TrainingError
from mlgym.training.callbacks import Hooks


class Recorder:
    """Counts epochs and keeps the count."""

    def __init__(self) -> None:
        self.epochs = 0

    def on_epoch_end(self, state: Any) -> None:
        self.epochs += 1

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epochs = state["epochs"]


def test_only_hooks_in_use_are_called() -> None:
    """A hook that nobody has is an empty tuple, so that the loop can skip it."""
    recorder = Recorder()
    hooks = Hooks([recorder, object()])
    assert hooks.of("on_step_end") == ()
    hooks.call("on_epoch_end", None)
    hooks.call("on_experiment_start", None)
    assert recorder.epochs == 1


def test_a_misspelt_hook_is_an_error() -> None:
    """A method that would never be called is refused with the nearest hook."""

    class Misspelt:
        def on_epochs_end(self, state: Any) -> None: ...

    with pytest.raises(TrainingError, match=r"`on_epochs_end`.*did you mean `on_epoch_end`"):
        Hooks([Misspelt()])
