"""What an experiment of the usual kind consists of, checked; `session` runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from torch import nn

from mlgym.config.scores import is_measured
from mlgym.errors import TrainingError
from mlgym.names import did_you_mean
from mlgym.training.callbacks import Hooks
from mlgym.training.evaluator import Evaluator
from mlgym.training.reporting import RUNNING_LOSS, TRAIN
from mlgym.training.stopping import EarlyStopping
from mlgym.training.strategies import CheckpointStrategy
from mlgym.training.trainer import Trainer
from mlgym.training.update import Update

NEVER: Final = 2**62
"""A step, or a number of seconds, that does not come."""
RUNNING: Final = f"{TRAIN}/{RUNNING_LOSS}"
"""The score that every experiment has, evaluated or not."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often something is done within an epoch; None for never.

    Args:
        checkpoint_every_s: seconds from one checkpoint to the next.
        checkpoint_every_n_steps: optimizer updates from one checkpoint to the next.
        digest_every_n_steps: optimizer updates from one digest to the next.
    """

    checkpoint_every_s: float | None = None
    checkpoint_every_n_steps: int | None = None
    digest_every_n_steps: int | None = None

    def wants_checkpoint(self, step: int) -> bool:
        """Tells whether one is due after so many updates."""
        return _is_due(step, self.checkpoint_every_n_steps)

    def wants_digest(self, step: int) -> bool:
        """Tells whether one is due after so many updates."""
        return _is_due(step, self.digest_every_n_steps)

    def next_step(self, step: int) -> int:
        """Gives the first step after this one that wants either; `NEVER` for none."""
        rhythms = (self.checkpoint_every_n_steps, self.digest_every_n_steps)
        return min((step + every - step % every for every in rhythms if every), default=NEVER)


@dataclass(kw_only=True)
class Plan:
    """What is trained, how long, and what happens between epochs.

    Args:
        trainer: trains one epoch.
        evaluator: measures between epochs; None for training alone.
        epochs: number of epochs, >= 0.
        steps_per_epoch: optimizer updates of an epoch; None: one pass over the training data.
        early_stopping: rules, of which the first that fires ends training.
        checkpoints: which epochs are kept on disk.
        hooks: those of the callbacks.
        evaluate_before_training: measure the untrained model too, as epoch 0.
        evaluate_every_n_epochs: epochs from one evaluation to the next, >= 1.
        rhythm: what happens within an epoch.

    Raises:
        TrainingError: a metric is watched that nobody evaluates.
    """

    trainer: Trainer
    evaluator: Evaluator | None
    epochs: int
    steps_per_epoch: int | None
    early_stopping: tuple[EarlyStopping, ...]
    checkpoints: CheckpointStrategy
    hooks: Hooks
    evaluate_before_training: bool
    evaluate_every_n_epochs: int
    rhythm: Rhythm

    def __post_init__(self) -> None:
        self._refuse_unknown_metrics()

    @property
    def model(self) -> nn.Module:
        """The model that is trained."""
        return self.trainer.model

    def modules_beside_model(self) -> list[nn.Module]:
        """Gives the modules that losses are, or that losses and steps keep, such as a loss with class weights."""
        evaluator = self.evaluator
        steps = [*(turn.step for turn in self.trainer.turns), evaluator.step if evaluator else None]
        losses = [self.trainer.loss, *(evaluator.losses.values() if evaluator else ())]
        found: list[nn.Module] = []
        for part in [*losses, *steps]:
            # What keeps a module need not be one.
            kept = [part] if isinstance(part, nn.Module) else getattr(part, "__dict__", {}).values()
            found += [module for module in kept if isinstance(module, nn.Module)]
        return found

    def stateful_parts(self, updates: Sequence[Update]) -> dict[str, Any]:
        """Gives by name what may keep a state, beside the model.

        Args:
            updates: those of the trainer's optimizers.
        """
        trainer = self.trainer
        parts: dict[str, Any] = {
            "lr_scheduler": trainer.lr_scheduler,
            "loss": trainer.loss,
            "checkpoint_strategy": self.checkpoints,
        }
        parts |= {f"callbacks.{place}": callback for place, callback in enumerate(self.hooks.callbacks)}
        parts |= {f"optimizers.{place}": optimizer for place, optimizer in enumerate(trainer.optimizers)}
        parts |= {f"scalers.{place}": update.scaler for place, update in enumerate(updates)}
        parts |= {f"steps.{place}": turn.step for place, turn in enumerate(trainer.turns)}
        parts |= {f"early_stopping.{place}": rule for place, rule in enumerate(self.early_stopping)}
        if self.evaluator is not None:
            parts |= {f"evaluation.{name}": loss for name, loss in self.evaluator.losses.items()}
            parts["evaluation.step"] = self.evaluator.step
        return parts

    def refuse_unmeasured(self, scores: Mapping[str, float]) -> None:
        """Checks what is watched against what an evaluation measured.

        Args:
            scores: numbers by `split/metric`.

        Raises:
            TrainingError: a metric is watched that has no number, such as that of a class that does not occur.
        """
        for watcher, metric in self._watched():
            if metric not in scores and metric != RUNNING:
                raise TrainingError(_not_measured(watcher, metric, scores))

    def _refuse_unknown_metrics(self) -> None:
        known = [RUNNING, *(self.evaluator.names if self.evaluator else [])]
        for watcher, metric in self._watched():
            if not is_measured(metric, known):
                raise TrainingError(_not_measured(watcher, metric, known))

    def _watched(self) -> list[tuple[object, str]]:
        watchers: list[Any] = [*self.early_stopping, self.checkpoints]
        watched = [(watcher, getattr(watcher, "metric", None)) for watcher in watchers]
        watched.append((self.trainer.lr_scheduler, self.trainer.lr_scheduler_metric))
        return [(watcher, metric) for watcher, metric in watched if metric is not None]


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step > 0 and step % every == 0


def _not_measured(watcher: object, metric: str, known: Iterable[str]) -> str:
    return f"`{type(watcher).__name__}` watches `{metric}`, which is not evaluated{did_you_mean(metric, known)}"
