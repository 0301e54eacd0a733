"""One experiment on its way: epochs of training, with evaluation, early stopping and checkpoints between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mlgym.errors import Interrupted, TrainingError
from mlgym.training.agreement import Agreement
from mlgym.training.checkpointer import Checkpointer
from mlgym.training.context import ExperimentContext
from mlgym.training.determinism import own_randomness
from mlgym.training.device import Device
from mlgym.training.evaluator import Evaluator, SplitScores
from mlgym.training.full_state import FullState
from mlgym.training.loop import Epoch, Gear, train_epoch
from mlgym.training.parallelism import start
from mlgym.training.plan import Plan
from mlgym.training.progress import Progress
from mlgym.training.rank_state import RankState
from mlgym.training.reporting import RUNNING_LOSS, TRAIN, Contents, Reporter, flat_scores
from mlgym.training.resumption import Found
from mlgym.training.split_data import SplitData
from mlgym.training.state import State


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
        self.agreement = Agreement(context.world)
        self.trainer.share(context.world)
        self.parallel = start(self.trainer.parallelism, context.world, self.device.torch_device)
        self._place()
        self.updates = self.trainer.updates(self.device, self.parallel)
        self.progress = self._begun()
        self.checkpoints = Checkpointer(training, context, self.agreement, self.progress)
        self._attend_at = 0

    def run(self) -> None:
        """Runs the experiment to its end.

        Raises:
            Interrupted: a stop was requested; a checkpoint of this moment stands.
            TrainingError: it cannot be run, or what must be kept cannot be written.
        """
        state, hooks = self.state, self.training.hooks
        self._prepare_data()
        hooks.call("on_experiment_start", state)
        found = self._resume()
        self._introduce()
        try:
            self._train(found)
            self.checkpoints.settle()
        finally:
            self.checkpoints.close()
        self.checkpoints.account()
        if state.stop_reason is not None:
            self.reporter.stopped(state, state.stop_reason)
        hooks.call("on_experiment_end", state)

    @property
    def wanted(self) -> bool:
        """See `Attention`; of several processes none does alone what concerns the others."""
        return self.checkpoints.writer.has_news or (self.agreement.is_alone and self.context.stop.requested)

    def next_step(self) -> int:
        """See `Attention`."""
        self._attend_at = min(self.training.rhythm.next_step(self.state.step), self.checkpoints.next_look())
        return self._attend_at

    def give(self, epoch: Epoch) -> None:
        """Looks after checkpoints, digests and stop requests; see `Attention`."""
        rhythm, step = self.training.rhythm, self.state.step
        if self.checkpoints.writer.has_news:
            self.checkpoints.announce()
        if step < self._attend_at and not self.agreement.is_alone:
            return  # the others are not here
        stops, is_overdue = self.agreement.at(step, self.context.stop.requested, self.checkpoints.is_overdue)
        if rhythm.wants_digest(step) and epoch.done < epoch.num_batches:
            self._digest(order=None)
        if stops:
            self._stop()
        if is_overdue or rhythm.wants_checkpoint(step):
            self.checkpoints.within_epoch("within epoch")

    def contents(self) -> Contents:
        """Gives what the model and the optimizers hold; whole in the main process, which all of them help with."""
        optimizers = list(map(self.parallel.full_optimizer_state, self.trainer.optimizers))
        return Contents(self.parallel.full_model_state(self.training.model), optimizers)

    def _place(self) -> None:
        """Brings everything that computes to the device, and lets the processes share the model."""
        model = self.training.model
        if not self.parallel.places_model:
            self.device.place(model)
        for module in self.training.modules_beside_model():
            self.device.place(module)
        self.parallel.prepare(model, self.trainer.optimizers, self.trainer.turns)

    def _begun(self) -> Progress:
        parts = self.training.stateful_parts(self.updates)
        full_state = FullState(self.training.model, parts, self.context.components)
        return Progress(
            state=self.state,
            full_state=full_state,
            rank_state=RankState(self.trainer, self.context, full_state),
            parallel=self.parallel,
            reporter=self.reporter,
            data=self.data,
        )

    def _prepare_data(self) -> None:
        """Brings data in memory to the device, and counts the batches of an epoch."""
        evaluator = self.training.evaluator
        for loader in (self.trainer, *(evaluator.loaders.values() if evaluator else ())):
            loader.to(self.device.torch_device)
        num_batches = self.trainer.num_batches(self.training.steps_per_epoch)
        if self.training.epochs and not num_batches:
            raise TrainingError(
                "the training loader has no batches: no samples, or `drop_last` with a large batch size"
            )
        self.progress.epoch = Epoch(num_batches)

    def _resume(self) -> Found | None:
        """Goes on from the newest checkpoint where there is one, but for the global generators."""
        if self.context.attempt == 0:
            return None
        found = self.checkpoints.newest()
        if self.agreement.is_main:
            # Before parts are put back: a dataset with a generator of its own draws from it when it is read.
            self._compare_data(found)
        if found is None:
            self.checkpoints.go_on_from(None)
            self.reporter.resumed(self.state, None, replaces_later=self.context.lineage > 0)
            return None
        replaces_later = self.progress.restore(found)
        self.reporter.resumed(self.state, found.path, replaces_later=replaces_later)
        self.checkpoints.go_on_from(found)
        return found

    def _compare_data(self, found: Found | None) -> None:
        self.data.compare(
            self.context.known_data if found is None else found.state.get("data", {}),
            self.reporter,
            checkpoint=None if found is None else found.path.name,
            allow_change=self.context.allow_data_change,
        )

    def _introduce(self) -> None:
        """Tells of data and model, once."""
        if not self.reporter.results.num_sent:
            if self.agreement.is_main:
                self.data.tell(self.reporter)
            self.reporter.model(self.training.model)

    def _train(self, found: Found | None) -> None:
        """Trains until the last epoch, or until a rule ends it."""
        state, hooks = self.state, self.training.hooks
        gear = Gear(self.updates, self.device.mover(), hooks, self, self._tell_progress, self.parallel)
        on_begin = self._begin(found)
        while state.epoch < self._num_epochs and state.stop_reason is None:
            if not self.progress.epoch.done:
                self._stop_if_asked()
                hooks.call("on_epoch_start", state)
            self.agreement.begin(state.step)
            train_epoch(self.trainer, state, self.progress.epoch, gear, on_begin=on_begin)
            on_begin = None
            self._end_epoch()
        if state.epoch < self.training.epochs and state.stop_reason is None:
            # Whoever set the limit may have it go on from here.
            self.checkpoints.within_epoch("paused")

    def _begin(self, found: Found | None) -> Callable[[], None] | None:
        """Does what comes before all epochs; gives what is left for when the batches are there."""
        if found is None:
            if self.training.evaluate_before_training:
                self._evaluate({})
            return None
        if self.progress.epoch.done:
            return lambda: self._go_on(found)
        # Whatever draws at the start of an epoch is still to come; within one, it has drawn already.
        self._go_on(found)
        return None

    def _go_on(self, found: Found) -> None:
        self.progress.rank_state.restore_generators(found.state, self.state.step)
        if found.state["position"]["regular"]:
            # Its state is from before the hook, which may not have been called, and may change what comes.
            self.training.hooks.call("on_checkpoint", self.state, found.path)

    def _stop_if_asked(self) -> None:
        (stops,) = self.agreement.on(self.context.stop.requested)
        if stops:
            self._stop()

    def _stop(self) -> None:
        self._keep_this_moment()
        raise Interrupted(f"stopped in epoch {self.state.epoch} after step {self.state.step}")

    def _keep_this_moment(self) -> None:
        self.checkpoints.within_epoch("interrupted")
        self.checkpoints.settle()

    def _tell_progress(self, done: int) -> None:
        num_batches = self.progress.epoch.num_batches
        self.reporter.progress(self.state, "train", TRAIN, splits=[TRAIN], batch=done, num_batches=num_batches)

    def _end_epoch(self) -> None:
        training, state, progress = self.training, self.state, self.progress
        state.epoch += 1
        measured = {TRAIN: SplitScores(losses={RUNNING_LOSS: progress.mean_loss()})}
        due = state.epoch % training.evaluate_every_n_epochs == 0 or state.epoch == training.epochs
        try:
            self._evaluate(measured, with_evaluator=due)
        except Interrupted:
            # The epoch is not over before it was evaluated.
            state.epoch -= 1
            self._keep_this_moment()
            raise
        self.trainer.end_epoch(state.scores)
        self._ask_early_stopping()
        training.hooks.call("on_epoch_end", state)
        self._digest(order=self.trainer.order_digest(state.epoch - 1, progress.epoch.num_batches))
        progress.begin_epoch()
        self.checkpoints.after_epoch()

    def _evaluate(self, measured: dict[str, SplitScores], *, with_evaluator: bool = True) -> None:
        state, evaluator = self.state, self.training.evaluator
        if evaluator is not None and with_evaluator:
            measured = self._scores_of(evaluator, measured)
        # The main process alone has seen all of a split.
        state.scores = self.agreement.as_main(lambda: flat_scores(measured))
        if measured:
            self.reporter.scores(state, measured)
        self.training.hooks.call("on_evaluation", state, state.scores)

    def _scores_of(self, evaluator: Evaluator, measured: dict[str, SplitScores]) -> dict[str, SplitScores]:
        """Gives what an evaluation measures, with the losses that were measured while the parameters moved."""
        look = partial(self._look_up_from_evaluation, list(evaluator.loaders))
        with own_randomness(self.context.seed, "evaluation", self.state.epoch):
            scores = evaluator.evaluate(self.device, look, self.parallel)
        for split, running in measured.items():
            scores.setdefault(split, SplitScores()).losses.update(running.losses)
        if self.agreement.is_main:
            self.training.refuse_unmeasured(flat_scores(scores))
        return scores

    def _look_up_from_evaluation(self, splits: list[str], split: str, done: int, num_batches: int) -> None:
        self.reporter.progress(self.state, "evaluation", split, splits=splits, batch=done, num_batches=num_batches)
        (stops,) = self.agreement.on(self.context.stop.requested)
        if stops:
            raise Interrupted(f"stopped in the evaluation after step {self.state.step}")

    def _ask_early_stopping(self) -> None:
        state = self.state
        for rule in self.training.early_stopping:
            metric = getattr(rule, "metric", None)
            if metric is None or metric in state.scores:
                reason = rule.update(state.epoch, state.scores)
                state.stop_reason = state.stop_reason or reason
        if self.training.early_stopping:
            state.stop_reason = self.agreement.as_main(lambda: state.stop_reason)

    def _digest(self, *, order: str | None) -> None:
        contents, losses = self.contents(), self.progress.take_untold_losses()
        if self.agreement.is_main:
            batches_per_step = self.trainer.gradients.accumulation_steps * self.context.world.size
            self.reporter.digest(self.state, contents, losses, batches_per_step=batches_per_step, order=order)
