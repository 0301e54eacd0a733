"""What each of several processes has for itself of an experiment that they share: losses and generators."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mlgym.training.context import ExperimentContext
from mlgym.training.determinism import seed_global_generators
from mlgym.training.exchange import all_rows, packed, told_to_main, unpacked
from mlgym.training.full_state import FullState, restore_generators_of
from mlgym.training.loop import Epoch
from mlgym.training.losses import EpochLosses, in_rank_order, of_rank
from mlgym.training.reporting import Reporter
from mlgym.training.trainer import Trainer


class RankState:
    """The part of one process in an experiment's progress; where it is alone, that is all of it.

    Args:
        trainer: knows who has how many samples of a batch.
        context: says which process this is.
        full_state: what keeps state.
    """

    def __init__(self, trainer: Trainer, context: ExperimentContext, full_state: FullState) -> None:
        self._trainer = trainer
        self._context = context
        self._world = context.world
        self._full_state = full_state

    def losses(self, epoch: Epoch) -> EpochLosses:
        """Gives the losses of the epoch so far, of all processes, in the order of one that accumulates the shares."""
        if self._world.size == 1:
            return epoch.losses
        counts = self._counts(epoch, epoch.done)
        return EpochLosses(in_rank_order(all_rows(epoch.losses.all().cpu()), counts) if counts else None)

    def mean_loss(self, epoch: Epoch) -> float:
        """Gives the mean over the samples of the epoch so far, of all processes; NaN for no batches."""
        loader = self._trainer.loader
        if self._world.size == 1 and loader.num_samples % loader.batch_size == 0:
            return epoch.losses.mean()
        # Those without any have no loss.
        num_samples = [count for each in self._counts(epoch, epoch.done) for count in each if count]
        return self.losses(epoch).mean(num_samples)

    def num_losses(self, epoch: Epoch, num_batches: int) -> int:
        """Gives how many losses all processes have together of the first batches of an epoch."""
        if self._world.size == 1 or not num_batches:
            return num_batches
        return sum(count > 0 for each in self._counts(epoch, num_batches) for count in each)

    def capture(self) -> list[dict[str, Any]]:
        """Gives the main process what each of the others has for itself, by rank; nothing where it is alone."""
        if self._world.size == 1:
            return []
        own, _ = told_to_main(packed(self._full_state.capture_own()))
        return [unpacked(each) for each in own[1:]]

    def restore(self, state: dict[str, Any]) -> None:
        """Puts back what a checkpoint holds for this process alone, but for the global generators."""
        own = self._own(state)
        if own is not None:
            self._full_state.restore_own(own)

    def restore_generators(self, state: dict[str, Any], step: int) -> None:
        """Puts the global generators back; a process that was not there when they were kept begins with new ones."""
        own, rank = self._own(state), self._world.rank
        if own is None and rank:
            seed_global_generators(self._context.seed, "training", rank, step)
        else:
            restore_generators_of(own or state)

    def epoch_at(self, position: dict[str, Any], num_batches: int, reporter: Reporter) -> Epoch:
        """Gives the epoch that goes on, with the losses that this process had in it, or would have had.

        Args:
            position: of a checkpoint.
            num_batches: batches of the epoch.
            reporter: is told where the number of processes is another one now.
        """
        losses: Tensor = position["losses"]
        before, now = position.get("world_size", 1), self._world.size
        if before != now:
            reporter.warn(
                f"trained on {before} device{'s' * (before > 1)} so far, and on {now} from here on: sums are "
                "rounded otherwise, so that the bits are not those of a run without that change"
            )
        epoch = Epoch(num_batches, position["batch"], number=position["epoch"])
        if not before == now == 1:
            were, are = (self._counts(epoch, epoch.done, size) for size in (before, now))
            losses = of_rank(losses, were, are, self._world.rank)
        epoch.losses = EpochLosses(losses.to(self._context.device))
        return epoch

    def _counts(self, epoch: Epoch, num_batches: int, size: int | None = None) -> list[list[int]]:
        return self._trainer.counts(epoch.number, epoch.num_batches, size or self._world.size)[:num_batches]

    def _own(self, state: dict[str, Any]) -> dict[str, Any] | None:
        rank, others = self._world.rank, state.get("ranks", [])
        return others[rank - 1] if 0 < rank <= len(others) else None
