"""One experiment: epochs of training with evaluation, early stopping and checkpoints between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import nn

from mlgym.config.registry import register
from mlgym.errors import TrainingError
from mlgym.events.types import finite
from mlgym.names import did_you_mean
from mlgym.training.callbacks import Hooks
from mlgym.training.checkpoint import delete_checkpoint, write_checkpoint
from mlgym.training.context import ExperimentContext
from mlgym.training.determinism import own_randomness
from mlgym.training.device import Device
from mlgym.training.evaluator import Evaluator, SplitScores
from mlgym.training.reporting import RUNNING_LOSS, Reporter, flat_scores
from mlgym.training.state import State
from mlgym.training.stopping import EarlyStopping
from mlgym.training.strategies import CheckpointStrategy, KeepLast, Snapshot
from mlgym.training.trainer import Trainer, train_epoch

TRAIN = "train"


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
        early_stopping: EarlyStopping | Sequence[EarlyStopping] = (),
        checkpoints: CheckpointStrategy | None = None,
        callbacks: Sequence[Any] = (),
        evaluate_before_training: bool = False,
        evaluate_every_n_epochs: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        """Puts the experiment together.

        Args:
            trainer: trains one epoch.
            evaluator: measures between epochs; None for training alone.
            epochs: number of epochs, >= 0.
            steps_per_epoch: optimizer updates of an epoch; None: one pass over the training data.
            early_stopping: one rule or several; the first that fires ends training.
            checkpoints: which epochs are kept on disk; None: the last one.
            callbacks: objects with any of the hooks `on_experiment_start`, `on_epoch_end` ...; called in this order.
            evaluate_before_training: measure the untrained model too, as epoch 0.
            evaluate_every_n_epochs: epochs from one evaluation to the next, >= 1; the last epoch is always evaluated.

        Raises:
            TrainingError: a metric is watched that nobody evaluates, or a callback has an unknown hook.
        """
        self.trainer = trainer
        self.evaluator = evaluator
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        rules = early_stopping if isinstance(early_stopping, Sequence) else [early_stopping]
        self.early_stopping: tuple[EarlyStopping, ...] = tuple(rules)
        self.checkpoints: CheckpointStrategy = KeepLast() if checkpoints is None else checkpoints
        self.hooks = Hooks(callbacks)
        self.evaluate_before_training = evaluate_before_training
        self.evaluate_every_n_epochs = evaluate_every_n_epochs
        self._refuse_unknown_metrics()

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self.trainer.model

    def run(self, context: ExperimentContext) -> None:
        """Runs the experiment to its end; see `mlgym.training.context.Experiment`."""
        _Running(self, context).run()

    def _refuse_unknown_metrics(self) -> None:
        known = [f"{TRAIN}/{RUNNING_LOSS}", *(self.evaluator.names if self.evaluator else [])]
        watchers = [*self.early_stopping, self.checkpoints]
        watched = [(watcher, getattr(watcher, "metric", None)) for watcher in watchers]
        watched.append((self.trainer.lr_scheduler, self.trainer.lr_scheduler_metric))
        for watcher, metric in watched:
            # A metric per class is known by its class only once it was computed: `val/f1/3` belongs to `val/f1`.
            if metric is not None and metric not in known and metric.rpartition("/")[0] not in known:
                raise TrainingError(
                    f"`{type(watcher).__name__}` watches `{metric}`, which is not evaluated"
                    f"{did_you_mean(metric, known)}"
                )


class _Running:
    """An experiment on its way: the parts of `Training` bound to a device, with the progress so far."""

    def __init__(self, training: Training, context: ExperimentContext) -> None:
        self.training = training
        self.trainer = training.trainer
        self.device = Device(context.device, self.trainer.precision)
        self.state = State(context, training.model, self.trainer.optimizers, training.epochs)
        self.reporter = Reporter(context)
        self.kept: list[Snapshot] = []
        self.folder: Path = context.run_dir / str(context.experiment_id) / "checkpoints"

    def run(self) -> None:
        training, state, hooks = self.training, self.state, self.training.hooks
        self._place()
        num_batches = self.trainer.num_batches(training.steps_per_epoch)
        if training.epochs and not num_batches:
            raise TrainingError(
                "the training loader has no batches: no samples, or `drop_last` with a large batch size"
            )
        updates = self.trainer.updates(self.device)
        move = self.device.mover()
        splits = [TRAIN]

        def progress(done: int) -> None:
            self.reporter.progress(state, "train", TRAIN, splits=splits, batch=done, num_batches=num_batches)

        hooks.call("on_experiment_start", state)
        if training.evaluate_before_training:
            self._evaluate({})
        while state.epoch < training.epochs and state.stop_reason is None:
            hooks.call("on_epoch_start", state)
            running_loss = train_epoch(
                self.trainer, state, updates=updates, num_batches=num_batches, move=move, hooks=hooks, progress=progress
            )
            state.epoch += 1
            self._end_epoch(running_loss)
        if state.stop_reason is not None:
            self.reporter.stopped(state, state.stop_reason)
        hooks.call("on_experiment_end", state)

    def _place(self) -> None:
        self.device.place(self.trainer.model)
        evaluator = self.training.evaluator
        steps = [turn.step for turn in self.trainer.turns]
        parts = [self.trainer.loss, *steps, *(evaluator.losses.values() if evaluator else ())]
        for part in parts:
            if isinstance(part, nn.Module):
                self.device.place(part)
        for loader in (self.trainer.loader, *(evaluator.loaders.values() if evaluator else ())):
            loader.to(self.device.torch_device)

    def _end_epoch(self, running_loss: float) -> None:
        training, state = self.training, self.state
        measured = {TRAIN: SplitScores(losses={RUNNING_LOSS: running_loss})}
        due = state.epoch % training.evaluate_every_n_epochs == 0 or state.epoch == training.epochs
        self._evaluate(measured, with_evaluator=due)
        self.trainer.end_epoch(state.scores)
        self._ask_early_stopping()
        training.hooks.call("on_epoch_end", state)
        self.reporter.digest(state)
        self._keep_checkpoint()

    def _evaluate(self, measured: dict[str, SplitScores], *, with_evaluator: bool = True) -> None:
        state, evaluator = self.state, self.training.evaluator
        if evaluator is not None and with_evaluator:
            splits = list(evaluator.loaders)

            def progress(split: str, done: int, num_batches: int) -> None:
                self.reporter.progress(state, "evaluation", split, splits=splits, batch=done, num_batches=num_batches)

            with own_randomness(state.context.seed, "evaluation", state.epoch):
                evaluated = evaluator.evaluate(self.device, progress)
            for split, running in measured.items():
                evaluated.setdefault(split, SplitScores()).losses.update(running.losses)
            measured = evaluated
        state.scores = flat_scores(measured)
        if measured:
            self.reporter.scores(state, measured)
        self.training.hooks.call("on_evaluation", state, state.scores)

    def _ask_early_stopping(self) -> None:
        state = self.state
        for rule in self.training.early_stopping:
            metric = getattr(rule, "metric", None)
            if metric is None or metric in state.scores:
                reason = rule.update(state.epoch, state.scores)
                state.stop_reason = state.stop_reason or reason

    def _keep_checkpoint(self) -> None:
        state = self.state
        candidate = Snapshot(state.epoch, state.step, dict(state.scores))
        decision = self.training.checkpoints.decide(candidate, tuple(self.kept))
        if not decision.reasons:
            return
        content = {
            "epoch": state.epoch,
            "step": state.step,
            "scores": {name: finite(value)[0] for name, value in state.scores.items()},
            "callbacks": self.training.hooks.state_dict(),
        }
        stored = write_checkpoint(self.folder, epoch=state.epoch, step=state.step, model=state.model, state=content)
        self.kept.append(candidate)
        self.reporter.checkpoint_saved(stored, decision.reasons)
        # The older ones go only after the new one stands.
        for doomed in decision.delete:
            path = delete_checkpoint(self.folder, doomed.epoch, doomed.step)
            self.kept.remove(doomed)
            self.reporter.checkpoint_deleted(path, doomed.epoch, doomed.step)
        self.training.hooks.call("on_checkpoint", state, stored.path)
