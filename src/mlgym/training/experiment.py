"""The usual experiment as a component: what it is made of. How it runs is in `session`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from mlgym.config.registry import register
from mlgym.errors import TrainingError
from mlgym.names import did_you_mean
from mlgym.training.callbacks import Hooks
from mlgym.training.context import ExperimentContext
from mlgym.training.evaluator import Evaluator
from mlgym.training.reporting import RUNNING_LOSS, TRAIN
from mlgym.training.session import Session
from mlgym.training.stopping import EarlyStopping
from mlgym.training.strategies import CheckpointStrategy, KeepLast
from mlgym.training.trainer import Trainer

_RUNNING: Final = f"{TRAIN}/{RUNNING_LOSS}"


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


@register("training")
class Training:
    """Trains for a number of epochs, evaluates, stops early and keeps checkpoints: the usual experiment."""

    def __init__(
        self,
        trainer: Trainer,
        evaluator: Evaluator | None = None,
        *,
        epochs: Annotated[int, Field(ge=0)],
        steps_per_epoch: Annotated[int, Field(ge=1)] | None = None,
        early_stopping: EarlyStopping | Sequence[EarlyStopping] | None = None,
        checkpoints: CheckpointStrategy | None = None,
        callbacks: Sequence[Any] = (),
        evaluate_before_training: bool = False,
        evaluate_every_n_epochs: Annotated[int, Field(ge=1)] = 1,
        checkpoint_every_s: Annotated[float, Field(gt=0)] | None = 300.0,
        checkpoint_every_n_steps: Annotated[int, Field(ge=1)] | None = None,
        digest_every_n_steps: Annotated[int, Field(ge=1)] | None = None,
    ) -> None:
        """Puts the experiment together.

        Args:
            trainer: trains one epoch.
            evaluator: measures between epochs; None for training alone.
            epochs: number of epochs, >= 0.
            steps_per_epoch: optimizer updates of an epoch; None: one pass over the training data.
            early_stopping: one rule or several; the first that fires ends training. None: train to the last epoch.
            checkpoints: which epochs are kept on disk; None: the last one.
            callbacks: objects with any of the hooks `on_experiment_start`, `on_epoch_end` ...; called in this order.
            evaluate_before_training: measure the untrained model too, as epoch 0.
            evaluate_every_n_epochs: epochs from one evaluation to the next, >= 1; the last epoch is always evaluated.
            checkpoint_every_s: seconds, > 0, after which a checkpoint is taken within an epoch, to go on from after a
                crash; it goes when a newer one stands. None for none.
            checkpoint_every_n_steps: the same by optimizer updates.
            digest_every_n_steps: optimizer updates from one digest within an epoch to the next, to see in which step
                two runs part; costs time. None: at the end of epochs only.

        Raises:
            TrainingError: a metric is watched that nobody evaluates, or a callback has an unknown hook.
        """
        self.trainer = trainer
        self.evaluator = evaluator
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        rules = early_stopping if isinstance(early_stopping, Sequence) else [early_stopping]
        self.early_stopping = tuple(rule for rule in rules if rule is not None)
        self.checkpoints: CheckpointStrategy = KeepLast() if checkpoints is None else checkpoints
        self.hooks = Hooks(callbacks)
        self.evaluate_before_training = evaluate_before_training
        self.evaluate_every_n_epochs = evaluate_every_n_epochs
        self.rhythm = Rhythm(checkpoint_every_s, checkpoint_every_n_steps, digest_every_n_steps)
        self._refuse_unknown_metrics()

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self.trainer.model

    def run(self, context: ExperimentContext) -> None:
        """Runs the experiment to its end; see `mlgym.training.context.Experiment`."""
        Session(self, context).run()

    def refuse_unmeasured(self, scores: Mapping[str, float]) -> None:
        """Checks what is watched against what an evaluation measured.

        Args:
            scores: numbers by `split/metric`.

        Raises:
            TrainingError: a metric is watched that has no number, such as that of a class that does not occur.
        """
        for watcher, metric in self._watched():
            if metric not in scores and metric != _RUNNING:
                raise TrainingError(_not_measured(watcher, metric, scores))

    def _refuse_unknown_metrics(self) -> None:
        known = [_RUNNING, *(self.evaluator.names if self.evaluator else [])]
        for watcher, metric in self._watched():
            # A metric per class is known by its class only once it was computed: `val/f1/3` belongs to `val/f1`.
            if metric not in known and metric.rpartition("/")[0] not in known:
                raise TrainingError(_not_measured(watcher, metric, known))

    def _watched(self) -> list[tuple[object, str]]:
        watchers: list[Any] = [*self.early_stopping, self.checkpoints]
        watched = [(watcher, getattr(watcher, "metric", None)) for watcher in watchers]
        watched.append((self.trainer.lr_scheduler, self.trainer.lr_scheduler_metric))
        return [(watcher, metric) for watcher, metric in watched if metric is not None]


def _not_measured(watcher: object, metric: str, known: Iterable[str]) -> str:
    return f"`{type(watcher).__name__}` watches `{metric}`, which is not evaluated{did_you_mean(metric, known)}"
