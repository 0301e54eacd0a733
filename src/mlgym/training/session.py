"""One experiment on its way: epochs of training with evaluation, early stopping and checkpoints between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from mlgym.errors import Interrupted, TrainingError
from mlgym.training.agreement import Agreement
from mlgym.training.checkpoint import CheckpointContent
from mlgym.training.checkpoint_courier import Delivered, courier_of
from mlgym.training.checkpoint_shards import is_share
from mlgym.training.checkpoint_writer import CheckpointWriter
from mlgym.training.context import ExperimentContext
from mlgym.training.determinism import own_randomness
from mlgym.training.device import Device
from mlgym.training.evaluator import SplitScores
from mlgym.training.full_state import FullState
from mlgym.training.loop import Epoch, Gear, train_epoch
from mlgym.training.membership import join
from mlgym.training.parallelism import start
from mlgym.training.plan import Plan
from mlgym.training.rank_state import RankState
from mlgym.training.reporting import RUNNING_LOSS, TRAIN, Contents, Reporter, flat_scores
from mlgym.training.resumption import STATE_FORMAT, Resumption, read_share
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
        self.agreement = Agreement(context.world)
        self.courier = courier_of(context, self.folder) if self.agreement.is_main else None
        self.trainer.share(context.world)
        self.parallel = start(self.trainer.parallelism, context.world, self.device.torch_device)
        member = join(self.folder, self.agreement) if self.parallel.keeps_shares else None
        self.writer = CheckpointWriter(self.folder, self.courier, member)
        self._place()
        self.updates = self.trainer.updates(self.device, self.parallel)
        self.full_state = FullState(training.model, training.stateful_parts(self.updates), context.components)
        self.rank_state = RankState(self.trainer, context, self.full_state)
        self._epoch = Epoch(0)
        self._num_told_batches = 0
        self._attend_at = 0
        self._saved_at_s = self._clock_s = time.monotonic()
        self._clock_step = 0

    def run(self) -> None:
        """Runs the experiment to its end.

        Raises:
            Interrupted: a stop was requested; a checkpoint of this moment stands.
            TrainingError: it cannot be run, or what must be kept cannot be written.
        """
        training, state, hooks = self.training, self.state, self.training.hooks
        num_batches = self._prepare_data()
        gear = Gear(self.updates, self.device.mover(), hooks, self, self._progress, self.parallel)
        hooks.call("on_experiment_start", state)
        go_on = self._resume(num_batches)
        if not self.reporter.results.num_sent:
            if self.agreement.is_main:
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
                self.agreement.begin(state.step)
                train_epoch(self.trainer, state, self._epoch, gear, on_begin=go_on)
                go_on = None
                self._end_epoch()
            if state.epoch < training.epochs and state.stop_reason is None:
                # Whoever set the limit may have it go on from here.
                self._save_within_epoch("paused")
            self._settle()
        finally:
            left = self.writer.close(lambda: self.context.stop.requested)
        self._announce()
        if left and self.context.is_scratch:
            raise self._lost(left)
        if state.stop_reason is not None:
            self.reporter.stopped(state, state.stop_reason)
        hooks.call("on_experiment_end", state)

    @property
    def wanted(self) -> bool:
        """See `Attention`; of several processes none does alone what concerns the others."""
        return self.writer.has_news or (self.agreement.is_alone and self.context.stop.requested)

    def next_step(self) -> int:
        """See `Attention`."""
        rhythm, step = self.training.rhythm, self.state.step
        rhythms = (rhythm.checkpoint_every_n_steps, rhythm.digest_every_n_steps)
        by_steps = min((step + every - step % every for every in rhythms if every), default=_NEVER)
        alone = self.agreement.is_alone
        self._attend_at = min(by_steps, step + self._steps_before_time() if alone else self.agreement.next_step)
        return self._attend_at

    def give(self, epoch: Epoch) -> None:
        """Looks after checkpoints, digests and stop requests; see `Attention`."""
        rhythm, step = self.training.rhythm, self.state.step
        if self.writer.has_news:
            self._announce()
        if step < self._attend_at and not self.agreement.is_alone:
            return  # the others are not here
        stops, time_is_up = self.agreement.at(step, self.context.stop.requested, self._seconds_left() <= 0)
        if _is_due(step, rhythm.digest_every_n_steps) and epoch.done < epoch.num_batches:
            self._digest(order=None)
        if stops:
            self._stop()
        if _is_due(step, rhythm.checkpoint_every_n_steps) or time_is_up:
            self._save_within_epoch("within epoch")

    def _stop_if_asked(self) -> None:
        (stops,) = self.agreement.on(self.context.stop.requested)
        if stops:
            self._stop()

    def _stop(self) -> None:
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

    def _place(self) -> None:
        """Brings everything that computes to the device, and lets the processes share the model."""
        model = self.training.model
        if not self.parallel.places_model:
            self.device.place(model)
        for module in self.training.modules_beside_model():
            self.device.place(module)
        self.parallel.prepare(model, self.trainer.optimizers, self.trainer.turns)

    def _prepare_data(self) -> int:
        """Brings data in memory to the device; gives the number of batches of an epoch."""
        evaluator = self.training.evaluator
        for loader in (self.trainer, *(evaluator.loaders.values() if evaluator else ())):
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
        is_main = self.agreement.is_main
        target = self.parallel.share_target
        resumption = Resumption(self.folder, self.context, self.reporter, self.courier, target) if is_main else None
        saved = self._newest(resumption)
        if saved is None:
            allow_change = self.context.allow_data_change
            if resumption is not None:
                self.data.compare(self.context.known_data, self.reporter, checkpoint=None, allow_change=allow_change)
                resumption.settle(frozenset())
                self.writer.settle(())
            self.reporter.resumed(self.state, None, replaces_later=self.context.lineage > 0)
            return None
        weights, path, state = saved
        if is_main:
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
        self.parallel.load_full_weights(weights, self.training.model, str(path))
        self.full_state.restore(state, self.parallel.share_of)
        self.rank_state.restore(state)
        position = state["position"]
        for name in ("epoch", "step", "scores", "stop_reason"):
            setattr(self.state, name, position[name])
        self._epoch = self.rank_state.epoch_at(position, num_batches, self.reporter)
        self._num_told_batches = position["num_told_losses"]
        self._clock_step = self.state.step
        is_other = not self.reporter.load_state_dict(state["reporter"], step=self.state.step)
        self.reporter.resumed(self.state, path, replaces_later=is_other)
        if resumption is not None:
            self.retention.load_state_dict(state["retention"], resumption.elsewhere)
            resumption.settle(self.retention.names)
            self.writer.settle(self.retention.names)

        def go_on() -> None:
            self.rank_state.restore_generators(state, self.state.step)
            if position["regular"]:
                # Its state is from before the hook, which may not have been called, and may change what comes.
                self.training.hooks.call("on_checkpoint", self.state, path)

        return go_on

    def _newest(self, resumption: Resumption | None) -> tuple[dict[str, Tensor], Path, dict[str, Any]] | None:
        """Gives all processes weights, path and state of the newest checkpoint, which the main one finds.

        It tells them what is in it, or, where it was written in shares, which one it is: each reads its own.
        """
        saved = resumption.newest_state() if resumption is not None else None
        own = None if saved is None else (dict(saved[0].model), saved[1], saved[2])
        in_shares = saved is not None and _has_shares(saved[0])

        def tell() -> Any:
            return None if own is None else (None if in_shares else own[0], str(own[1]), None if in_shares else own[2])

        found, target = self.agreement.as_main(tell), self.parallel.share_target
        if found is None:
            return None
        weights, path, state = found
        if own is None and weights is None and target is not None:
            weights, state = read_share(Path(path), target)
        if found[0] is None:
            self.agreement.on(False)  # until all have read it: the copy in the run folder may go soon
        return own or (weights, Path(path), state)

    def _progress(self, done: int) -> None:
        num_batches = self._epoch.num_batches
        self.reporter.progress(self.state, "train", TRAIN, splits=[TRAIN], batch=done, num_batches=num_batches)

    def _end_epoch(self) -> None:
        training, state = self.training, self.state
        state.epoch += 1
        measured = {TRAIN: SplitScores(losses={RUNNING_LOSS: self.rank_state.mean_loss(self._epoch)})}
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
        self._epoch = Epoch(self._epoch.num_batches, number=state.epoch)
        self._num_told_batches = 0
        self._save_after_epoch()

    def _evaluate(self, measured: dict[str, SplitScores], *, with_evaluator: bool = True) -> None:
        state, evaluator = self.state, self.training.evaluator
        if evaluator is not None and with_evaluator:
            splits = list(evaluator.loaders)

            def progress(split: str, done: int, num_batches: int) -> None:
                self.reporter.progress(state, "evaluation", split, splits=splits, batch=done, num_batches=num_batches)
                (stops,) = self.agreement.on(self.context.stop.requested)
                if stops:
                    raise Interrupted(f"stopped in the evaluation after step {state.step}")

            with own_randomness(state.context.seed, "evaluation", state.epoch):
                evaluated = evaluator.evaluate(self.device, progress, self.parallel)
            for split, running in measured.items():
                evaluated.setdefault(split, SplitScores()).losses.update(running.losses)
            measured = evaluated
            if self.agreement.is_main:
                self.training.refuse_unmeasured(flat_scores(evaluated))
        # The main process alone has seen all of a split.
        state.scores = self.agreement.as_main(lambda: flat_scores(measured))
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
        if self.training.early_stopping:
            state.stop_reason = self.agreement.as_main(lambda: state.stop_reason)

    def contents(self) -> Contents:
        """Gives what the model and the optimizers hold; whole in the main process, which all of them help with."""
        optimizers = [self.parallel.full_optimizer_state(optimizer) for optimizer in self.trainer.optimizers]
        return Contents(self.parallel.full_model_state(self.training.model), optimizers)

    def _digest(self, *, order: str | None) -> None:
        contents, losses = self.contents(), self.rank_state.losses(self._epoch).all()
        if self.agreement.is_main:
            self.reporter.digest(
                self.state,
                contents,
                losses[self.rank_state.num_losses(self._epoch, self._num_told_batches) :],
                batches_per_step=self.trainer.gradients.accumulation_steps * self.context.world.size,
                order=order,
            )
        self._num_told_batches = len(self._epoch.losses)

    def _lost(self, names: list[str]) -> BaseException:
        """Gives what ends an experiment whose checkpoints are about to go with the machine's own run folder."""
        what = f"{', '.join(names)} could not be brought to {self.context.checkpoint_place}"
        if self.context.stop.requested:
            return Interrupted(what)
        return TrainingError(
            f"{what}, and the folder of this machine goes with the experiment: see that the place can be reached, "
            "and go on with --retry-failed"
        )

    def _save_after_epoch(self) -> None:
        snapshot = self._snapshot()
        replaced: tuple[Path, ...] = ()

        def decide() -> tuple[str, ...]:
            nonlocal replaced
            reasons, replaced = self.retention.after_epoch(snapshot)
            return reasons

        reasons = self.agreement.as_main(decide)
        if reasons:
            self._save(reasons, replaced, regular=True)

    def _save_within_epoch(self, reason: str) -> None:
        state = self.state
        replaced: tuple[Path, ...] = ()

        def decide() -> bool:
            nonlocal replaced
            newest = self.retention.newest
            is_saved = newest is not None and (newest.epoch, newest.step) == (state.epoch, state.step)
            if is_saved or not state.step:
                return False
            replaced = self.retention.within_epoch(self._snapshot())
            return True

        if self.agreement.as_main(decide):
            regular = self._epoch.done > 0 and _is_due(state.step, self.training.rhythm.checkpoint_every_n_steps)
            self._save((reason,), replaced, regular=regular)

    def _snapshot(self) -> Snapshot:
        return Snapshot(self.state.epoch, self.state.step, dict(self.state.scores))

    def _save(self, reasons: tuple[str, ...], replaced: tuple[Path, ...], *, regular: bool) -> None:
        """Saves; a regular checkpoint is one that every repeat of the experiment takes here."""
        self._announce()
        content = self._content(regular=regular)
        if self.agreement.is_main or self.parallel.keeps_shares:
            self.writer.save(content, reasons, replaced)
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
            "losses": self.rank_state.losses(self._epoch).all(),
            "num_told_losses": self._num_told_batches,
            "world_size": self.context.world.size,
            "scores": state.scores,
            "stop_reason": state.stop_reason,
            "regular": regular,
        }
        plain, tensors = flatten(
            {
                "format": STATE_FORMAT,
                **self._captured(),
                "position": position,
                "num_batches": self._epoch.num_batches,
                "retention": self.retention.state_dict(),
                "reporter": self.reporter.state_dict(),
                "data": self.data.state_dict(),
            }
        )
        weights = self.parallel.stored_weights(state.model)
        return CheckpointContent(state.epoch, state.step, weights, tensors, plain)

    def _captured(self) -> dict[str, Any]:
        """Gives what this process adds of the full state, in the main one with what each has for itself."""
        captured: dict[str, Any] = self.parallel.stored(self.full_state.capture())
        return captured | {"ranks": self.rank_state.capture()}

    def _settle(self) -> None:
        """Waits until the checkpoints that were asked for stand, and tells of them."""
        self.writer.wait()
        news = self._tell_news()
        if self.training.hooks.of("on_checkpoint"):
            news = list(map(Path, self.agreement.as_main(lambda: list(map(str, news)))))
        self._call_on_checkpoint(news)

    def _announce(self) -> None:
        """Tells of checkpoints that stand by now; where callbacks want to hear of them, all of them were settled."""
        self._call_on_checkpoint(self._tell_news())

    def _call_on_checkpoint(self, paths: list[Path]) -> None:
        for path in paths:
            self.training.hooks.call("on_checkpoint", self.state, path)

    def _tell_news(self) -> list[Path]:
        paths = []
        for news in self.writer.take_news():
            if not isinstance(news, Delivered):
                self.reporter.checkpoint_saved(news.checkpoint, news.reasons)
            for path in news.deleted:
                self.reporter.checkpoint_deleted(path)
            for complaint in news.complaints:
                self.reporter.warn(complaint)
            if not isinstance(news, Delivered):
                paths.append(news.checkpoint.path)
        return paths


def _has_shares(content: CheckpointContent) -> bool:
    return any(map(is_share, (*content.model.values(), *content.tensors.values())))


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step > 0 and step % every == 0
