"""One experiment on its way: epochs of training with evaluation, early stopping and checkpoints between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mlgym.errors import Interrupted, TrainingError
from mlgym.training.checkpoint import CheckpointContent
from mlgym.training.checkpoint_courier import Delivered, courier_of
from mlgym.training.checkpoint_writer import CheckpointWriter
from mlgym.training.context import ExperimentContext
from mlgym.training.determinism import own_randomness
from mlgym.training.device import Device
from mlgym.training.evaluator import SplitScores
from mlgym.training.full_state import FullState, restore_generators_of
from mlgym.training.loop import Epoch, Gear, train_epoch
from mlgym.training.losses import EpochLosses
from mlgym.training.model_state import put_weights, weights_of
from mlgym.training.plan import Plan
from mlgym.training.reporting import RUNNING_LOSS, TRAIN, Reporter, flat_scores
from mlgym.training.resumption import STATE_FORMAT, Resumption
from mlgym.training.retention import Retention
from mlgym.training.split_data import SplitData
from mlgym.training.state import State
from mlgym.training.state_codec import flatten
from mlgym.training.strategies import Snapshot

_NEVER = 2**62


class Session:
    """The parts of a plan bound to a device and to the run folder, with the progress so far.

    Args:
        training: what is trained, and how.
        context: who it is, where it writes, whom it tells.
    """

    def __init__(self, training: Plan, context: ExperimentContext) -> None:
        self.training = training
        self.trainer = training.trainer
        self.context = context
        self.device = Device(context.device, self.trainer.precision)
        until = context.until_epoch
        self._num_epochs = training.epochs if until is None else min(until, training.epochs)
        self.state = State(context, training.model, self.trainer.optimizers, self._num_epochs)
        self.reporter = Reporter(context)
        evaluator = training.evaluator
        self.data = SplitData({TRAIN: self.trainer.loader} | (evaluator.loaders if evaluator else {}))
        self.folder: Path = context.run_dir / str(context.experiment_id) / "checkpoints"
        self.retention = Retention(training.checkpoints, self.folder)
        self.courier = courier_of(context, self.folder)
        self.writer = CheckpointWriter(self.folder, self.courier)
        self.updates = self.trainer.updates(self.device)
        self.full_state = FullState(training.model, self._parts(), context.components)
        self._epoch = Epoch(0)
        self._num_told_losses = 0
        self._saved_at_s = self._clock_s = time.monotonic()
        self._clock_step = 0

    def run(self) -> None:
        """Runs the experiment to its end.

        Raises:
            Interrupted: a stop was requested; a checkpoint of this moment stands.
            TrainingError: it cannot be run, or what must be kept cannot be written.
        """
        training, state, hooks = self.training, self.state, self.training.hooks
        num_batches = self._place()
        gear = Gear(self.updates, self.device.mover(), hooks, self, self._progress)
        hooks.call("on_experiment_start", state)
        go_on = self._resume(num_batches)
        if not self.reporter.results.num_sent:
            self.data.tell(self.reporter)
            self.reporter.model(training.model)
        try:
            if go_on is None:
                if training.evaluate_before_training:
                    self._evaluate({})
            elif not self._epoch.done:
                # Whatever draws at the start of an epoch is still to come; within one, it has drawn already.
                go_on()
                go_on = None
            while state.epoch < self._num_epochs and state.stop_reason is None:
                if not self._epoch.done:
                    self._stop_if_asked()
                    hooks.call("on_epoch_start", state)
                train_epoch(self.trainer, state, self._epoch, gear, on_begin=go_on)
                go_on = None
                self._end_epoch()
            if state.epoch < training.epochs and state.stop_reason is None:
                # Whoever set the limit may have it go on from here.
                self._save_within_epoch("paused")
            self._settle()
        finally:
            self.writer.close(lambda: self.context.stop.requested)
        self._announce()
        if state.stop_reason is not None:
            self.reporter.stopped(state, state.stop_reason)
        hooks.call("on_experiment_end", state)

    @property
    def wanted(self) -> bool:
        """See `Attention`."""
        return self.context.stop.requested or self.writer.has_news

    def next_step(self) -> int:
        """See `Attention`."""
        rhythm, step = self.training.rhythm, self.state.step
        rhythms = (rhythm.checkpoint_every_n_steps, rhythm.digest_every_n_steps)
        by_steps = min((step + every - step % every for every in rhythms if every), default=_NEVER)
        return min(by_steps, step + self._steps_before_time())

    def give(self, epoch: Epoch) -> None:
        """Looks after checkpoints, digests and stop requests; see `Attention`."""
        rhythm, step = self.training.rhythm, self.state.step
        if self.writer.has_news:
            self._announce()
        if _is_due(step, rhythm.digest_every_n_steps) and epoch.done < epoch.num_batches:
            self._digest(order=None)
        self._stop_if_asked()
        if _is_due(step, rhythm.checkpoint_every_n_steps) or self._seconds_left() <= 0:
            self._save_within_epoch("within epoch")

    def _stop_if_asked(self) -> None:
        if self.context.stop.requested:
            self._save_within_epoch("interrupted")
            self._settle()
            raise Interrupted(f"stopped in epoch {self.state.epoch} after step {self.state.step}")

    def _seconds_left(self) -> float:
        every_s = self.training.rhythm.checkpoint_every_s
        return _NEVER if every_s is None else self._saved_at_s + every_s - time.monotonic()

    def _steps_before_time(self) -> int:
        """Gives how many steps surely pass before it is time for a checkpoint, so that not each looks at the clock."""
        seconds_left = self._seconds_left()
        if seconds_left >= _NEVER:
            return _NEVER
        steps = self.state.step - self._clock_step
        spent_s = max(1e-9, time.monotonic() - self._clock_s)
        return max(1, min(1000, int(seconds_left / 2 * steps / spent_s)))

    def _parts(self) -> dict[str, Any]:
        """Gives by name what may keep a state."""
        training, trainer = self.training, self.trainer
        parts: dict[str, Any] = {
            "lr_scheduler": trainer.lr_scheduler,
            "loss": trainer.loss,
            "checkpoint_strategy": training.checkpoints,
        }
        parts |= {f"callbacks.{place}": callback for place, callback in enumerate(training.hooks.callbacks)}
        parts |= {f"optimizers.{place}": optimizer for place, optimizer in enumerate(trainer.optimizers)}
        parts |= {f"scalers.{place}": update.scaler for place, update in enumerate(self.updates)}
        parts |= {f"steps.{place}": turn.step for place, turn in enumerate(trainer.turns)}
        parts |= {f"early_stopping.{place}": rule for place, rule in enumerate(training.early_stopping)}
        if training.evaluator is not None:
            parts |= {f"evaluation.{name}": loss for name, loss in training.evaluator.losses.items()}
            parts["evaluation.step"] = training.evaluator.step
        return parts

    def _place(self) -> int:
        """Brings everything to the device; gives the number of batches of an epoch."""
        self.device.place(self.trainer.model)
        evaluator = self.training.evaluator
        steps = [*(turn.step for turn in self.trainer.turns), evaluator.step if evaluator else None]
        for part in (self.trainer.loss, *steps, *(evaluator.losses.values() if evaluator else ())):
            # A step need not be a module to have some, such as a loss with class weights.
            for module in [part] if isinstance(part, nn.Module) else getattr(part, "__dict__", {}).values():
                if isinstance(module, nn.Module):
                    self.device.place(module)
        for loader in (self.trainer.loader, *(evaluator.loaders.values() if evaluator else ())):
            loader.to(self.device.torch_device)
        num_batches = self.trainer.num_batches(self.training.steps_per_epoch)
        if self.training.epochs and not num_batches:
            raise TrainingError(
                "the training loader has no batches: no samples, or `drop_last` with a large batch size"
            )
        self._epoch = Epoch(num_batches)
        return num_batches

    def _resume(self, num_batches: int) -> Callable[[], None] | None:
        """Goes on from the newest checkpoint where there is one; gives what is to be done last, None else."""
        if self.context.attempt == 0:
            return None
        resumption = Resumption(self.folder, self.context, self.reporter, self.courier)
        saved = resumption.newest_state()
        if saved is None:
            resumption.settle(frozenset())
            self.writer.settle(())
            self.reporter.resumed(self.state, None, replaces_later=self.context.lineage > 0)
            return None
        content, path, state = saved
        # Before parts are put back: a dataset with a generator of its own draws from it when it is read.
        self.data.compare(
            state.get("data", {}),
            self.reporter,
            checkpoint=path.name,
            allow_change=self.context.allow_data_change,
        )
        if state["num_batches"] != num_batches:
            raise TrainingError(
                f"checkpoint {path} does not fit: an epoch had {state['num_batches']} batches and has {num_batches} now"
            )
        put_weights(content.model, self.training.model, str(path))
        self.full_state.restore(state)
        self.retention.load_state_dict(state["retention"], resumption.elsewhere)
        position = state["position"]
        for name in ("epoch", "step", "scores", "stop_reason"):
            setattr(self.state, name, position[name])
        losses: Tensor = position["losses"]
        self._epoch = Epoch(num_batches, position["batch"], EpochLosses(losses.to(self.device.torch_device)))
        self._num_told_losses = position["num_told_losses"]
        self._clock_step = self.state.step
        is_other = not self.reporter.load_state_dict(state["reporter"], step=self.state.step)
        self.reporter.resumed(self.state, path, replaces_later=is_other)
        resumption.settle(self.retention.names)
        self.writer.settle(self.retention.names)

        def go_on() -> None:
            restore_generators_of(state)
            if position["regular"]:
                # Its state is from before the hook, which may not have been called, and may change what comes.
                self.training.hooks.call("on_checkpoint", self.state, path)

        return go_on

    def _progress(self, done: int) -> None:
        num_batches = self._epoch.num_batches
        self.reporter.progress(self.state, "train", TRAIN, splits=[TRAIN], batch=done, num_batches=num_batches)

    def _end_epoch(self) -> None:
        training, state = self.training, self.state
        state.epoch += 1
        measured = {TRAIN: SplitScores(losses={RUNNING_LOSS: self._epoch.losses.mean()})}
        due = state.epoch % training.evaluate_every_n_epochs == 0 or state.epoch == training.epochs
        try:
            self._evaluate(measured, with_evaluator=due)
        except Interrupted:
            # The epoch is not over before it was evaluated.
            state.epoch -= 1
            self._save_within_epoch("interrupted")
            self._settle()
            raise
        self.trainer.end_epoch(state.scores)
        self._ask_early_stopping()
        training.hooks.call("on_epoch_end", state)
        self._digest(order=self.trainer.order_digest(state.epoch - 1, self._epoch.num_batches))
        self._epoch = Epoch(self._epoch.num_batches)
        self._num_told_losses = 0
        self._save_after_epoch()

    def _evaluate(self, measured: dict[str, SplitScores], *, with_evaluator: bool = True) -> None:
        state, evaluator = self.state, self.training.evaluator
        if evaluator is not None and with_evaluator:
            splits = list(evaluator.loaders)

            def progress(split: str, done: int, num_batches: int) -> None:
                self.reporter.progress(state, "evaluation", split, splits=splits, batch=done, num_batches=num_batches)
                if self.context.stop.requested:
                    raise Interrupted(f"stopped in the evaluation after step {state.step}")

            with own_randomness(state.context.seed, "evaluation", state.epoch):
                evaluated = evaluator.evaluate(self.device, progress)
            for split, running in measured.items():
                evaluated.setdefault(split, SplitScores()).losses.update(running.losses)
            measured = evaluated
            self.training.refuse_unmeasured(flat_scores(evaluated))
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

    def _digest(self, *, order: str | None) -> None:
        losses = self._epoch.losses.all()
        self.reporter.digest(
            self.state,
            losses[self._num_told_losses :],
            batches_per_step=self.trainer.gradients.accumulation_steps,
            order=order,
        )
        self._num_told_losses = len(losses)

    def _save_after_epoch(self) -> None:
        state = self.state
        reasons, replaced = self.retention.after_epoch(Snapshot(state.epoch, state.step, dict(state.scores)))
        if reasons:
            self._save(reasons, replaced, regular=True)

    def _save_within_epoch(self, reason: str) -> None:
        state, newest = self.state, self.retention.newest
        is_saved = newest is not None and (newest.epoch, newest.step) == (state.epoch, state.step)
        if state.step and not is_saved:
            replaced = self.retention.within_epoch(Snapshot(state.epoch, state.step, dict(state.scores)))
            regular = self._epoch.done > 0 and _is_due(state.step, self.training.rhythm.checkpoint_every_n_steps)
            self._save((reason,), replaced, regular=regular)

    def _save(self, reasons: tuple[str, ...], replaced: tuple[Path, ...], *, regular: bool) -> None:
        """Saves; a regular checkpoint is one that every repeat of the experiment takes here."""
        self._announce()
        self.writer.save(self._content(regular=regular), reasons, replaced)
        self._saved_at_s = time.monotonic()
        if self.training.hooks.of("on_checkpoint"):
            # Else callbacks would be called at a step that depends on the speed of the disk.
            self._settle()

    def _content(self, *, regular: bool) -> CheckpointContent:
        state = self.state
        position = {
            "epoch": state.epoch,
            "step": state.step,
            "batch": self._epoch.done,
            "losses": self._epoch.losses.all(),
            "num_told_losses": self._num_told_losses,
            "scores": state.scores,
            "stop_reason": state.stop_reason,
            "regular": regular,
        }
        plain, tensors = flatten(
            {
                "format": STATE_FORMAT,
                **self.full_state.capture(),
                "position": position,
                "num_batches": self._epoch.num_batches,
                "retention": self.retention.state_dict(),
                "reporter": self.reporter.state_dict(),
                "data": self.data.state_dict(),
            }
        )
        return CheckpointContent(state.epoch, state.step, weights_of(state.model), tensors, plain)

    def _settle(self) -> None:
        """Waits until the checkpoints that were asked for stand, and tells of them."""
        self.writer.wait()
        self._announce()

    def _announce(self) -> None:
        for news in self.writer.take_news():
            if not isinstance(news, Delivered):
                self.reporter.checkpoint_saved(news.checkpoint, news.reasons)
            for path in news.deleted:
                self.reporter.checkpoint_deleted(path)
            for complaint in news.complaints:
                self.reporter.warn(complaint)
            if not isinstance(news, Delivered):
                self.training.hooks.call("on_checkpoint", self.state, news.checkpoint.path)


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step > 0 and step % every == 0
