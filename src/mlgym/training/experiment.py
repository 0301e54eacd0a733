"""The usual experiment as a component: what it is made of. How it runs is in `session`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from mlgym.config.given import Given
from mlgym.config.registry import register
from mlgym.config.scores import scores_of
from mlgym.training.callbacks import Hooks
from mlgym.training.context import ExperimentContext
from mlgym.training.evaluator import Evaluator
from mlgym.training.plan import RUNNING, Plan, Rhythm
from mlgym.training.session import Session
from mlgym.training.stopping import EarlyStopping
from mlgym.training.strategies import CheckpointStrategy, KeepLast
from mlgym.training.trainer import Trainer


@register("training")
class Training(Plan):
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
            evaluate_every_n_epochs: epochs from one evaluation to the next, >= 1; the last epoch is always evaluated,
                also where a run goes on to more epochs later.
            checkpoint_every_s: seconds, > 0, after which a checkpoint is taken within an epoch, to go on from after a
                crash; it goes when a newer one stands. None for none. Callbacks hear of it by `on_checkpoint`, at a
                step that depends on the clock.
            checkpoint_every_n_steps: the same by optimizer updates.
            digest_every_n_steps: optimizer updates from one digest within an epoch to the next, to see in which step
                two runs part; costs time. None: at the end of epochs only.

        Raises:
            TrainingError: a metric is watched that nobody evaluates, or a callback has an unknown hook.
        """
        rules = early_stopping if isinstance(early_stopping, Sequence) else [early_stopping]
        super().__init__(
            trainer=trainer,
            evaluator=evaluator,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            early_stopping=tuple(rule for rule in rules if rule is not None),
            checkpoints=KeepLast() if checkpoints is None else checkpoints,
            hooks=Hooks(callbacks),
            evaluate_before_training=evaluate_before_training,
            evaluate_every_n_epochs=evaluate_every_n_epochs,
            rhythm=Rhythm(checkpoint_every_s, checkpoint_every_n_steps, digest_every_n_steps),
        )

    @classmethod
    def scores_of(cls, given: Given) -> set[str]:
        """Gives what can be watched; see `mlgym.config.scores`."""
        evaluators = [each for each in given.parameter("evaluator") if not each.is_none]
        return {RUNNING, *(score for evaluator in evaluators for score in scores_of(evaluator))}

    def run(self, context: ExperimentContext) -> None:
        """Runs the experiment to its end; see `mlgym.training.context.Experiment`."""
        with context.world.group(context.device, alone=self.trainer.parallelism is not None):
            Session(self, context).run()
