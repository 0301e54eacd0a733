"""Which checkpoint of an experiment is meant: the best one, the last one, or one by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlgym.errors import RunError
from mlgym.events import CheckpointRecord, ExperimentState
from mlgym.names import did_you_mean
from mlgym.tracking import RunFolder

if TYPE_CHECKING:
    from mlgym.training import StoredCheckpoint


def marked_best(state: ExperimentState) -> list[CheckpointRecord]:
    """Gives the checkpoints that the event log calls best by what the run selects by, the oldest first."""
    found = [record for record in state.checkpoints.values() if "best" in record.reasons]
    return sorted(found, key=lambda record: (record.step, record.epoch))


def choose_checkpoint(folder: RunFolder, state: ExperimentState, checkpoint: str | Path) -> StoredCheckpoint:
    """Gives a checkpoint of an experiment; does not verify it.

    Args:
        folder: the run.
        state: the experiment.
        checkpoint: `best` by what the run selects by, else the last; `last`; the name of one; or its folder.

    Raises:
        RunError: there is no such checkpoint.
    """
    from mlgym.training import list_checkpoints

    stored = list_checkpoints(folder.checkpoints_dir(state.experiment_id))
    if isinstance(checkpoint, Path):
        chosen = [one for one in stored if one.path.resolve() == checkpoint.resolve()]
    else:
        marked = {Path(record.path).name for record in marked_best(state)}
        best = [one for one in stored if one.path.name in marked]
        named = {"best": best or stored, "last": stored}
        chosen = named.get(checkpoint, [one for one in stored if one.path.name == checkpoint])
    if not chosen:
        names = ["best", "last", *(one.path.name for one in stored)] if stored else []
        known = did_you_mean(str(checkpoint), names) or "; it has none"
        raise RunError(
            f"experiment {state.experiment_id} of run `{folder.run_id}` has no checkpoint `{checkpoint}`{known}"
        )
    return chosen[-1]
