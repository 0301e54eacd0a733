"""Which checkpoint of an experiment is meant: the best one, the last one, or one by its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlgym.api.checkpoint_places import fetched, place_of, recorded_place, stored_there
from mlgym.errors import RunError
from mlgym.events import CheckpointRecord, ExperimentState
from mlgym.names import did_you_mean
from mlgym.tracking import RunFolder
from mlgym.tracking.places import HUB

if TYPE_CHECKING:
    from mlgym.training import StoredCheckpoint


def marked_best(state: ExperimentState) -> list[CheckpointRecord]:
    """Gives the checkpoints that the event log calls best by what the run selects by, the oldest first."""
    found = [record for record in state.checkpoints.values() if "best" in record.reasons]
    return sorted(found, key=lambda record: (record.step, record.epoch))


@contextmanager
def chosen_checkpoint(
    folder: RunFolder, state: ExperimentState, checkpoint: str | Path, *, rest_endpoint: str | None = None
) -> Iterator[StoredCheckpoint]:
    """Gives a checkpoint of an experiment while the body runs; does not verify it.

    Where the log knows of checkpoints that the folder lacks, the place that the run was launched with is asked, too.
    One that stands there alone is brought for as long as the body runs.

    Args:
        folder: the run.
        state: the experiment.
        checkpoint: `best` by what the run selects by, else the last; `last`; the name of one; or its folder.
        rest_endpoint: address of the hub where it has the checkpoints; None for none.

    Raises:
        RunError: there is no such checkpoint.
        PlaceError: it stands elsewhere, and cannot be brought, or is damaged.
    """
    from mlgym.training import list_checkpoints

    experiment_id = state.experiment_id
    here = {one.path.name: one for one in list_checkpoints(folder.checkpoints_dir(experiment_id))}
    with place_of(folder, rest_endpoint) as place:
        is_complete = all(Path(path).name in here for path in state.checkpoints)
        there = {} if place is None or is_complete else stored_there(folder, experiment_id, place)
        stored = sorted({**there, **here}.values(), key=lambda one: (one.step, one.epoch))
        chosen = _choose(folder, state, checkpoint, stored)
        if chosen.path.name in here or place is None:
            yield chosen
        else:
            with fetched(experiment_id, chosen, place) as brought:
                yield brought


def _choose(
    folder: RunFolder, state: ExperimentState, checkpoint: str | Path, stored: list[StoredCheckpoint]
) -> StoredCheckpoint:
    if isinstance(checkpoint, Path):
        chosen = [one for one in stored if one.path.resolve() == checkpoint.resolve()]
    else:
        name = _meant(state, checkpoint, stored)
        chosen = [one for one in stored if one.path.name == name]
        if stored and not chosen and name != checkpoint:
            raise RunError(_gone_text(folder, state, checkpoint, name, [one.path.name for one in stored]))
    if not chosen:
        names = ["best", "last", *(one.path.name for one in stored)] if stored else []
        place = recorded_place(folder)
        hint = f" here; those at {place} were looked at" if place != HUB else " here: name the hub, --rest-endpoint URL"
        known = did_you_mean(str(checkpoint), names) or f"; it has none{hint if place else ''}"
        raise RunError(
            f"experiment {state.experiment_id} of run `{folder.run_id}` has no checkpoint `{checkpoint}`{known}"
        )
    return chosen[-1]


def _meant(state: ExperimentState, checkpoint: str, stored: list[StoredCheckpoint]) -> str:
    """Gives the name of the checkpoint that is meant: that of the log, which may know of one that is not there."""
    best = marked_best(state)
    if checkpoint == "best" and best:
        return Path(best[-1].path).name
    if checkpoint not in ("best", "last"):
        return checkpoint
    # The log may have lost its latest events, and the folder a checkpoint.
    known = [(one.step, one.epoch, Path(one.path).name) for one in state.checkpoints.values()]
    known += [(one.step, one.epoch, one.path.name) for one in stored]
    return max(known, default=(0, 0, checkpoint))[-1]


def _gone_text(folder: RunFolder, state: ExperimentState, checkpoint: str, name: str, there: list[str]) -> str:
    """Says that what is meant by `best` or `last` is gone; another one in its place would be taken for it."""
    place = recorded_place(folder)
    if place == HUB:
        where = f"; it may be at the hub: `mlgym checkpoints {folder.run_id} --fetch --rest-endpoint URL` brings it"
    else:
        where = f", nor at {place}" if place else ""
    return (
        f"the {checkpoint} checkpoint of experiment {state.experiment_id} of run `{folder.run_id}`, {name}, is not in "
        f"the run folder{where}. To take another one, name it: {', '.join(there)}"
    )
