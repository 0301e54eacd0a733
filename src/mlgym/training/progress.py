"""How far an experiment is, and what goes with it into a checkpoint and comes back out of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mlgym.errors import TrainingError
from mlgym.training.checkpoint import CheckpointContent
from mlgym.training.full_state import FullState
from mlgym.training.loop import Epoch
from mlgym.training.parallel import Parallel
from mlgym.training.rank_state import RankState
from mlgym.training.reporting import Reporter
from mlgym.training.resumption import STATE_FORMAT, Found
from mlgym.training.split_data import SplitData
from mlgym.training.state import State
from mlgym.training.state_codec import flatten
from mlgym.training.strategies import Snapshot


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where an experiment stands, with all that it needs to go on from there bit for bit.

    Args:
        state: what callbacks see of it.
        full_state: what keeps state beside the weights.
        rank_state: what each of several processes has for itself.
        parallel: what the processes do together.
        reporter: knows what the log was told.
        data: what the splits come to.
        epoch: the one on its way.
        num_told_batches: batches of it whose losses the log knows by a digest.
    """

    state: State
    full_state: FullState
    rank_state: RankState
    parallel: Parallel
    reporter: Reporter
    data: SplitData
    epoch: Epoch = field(default_factory=lambda: Epoch(0))
    num_told_batches: int = 0

    @property
    def snapshot(self) -> Snapshot:
        """This moment, as strategies see it."""
        return Snapshot(self.state.epoch, self.state.step, dict(self.state.scores))

    def begin_epoch(self) -> None:
        """Goes on to the next epoch; the one before was counted in `state`."""
        self.epoch = Epoch(self.epoch.num_batches, number=self.state.epoch)
        self.num_told_batches = 0

    def mean_loss(self) -> float:
        """Gives the mean over the samples of the epoch so far, of all processes; NaN for no batches."""
        return self.rank_state.mean_loss(self.epoch)

    def take_untold_losses(self) -> Tensor:
        """Gives the losses of all processes that no digest covers, (batches,), which count as told from here on."""
        losses = self.rank_state.losses(self.epoch).all()
        num_told = self.rank_state.num_losses(self.epoch, self.num_told_batches)
        self.num_told_batches = len(self.epoch.losses)
        return losses[num_told:]

    def content(self, retention: Mapping[str, Any], *, regular: bool) -> CheckpointContent:
        """Gives what this process adds to a checkpoint; all processes call it.

        Args:
            retention: the account of the checkpoints that stand once this one does.
            regular: whether every repeat of the experiment takes one here.
        """
        position = {
            "epoch": self.state.epoch,
            "step": self.state.step,
            "batch": self.epoch.done,
            "losses": self.rank_state.losses(self.epoch).all(),
            "num_told_losses": self.num_told_batches,
            "world_size": self.parallel.world.size,
            "scores": self.state.scores,
            "stop_reason": self.state.stop_reason,
            "regular": regular,
        }
        plain, tensors = flatten(
            {
                "format": STATE_FORMAT,
                **self.parallel.stored(self.full_state.capture()),
                "ranks": self.rank_state.capture(),
                "position": position,
                "num_batches": self.epoch.num_batches,
                "retention": retention,
                "reporter": self.reporter.state_dict(),
                "data": self.data.state_dict(),
            }
        )
        weights = self.parallel.stored_weights(self.state.model)
        return CheckpointContent(self.state.epoch, self.state.step, weights, tensors, plain)

    def restore(self, found: Found) -> bool:
        """Puts everything back but the global generators, and sends again what may not have reached the log.

        Args:
            found: a checkpoint.

        Returns:
            Whether results that the log has from later are replaced: it begins another lineage.

        Raises:
            TrainingError: it belongs to an experiment of other parts, or of epochs of another length.
        """
        state, num_batches = found.state, self.epoch.num_batches
        if state["num_batches"] != num_batches:
            raise TrainingError(
                f"checkpoint {found.path} does not fit: an epoch had {state['num_batches']} batches and has "
                f"{num_batches} now"
            )
        self.parallel.load_full_weights(found.weights, self.state.model, str(found.path))
        self.full_state.restore(state, self.parallel.share_of)
        self.rank_state.restore(state)
        position = state["position"]
        for name in ("epoch", "step", "scores", "stop_reason"):
            setattr(self.state, name, position[name])
        self.epoch = self.rank_state.epoch_at(position, num_batches, self.reporter)
        self.num_told_batches = position["num_told_losses"]
        return not self.reporter.load_state_dict(state["reporter"], step=self.state.step)
