"""The checkpoints of a run: which stand, whether they are whole, and the weights of one as a file."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlgym.api.checkpoint_places import fetched, stored_there
from mlgym.api.chosen_checkpoint import chosen_checkpoint
from mlgym.api.results import Run
from mlgym.errors import PlaceError, RunError, TrainingError
from mlgym.tracking import RunFolder, write_atomically
from mlgym.tracking.places import CheckpointPlace

if TYPE_CHECKING:
    from mlgym.training import StoredCheckpoint

_SUFFIX: Final = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class ExperimentCheckpoint:
    """A checkpoint of an experiment.

    Args:
        experiment_id: the experiment.
        name: name of its folder.
        epoch: finished epochs.
        step: optimizer updates.
        reasons: why it is kept, as far as the event log says: `best`, `last` ...
        num_bytes: size of its files together.
        saved_at: when it was written, in s since the epoch; None where it is gone.
        damage: what is wrong with it; None where nothing is, or where it was not verified.
        place: where it stands, too, or alone where `saved_at` is None; None for the run folder alone.
    """

    experiment_id: int
    name: str
    epoch: int
    step: int
    reasons: tuple[str, ...]
    num_bytes: int
    saved_at: float | None
    damage: str | None = None
    place: str | None = None


def checkpoints_of(
    run: Run, experiment: int | None = None, *, verify: bool = False, place: CheckpointPlace | None = None
) -> list[ExperimentCheckpoint]:
    """Gives the checkpoints of a run, by experiment, the oldest first.

    Those that the event log has and the folder lacks are among them, as damaged; but while a driver is at the run, or
    where one died, the log need not have heard of removals yet, so that one before another that stands is left out.

    Args:
        run: the run.
        experiment: only those of this one.
        verify: read every file and compare it with its hash; what stands at the place alone is brought for that.
        place: the place beside the run folder that the run was launched with; None for the run folder alone.

    Raises:
        RunError: the run has no such experiment.
        PlaceError: the place does not answer.
    """
    chosen = run.experiments if experiment is None else [run.experiment(experiment)]
    return [each for one in chosen for each in _of_experiment(run, one.experiment_id, place, verify=verify)]


def export_weights(
    run: Run,
    experiment: int,
    target: Path,
    *,
    checkpoint: str = "best",
    overwrite: bool = False,
    rest_endpoint: str | None = None,
) -> ExperimentCheckpoint:
    """Writes the weights of a checkpoint to a safetensors file, whole or not at all; shares are put together.

    Args:
        run: the run.
        experiment: the experiment's number.
        target: the file, ending in `.safetensors`.
        checkpoint: `best` by what the run selects by, else the last; `last`; or the name of one.
        overwrite: whether a file that is there may be replaced.
        rest_endpoint: address of the hub, where checkpoints are at one.

    Returns:
        The checkpoint.

    Raises:
        RunError: there is no such experiment or checkpoint, or the file cannot be written.
        TrainingError: the checkpoint is damaged; nothing was written.
    """
    from mlgym.training.checkpoint import verify_checkpoint

    if target.suffix != _SUFFIX:
        raise RunError(f"`{target}` must end in `{_SUFFIX}`: that is the format of the weights")
    if target.exists() and not overwrite:
        raise RunError(f"`{target}` exists already; choose another file, or replace it with --force")
    state = run.experiment(experiment).state
    with chosen_checkpoint(_folder(run), state, checkpoint, rest_endpoint=rest_endpoint) as stored:
        verify_checkpoint(stored)
        try:
            write_atomically(target.absolute(), _weights_of(stored))
        except OSError as error:
            raise RunError(f"`{target}` cannot be written: {error.strerror}") from error
        return _described(run, experiment, stored)


def _weights_of(stored: StoredCheckpoint) -> bytes:
    """Gives the weights in a verified checkpoint as a safetensors file; whole ones where it was written in shares."""
    from safetensors.torch import save

    from mlgym.training.checkpoint import MODEL_FILE, is_sharded, read_weights

    return save(read_weights(stored)) if is_sharded(stored) else (stored.path / MODEL_FILE).read_bytes()


def _of_experiment(
    run: Run, experiment_id: int, place: CheckpointPlace | None, *, verify: bool
) -> Iterator[ExperimentCheckpoint]:
    elsewhere = stored_there(_folder(run), experiment_id, place) if place else {}
    stored = [
        replace(_described(run, experiment_id, one, verify=verify), place=_address(one.path.name, elsewhere, place))
        for one in _stored(run, experiment_id)
    ]
    stored = [one for one in stored if one.saved_at is not None]  # others were removed while they were looked at
    here = {one.name for one in stored}
    if place is not None:
        only_there = [one for name, one in elsewhere.items() if name not in here]
        stored += [_described_there(run, experiment_id, one, place, verify=verify) for one in only_there]
        stored.sort(key=lambda one: (one.step, one.epoch))
    there = {one.name for one in stored}
    newest = max(((one.epoch, one.step) for one in stored), default=(-1, -1))
    is_late = run.state.status in ("running", "crashed")
    for record in run.state.experiments[experiment_id].checkpoints.values():
        name = Path(record.path).name
        if name not in there and not (is_late and (record.epoch, record.step) < newest):
            yield ExperimentCheckpoint(
                experiment_id=experiment_id,
                name=name,
                epoch=record.epoch,
                step=record.step,
                reasons=tuple(record.reasons),
                num_bytes=record.num_bytes,
                saved_at=None,
                damage=f"checkpoint {run.path / record.path} is gone, or was never completed on this disk",
            )
    yield from stored


def _address(name: str, elsewhere: Container[str], place: CheckpointPlace | None) -> str | None:
    return place.address if place is not None and name in elsewhere else None


def _described_there(
    run: Run, experiment_id: int, stored: StoredCheckpoint, place: CheckpointPlace, *, verify: bool
) -> ExperimentCheckpoint:
    damage = None
    if verify:
        try:
            with fetched(experiment_id, stored, place):
                pass
        except PlaceError as error:
            damage = str(error)
    return replace(_described(run, experiment_id, stored), saved_at=None, place=place.address, damage=damage)


def _described(run: Run, experiment_id: int, stored: StoredCheckpoint, *, verify: bool = False) -> ExperimentCheckpoint:
    from mlgym.training.checkpoint import verify_checkpoint

    damage = None
    if verify or not stored.sha256:
        try:
            verify_checkpoint(stored)
        except TrainingError as error:
            damage = str(error)
    path = f"{experiment_id}/checkpoints/{stored.path.name}"
    record = run.state.experiments[experiment_id].checkpoints.get(path)
    return ExperimentCheckpoint(
        experiment_id=experiment_id,
        name=stored.path.name,
        epoch=stored.epoch,
        step=stored.step,
        reasons=tuple(record.reasons) if record else (),
        num_bytes=stored.bytes,
        saved_at=_saved_at(stored.path),
        damage=damage,
    )


def _saved_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _stored(run: Run, experiment_id: int) -> list[StoredCheckpoint]:
    from mlgym.training import list_checkpoints

    return list_checkpoints(_folder(run).checkpoints_dir(experiment_id))


def _folder(run: Run) -> RunFolder:
    return RunFolder(run.path.parent, run.run_id)
