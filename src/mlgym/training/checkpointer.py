"""The checkpoints of one experiment: when one is taken, which go once it stands, and what is told of them.

Writing them is up to `checkpoint_writer`, what is in them to `progress`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from mlgym.errors import Interrupted, TrainingError
from mlgym.training.agreement import Agreement
from mlgym.training.checkpoint_courier import Delivered, courier_of
from mlgym.training.checkpoint_writer import CheckpointWriter
from mlgym.training.context import ExperimentContext
from mlgym.training.membership import join
from mlgym.training.plan import NEVER, Plan
from mlgym.training.progress import Progress
from mlgym.training.resumption import Found, Resumption, found_by_main
from mlgym.training.retention import Retention

_MOST_STEPS: Final = 1000


class Checkpointer:
    """Takes the checkpoints of one experiment, all its processes together.

    Args:
        training: says which epochs are kept, how often one is taken within an epoch, and who hears of them.
        context: the surroundings.
        agreement: the processes.
        progress: what a checkpoint holds.

    Attributes:
        writer: writes them beside training.
    """

    def __init__(self, training: Plan, context: ExperimentContext, agreement: Agreement, progress: Progress) -> None:
        self._rhythm = training.rhythm
        self._hooks = training.hooks
        self._context = context
        self._agreement = agreement
        self._progress = progress
        self._folder = context.run_dir / str(context.experiment_id) / "checkpoints"
        self._retention = Retention(training.checkpoints, self._folder)
        self._courier = courier_of(context, self._folder) if agreement.is_main else None
        member = join(self._folder, agreement) if progress.parallel.keeps_shares else None
        self.writer = CheckpointWriter(self._folder, self._courier, member)
        self._resumption: Resumption | None = None
        self._lost: list[str] = []
        self._saved_at_s = self._clock_s = time.monotonic()
        self._clock_step = 0

    def newest(self) -> Found | None:
        """Gives all processes the newest checkpoint that is whole; None where there is none."""
        target = self._progress.parallel.share_target
        if self._agreement.is_main:
            reporter = self._progress.reporter
            self._resumption = Resumption(self._folder, self._context, reporter, self._courier, target)
        return found_by_main(self._resumption, self._agreement, target)

    def go_on_from(self, found: Found | None) -> None:
        """Puts folder, other place and log in step with what `newest` gave, when the progress is that of it."""
        self._clock_step = self._progress.state.step
        if self._resumption is None:
            return
        if found is not None:
            self._retention.load_state_dict(found.state["retention"], self._resumption.elsewhere)
        self._resumption.settle(self._retention.names)
        self.writer.settle(self._retention.names)

    @property
    def is_overdue(self) -> bool:
        """Whether more time has passed since the last one than there should."""
        return self._seconds_left() <= 0

    def next_look(self) -> int:
        """Gives the step at whose end `is_overdue` is asked for next: each looking at the clock would cost time."""
        if not self._agreement.is_alone:
            return self._agreement.next_step
        seconds_left, step = self._seconds_left(), self._progress.state.step
        if seconds_left >= NEVER:
            return NEVER
        spent_s = max(1e-9, time.monotonic() - self._clock_s)
        steps_left = seconds_left * (step - self._clock_step) / spent_s
        return step + max(1, min(_MOST_STEPS, int(steps_left / 2)))

    def after_epoch(self) -> None:
        """Takes one if the strategy wants this epoch."""
        is_main = self._agreement.is_main
        reasons, replaced = self._retention.after_epoch(self._progress.snapshot) if is_main else ((), ())
        wanted = self._agreement.as_main(lambda: reasons)
        if wanted:
            self._take(wanted, replaced, regular=True)

    def within_epoch(self, reason: str) -> None:
        """Takes one to go on from, unless there is one of this moment, or nothing to be kept yet."""
        is_new = self._agreement.is_main and self._progress.state.step > 0 and not self._stands()
        replaced = self._retention.within_epoch(self._progress.snapshot) if is_new else ()
        if self._agreement.as_main(lambda: is_new):
            progress = self._progress
            regular = progress.epoch.done > 0 and self._rhythm.wants_checkpoint(progress.state.step)
            self._take((reason,), replaced, regular=regular)

    def settle(self) -> None:
        """Waits until all that were taken stand, and tells of them."""
        self.writer.wait()
        news = self._tell_news()
        if self._is_heard_of:
            news = list(map(Path, self._agreement.as_main(lambda: list(map(str, news)))))
        self._call_on_checkpoint(news)

    def announce(self) -> None:
        """Tells of those that stand by now; where callbacks want to hear of them, all of them were settled."""
        self._call_on_checkpoint(self._tell_news())

    def close(self) -> None:
        """Waits for whatever is on its way, and raises nothing: for the end, also after an error."""
        self._lost = self.writer.close(lambda: self._context.stop.requested)

    def account(self) -> None:
        """Tells what closing brought.

        Raises:
            TrainingError: some could not be written or, where the folder goes with the experiment, brought elsewhere.
            Interrupted: the same, because of a stop request.
        """
        self.announce()
        if not (self._lost and self._context.is_scratch):
            return
        what = f"{', '.join(self._lost)} could not be brought to {self._context.checkpoint_place}"
        if self._context.stop.requested:
            raise Interrupted(what)
        raise TrainingError(
            f"{what}, and the folder of this machine goes with the experiment: see that the place can be reached, "
            "and go on with --retry-failed"
        )

    @property
    def _is_heard_of(self) -> bool:
        return bool(self._hooks.of("on_checkpoint"))

    def _seconds_left(self) -> float:
        every_s = self._rhythm.checkpoint_every_s
        return NEVER if every_s is None else self._saved_at_s + every_s - time.monotonic()

    def _stands(self) -> bool:
        newest, state = self._retention.newest, self._progress.state
        return newest is not None and (newest.epoch, newest.step) == (state.epoch, state.step)

    def _take(self, reasons: tuple[str, ...], replaced: tuple[Path, ...], *, regular: bool) -> None:
        """Takes one; a regular one is one that every repeat of the experiment takes here."""
        self.announce()
        content = self._progress.content(self._retention.state_dict(), regular=regular)
        if self._agreement.is_main or self._progress.parallel.keeps_shares:
            self.writer.save(content, reasons, replaced)
        self._saved_at_s = time.monotonic()
        if self._is_heard_of:
            # Else callbacks would be called at a step that depends on the speed of the disk.
            self.settle()

    def _call_on_checkpoint(self, paths: list[Path]) -> None:
        for path in paths:
            self._hooks.call("on_checkpoint", self._progress.state, path)

    def _tell_news(self) -> list[Path]:
        reporter, paths = self._progress.reporter, []
        for news in self.writer.take_news():
            if not isinstance(news, Delivered):
                reporter.checkpoint_saved(news.checkpoint, news.reasons)
                paths.append(news.checkpoint.path)
            for path in news.deleted:
                reporter.checkpoint_deleted(path)
            for complaint in news.complaints:
                reporter.warn(complaint)
        return paths
