"""The checkpoints of a run at the place that it was launched with: found, fetched, sent later."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlgym.errors import MlgymError, RunError
from mlgym.events import RunState, has_writer
from mlgym.execution import read_record
from mlgym.tracking import RunFolder
from mlgym.tracking.manifest import CHECKPOINT_NAME, MANIFEST_FILE, read_manifest
from mlgym.tracking.places import HUB, CheckpointPlace, open_place, resolved_place

if TYPE_CHECKING:
    from mlgym.training import StoredCheckpoint

_PATIENCE_S = 10.0


@contextmanager
def place_of(folder: RunFolder, rest_endpoint: str | None = None) -> Iterator[CheckpointPlace | None]:
    """Gives the place of a run's checkpoints while the body runs; None where the run folder has them all.

    Args:
        folder: the run.
        rest_endpoint: address of the hub, for a run whose checkpoints are at one: a recorded address is not shown the
            token of whoever looks at a run that may have come from anywhere.

    Raises:
        PlaceError: there can be no such place.
    """
    place = recorded_place(folder)
    if place is None or (place == HUB and rest_endpoint is None):
        yield None
        return
    address = resolved_place(place, rest_endpoint)
    assert address is not None
    opened = open_place(address, folder.run_id, patience_s=_PATIENCE_S)
    try:
        yield opened
    finally:
        opened.close()


def recorded_place(folder: RunFolder) -> str | None:
    """Gives the place that a run was launched with; None for none, or where that is not recorded."""
    try:
        return read_record(folder).checkpoint_place
    except MlgymError:
        return None


def stored_there(folder: RunFolder, experiment_id: int, place: CheckpointPlace) -> dict[str, StoredCheckpoint]:
    """Gives the checkpoints of an experiment at a place by name; their paths are where they would stand here.

    Raises:
        PlaceError: the place does not answer.
    """
    from mlgym.training import StoredCheckpoint

    parent, there = folder.checkpoints_dir(experiment_id), place.checkpoints(experiment_id)
    return {name: StoredCheckpoint.of_files(parent / name, files) for name, files in there.items()}


@contextmanager
def fetched(experiment_id: int, stored: StoredCheckpoint, place: CheckpointPlace) -> Iterator[StoredCheckpoint]:
    """Gives a checkpoint of a place, brought and verified, in a folder that is gone after the body.

    Raises:
        PlaceError: it cannot be brought, or is damaged.
    """
    from mlgym.training import list_checkpoints

    files = place.checkpoints(experiment_id).get(stored.path.name, {})
    with tempfile.TemporaryDirectory(prefix="mlgym-") as temporary:
        place.fetch(experiment_id, stored.path.name, files, Path(temporary))
        yield list_checkpoints(Path(temporary))[0]


def send_checkpoints(folder: RunFolder, state: RunState, place: CheckpointPlace) -> list[str]:
    """Sends to a place what it lacks of a run that nobody is at; gives the paths of those, relative to the run.

    Raises:
        RunError: somebody is at the run.
        PlaceError: the place does not answer, or a checkpoint is damaged.
    """
    _refuse_busy(folder)
    sent = []
    for experiment_id, experiment in sorted(state.experiments.items()):
        there = place.checkpoints(experiment_id) if experiment.checkpoints else {}
        for path in experiment.checkpoints:
            name, here = Path(path).name, folder.inside(path)
            files = read_manifest(here / MANIFEST_FILE) if CHECKPOINT_NAME.fullmatch(name) else {}
            if files and there.get(name) != files:
                with ExitStack() as opened:
                    contents = {file: opened.enter_context((here / file).open("rb")) for file in files}
                    place.put(experiment_id, name, contents, files)
                sent.append(path)
    return sent


def fetch_checkpoints(folder: RunFolder, state: RunState, place: CheckpointPlace) -> list[str]:
    """Brings to the run folder what stands at a place only; gives the paths of those, relative to the run.

    Raises:
        RunError: somebody is at the run.
        PlaceError: the place does not answer, or a checkpoint there is damaged.
    """
    _refuse_busy(folder)
    brought = []
    for experiment_id in sorted(state.experiments):
        parent = folder.checkpoints_dir(experiment_id)
        for name, files in sorted(place.checkpoints(experiment_id).items()):
            if not (parent / name / MANIFEST_FILE).is_file():
                place.fetch(experiment_id, name, files, parent)
                brought.append(f"{experiment_id}/checkpoints/{name}")
    return brought


def _refuse_busy(folder: RunFolder) -> None:
    if has_writer(folder.log_path):
        raise RunError(
            f"run `{folder.run_id}` goes on, and brings its checkpoints there itself: wait until it has ended"
        )
