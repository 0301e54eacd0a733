"""The checkpoints of a run: which stand, whether they are whole, and the weights of one as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlgym.api.chosen_checkpoint import choose_checkpoint
from mlgym.api.results import Run
from mlgym.errors import RunError, TrainingError
from mlgym.tracking import RunFolder, write_atomically

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
    """

    experiment_id: int
    name: str
    epoch: int
    step: int
    reasons: tuple[str, ...]
    num_bytes: int
    saved_at: float | None
    damage: str | None = None


def checkpoints_of(run: Run, experiment: int | None = None, *, verify: bool = False) -> list[ExperimentCheckpoint]:
    """Gives the checkpoints of a run, by experiment, the oldest first.

    Those that the event log has and the folder lacks are among them, as damaged; but while a driver is at the run, or
    where one died, the log need not have heard of removals yet, so that one before another that stands is left out.

    Args:
        run: the run.
        experiment: only those of this one.
        verify: read every file and compare it with its hash.

    Raises:
        RunError: the run has no such experiment.
    """
    chosen = run.experiments if experiment is None else [run.experiment(experiment)]
    return [each for one in chosen for each in _of_experiment(run, one.experiment_id, verify=verify)]


def export_weights(
    run: Run, experiment: int, target: Path, *, checkpoint: str = "best", replace: bool = False
) -> ExperimentCheckpoint:
    """Writes the weights of a checkpoint to a safetensors file, whole or not at all.

    Args:
        run: the run.
        experiment: the experiment's number.
        target: the file, ending in `.safetensors`.
        checkpoint: `best` by what the run selects by, else the last; `last`; or the name of one.
        replace: whether a file that is there may be replaced.

    Returns:
        The checkpoint.

    Raises:
        RunError: there is no such experiment or checkpoint, or the file cannot be written.
        TrainingError: the checkpoint is damaged; nothing was written.
    """
    from mlgym.training.checkpoint import MODEL_FILE, verify_checkpoint

    if target.suffix != _SUFFIX:
        raise RunError(f"`{target}` must end in `{_SUFFIX}`: that is the format of the weights")
    if target.exists() and not replace:
        raise RunError(f"`{target}` exists already; choose another file, or replace it with --force")
    stored = choose_checkpoint(_folder(run), run.experiment(experiment).state, checkpoint)
    verify_checkpoint(stored)
    try:
        write_atomically(target.absolute(), (stored.path / MODEL_FILE).read_bytes())
    except OSError as error:
        raise RunError(f"`{target}` cannot be written: {error.strerror}") from error
    return _described(run, experiment, stored, verify=False)


def _of_experiment(run: Run, experiment_id: int, *, verify: bool) -> Iterator[ExperimentCheckpoint]:
    stored = [_described(run, experiment_id, one, verify=verify) for one in _stored(run, experiment_id)]
    stored = [one for one in stored if one.saved_at is not None]  # others were removed while they were looked at
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


def _described(run: Run, experiment_id: int, stored: StoredCheckpoint, *, verify: bool) -> ExperimentCheckpoint:
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
